//! Labels that plots share.

use std::{collections::HashSet, ops::Deref, sync::Arc};

/// A text per point, token or class. Cheap to clone; equal texts that are collected together share their memory.
///
/// ```
/// use attn_render::plots::Texts;
/// let texts: Texts = ["the", "cat"].into();
/// assert_eq!((texts.len(), &*texts[1]), (2, "cat"));
/// let collected: Texts = (0..3).map(|token| format!("token {token}")).collect();
/// assert_eq!(collected.iter().count(), 3);
/// assert!(Texts::default().is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(Arc<[Arc<str>]>);

impl Texts {
    /// Whether both are the same memory, so that what was found in one need not be looked for in the other.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Texts {
    type Target = [Arc<str>];

    fn deref(&self) -> &[Arc<str>] {
        &self.0
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        let mut known: HashSet<Arc<str>> = HashSet::new();
        let share = |text: T| match known.get(text.as_ref()) {
            Some(shared) => shared.clone(),
            None => {
                let shared: Arc<str> = text.as_ref().into();
                known.insert(shared.clone());
                shared
            }
        };
        Self(texts.into_iter().map(share).collect())
    }
}

impl<T: AsRef<str>, const N: usize> From<[T; N]> for Texts {
    fn from(texts: [T; N]) -> Self {
        texts.into_iter().collect()
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Texts {
    fn from(texts: Vec<T>) -> Self {
        texts.into_iter().collect()
    }
}

impl<T: AsRef<str>> From<&[T]> for Texts {
    fn from(texts: &[T]) -> Self {
        texts.iter().map(AsRef::as_ref).collect()
    }
}
