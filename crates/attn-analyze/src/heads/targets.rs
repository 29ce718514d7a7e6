//! Targets: the keys that count for each query of one sequence.
//!
//! They depend on the tokens alone, so they are built once per sequence and shared by all heads. They take memory linear
//! in the sequence: queries point to groups, groups list keys.

use std::{collections::HashMap, hash::Hash, ops::Range};

/// The keys that count for each query of one sequence.
///
/// ```
/// use attn_analyze::heads::Targets;
///
/// let targets = Targets::single(4, |query| query.checked_sub(1));
/// assert_eq!(targets.of(2, 0..4).collect::<Vec<_>>(), [1]);
/// assert_eq!(targets.of(2, 2..4).count(), 0); // the mask hides it
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targets {
    /// Group of each query, if it has one.
    group: Vec<Option<usize>>,
    /// Keys of each group, ascending.
    keys: Vec<Vec<usize>>,
    except_self: bool,
    permuted: Option<Box<Targets>>,
}

impl Targets {
    /// At most one key per query.
    pub fn single(queries: usize, key: impl Fn(usize) -> Option<usize>) -> Self {
        let mut keys = Vec::new();
        let group = (0..queries).map(|query| {
            key(query).map(|key| {
                keys.push(vec![key]);
                keys.len() - 1
            })
        });
        Self {
            group: group.collect(),
            keys,
            ..Self::default()
        }
    }

    /// The same keys for all queries.
    pub fn shared(queries: usize, keys: Vec<usize>) -> Self {
        Self::grouped(vec![Some(0); queries], vec![keys])
    }

    /// Groups of keys, and the group of each query. Groups that do not exist count as none.
    pub fn grouped(group: Vec<Option<usize>>, mut keys: Vec<Vec<usize>>) -> Self {
        for keys in &mut keys {
            keys.sort_unstable();
            keys.dedup();
        }
        keys.iter_mut().for_each(|keys| keys.shrink_to_fit());
        Self {
            group,
            keys,
            ..Self::default()
        }
    }

    /// Keys that share something with the query: both are of the class `of_query` and `of_key` give.
    pub fn same<T: Hash + Eq>(
        (queries, keys): (usize, usize),
        of_query: impl Fn(usize) -> Option<T>,
        of_key: impl Fn(usize) -> Option<T>,
    ) -> Self {
        let mut numbers = HashMap::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (key, class) in (0..keys).filter_map(|key| Some((key, of_key(key)?))) {
            let number = *numbers.entry(class).or_insert(members.len());
            if number == members.len() {
                members.push(Vec::new());
            }
            members[number].push(key);
        }
        let group = (0..queries).map(|query| numbers.get(&of_query(query)?).copied());
        Self {
            group: group.collect(),
            keys: members,
            ..Self::default()
        }
    }

    /// Without the query's own token.
    #[must_use]
    pub fn except_self(self) -> Self {
        Self {
            except_self: true,
            ..self
        }
    }

    /// Without targets for the queries that `drop` names.
    #[must_use]
    pub fn except_queries(mut self, drop: impl Fn(usize) -> bool) -> Self {
        for (query, group) in self.group.iter_mut().enumerate() {
            if drop(query) {
                *group = None;
            }
        }
        self
    }

    /// With the targets of permuted tokens: the chance level of scores that depend on the data.
    #[must_use]
    pub fn with_permuted(self, permuted: Self) -> Self {
        Self {
            permuted: Some(Box::new(permuted)),
            ..self
        }
    }

    /// Whether no query has a target.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The targets of `query` among the keys it sees.
    pub fn of(&self, query: usize, visible: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let group = self.group.get(query).copied().flatten();
        let keys = group.and_then(|group| self.keys.get(group));
        let keys = keys.map_or(&[][..], Vec::as_slice);
        let start = keys.partition_point(|&key| key < visible.start);
        let end = keys.partition_point(|&key| key < visible.end);
        let keys = keys.get(start..end).unwrap_or_default();
        keys.iter()
            .copied()
            .filter(move |&key| !(self.except_self && key == query))
    }

    /// The targets of permuted tokens, if there are any.
    pub(super) fn permuted(&self) -> Option<&Self> {
        self.permuted.as_deref()
    }
}
