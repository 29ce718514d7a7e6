//! Which tokens a search finds, and how many: the same in every head.

/// The tokens of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matches {
    /// Per point, whether it is found; empty if nothing was searched for.
    pub found: Vec<bool>,
    /// How many queries are found.
    pub queries: usize,
    /// How many keys are found.
    pub keys: usize,
}

/// Finds the labels that contain `text`; of the labels the first `queries` are those of queries. Upper and lower case
/// are the same unless the text has an upper-case letter. An empty text finds nothing.
///
/// ```
/// let matches = attn_render::search("the", &["The", "cat", "other", "sat"], 2);
/// assert_eq!((matches.queries, matches.keys), (1, 1));
/// assert_eq!(matches.found, [true, false, true, false]);
/// assert_eq!(matches.ids().collect::<Vec<_>>(), [0, 2]);
/// assert_eq!(attn_render::search("The", &["The", "the"], 1).keys, 0);
/// ```
pub fn search<S: AsRef<str>>(text: &str, labels: &[S], queries: usize) -> Matches {
    if text.is_empty() {
        return Matches::default();
    }
    let exact = text.chars().any(char::is_uppercase);
    let matches = |label: &S| {
        let label = label.as_ref();
        label.contains(text) || (!exact && label.to_lowercase().contains(text))
    };
    let found: Vec<bool> = labels.iter().map(matches).collect();
    let count = |part: &[bool]| part.iter().filter(|found| **found).count();
    let (left, right) = found.split_at(queries.min(found.len()));
    Matches {
        queries: count(left),
        keys: count(right),
        found,
    }
}

impl Matches {
    /// The numbers of the points that were found, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.found).filter(|(_, found)| **found).map(|(id, _)| id)
    }

    /// For people: `“the”: 3 queries, 4 keys`.
    pub fn describe(&self, text: &str) -> String {
        let of = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        format!(
            "“{text}”: {}, {}",
            of(self.queries, "query", "queries"),
            of(self.keys, "key", "keys")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_searched_finds_nothing() {
        assert_eq!(search("", &["a"], 1), Matches::default());
        assert_eq!(search::<&str>("a", &[], 5).describe("a"), "“a”: 0 queries, 0 keys");
        assert_eq!(search("é", &["É", "e"], 1).describe("é"), "“é”: 1 query, 0 keys");
    }
}
