//! A vector that remembers which parts changed, so that a renderer uploads those and nothing else.

use std::{
    ops::{Deref, Range},
    sync::atomic::{AtomicU64, Ordering},
};

/// Elements per part whose changes are told apart.
pub(crate) const CHUNK: usize = 4096;

/// Every change anywhere gets its own stamp, so that equal stamps mean equal contents even across scenes.
fn next_stamp() -> u64 {
    static STAMP: AtomicU64 = AtomicU64::new(1);
    STAMP.fetch_add(1, Ordering::Relaxed)
}

/// A vector with a stamp per chunk of 4,096 elements, renewed whenever an element of it changes.
///
/// A clone carries the same stamps: it is the same content.
///
/// ```
/// use attn_render::Tracked;
/// let mut numbers: Tracked<u32> = (0..10_000).collect();
/// let before = numbers.stamps().to_vec();
/// numbers.update(5_000..5_001, |part| part[0] = 7);
/// let changed: Vec<bool> = before.iter().zip(numbers.stamps()).map(|(a, b)| a != b).collect();
/// assert_eq!(changed, [false, true, false]);
/// ```
#[derive(Debug, Clone)]
pub struct Tracked<T> {
    items: Vec<T>,
    stamps: Vec<u64>,
    stamp: u64,
}

impl<T> Default for Tracked<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            stamps: Vec::new(),
            stamp: 0,
        }
    }
}

impl<T> Tracked<T> {
    /// Appends one element.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
        self.touch(self.items.len() - 1..self.items.len());
    }

    /// Removes every element.
    pub fn clear(&mut self) {
        if !self.items.is_empty() {
            self.items.clear();
            self.stamps.clear();
            self.stamp = next_stamp();
        }
    }

    /// Changes the elements of `range`, cut to what exists.
    pub fn update(&mut self, range: Range<usize>, change: impl FnOnce(&mut [T])) {
        let range = range.start.min(self.items.len())..range.end.min(self.items.len());
        if range.start < range.end {
            change(&mut self.items[range.clone()]);
            self.touch(range);
        }
    }

    /// One stamp per chunk of 4,096 elements.
    pub fn stamps(&self) -> &[u64] {
        &self.stamps
    }

    /// The stamp of the latest change; 0 if there never was one.
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    fn touch(&mut self, range: Range<usize>) {
        self.stamp = next_stamp();
        self.stamps.resize(self.items.len().div_ceil(CHUNK), self.stamp);
        for chunk in &mut self.stamps[range.start / CHUNK..range.end.div_ceil(CHUNK)] {
            *chunk = self.stamp;
        }
    }
}

impl<T> Extend<T> for Tracked<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        let start = self.items.len();
        self.items.extend(items);
        if self.items.len() > start {
            self.touch(start..self.items.len());
        }
    }
}

impl<T> From<Vec<T>> for Tracked<T> {
    fn from(items: Vec<T>) -> Self {
        let mut tracked = Self {
            items,
            ..Self::default()
        };
        if !tracked.items.is_empty() {
            tracked.touch(0..tracked.items.len());
        }
        tracked
    }
}

impl<T> FromIterator<T> for Tracked<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut tracked = Self::default();
        tracked.extend(items);
        tracked
    }
}

impl<T> Deref for Tracked<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appending_leaves_full_chunks_alone() {
        let mut items: Tracked<u8> = std::iter::repeat_n(0, 2 * CHUNK).collect();
        let before = items.stamps().to_vec();
        items.push(1);
        assert_eq!(&items.stamps()[..2], &before[..]);
        assert_eq!(items.stamps().len(), 3);
    }

    #[test]
    fn out_of_range_updates_change_nothing() {
        let mut items: Tracked<u8> = [1, 2].into_iter().collect();
        let stamp = items.stamp();
        items.update(5..9, |_| panic!("nothing to change"));
        assert_eq!(items.stamp(), stamp);
    }

    #[test]
    fn stamps_differ_between_vectors_of_equal_length() {
        let a: Tracked<u8> = [1].into_iter().collect();
        let b: Tracked<u8> = [1].into_iter().collect();
        assert_ne!(a.stamps(), b.stamps());
        assert_eq!(a.clone().stamps(), a.stamps());
    }
}
