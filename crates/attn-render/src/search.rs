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
/// are the same unless the text has an upper-case letter. An empty text finds nothing. A text in double quotes finds whole
/// words: the labels that are the text, without the marks of tokenizers for the start of a word (`▁`, `Ġ`).
///
/// ```
/// let matches = attn_render::search("the", &["The", "cat", "other", "sat"], 2);
/// assert_eq!((matches.queries, matches.keys), (1, 1));
/// assert_eq!(matches.found, [true, false, true, false]);
/// assert_eq!(matches.ids().collect::<Vec<_>>(), [0, 2]);
/// assert_eq!(attn_render::search("The", &["The", "the"], 1).keys, 0);
/// let words = attn_render::search("\"the\"", &["The", "##the", "other", "▁the"], 2);
/// assert_eq!(words.found, [true, false, false, true]);
/// ```
pub fn search<S: AsRef<str>>(text: &str, labels: &[S], queries: usize) -> Matches {
    if text.is_empty() {
        return Matches::default();
    }
    let exact = text.chars().any(char::is_uppercase);
    let whole = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .filter(|text| !text.is_empty());
    let is = |label: &str| match whole {
        Some(word) => self::word(label) == word,
        None => label.contains(text),
    };
    let matches = |label: &S| is(label.as_ref()) || (!exact && is(&label.as_ref().to_lowercase()));
    let found: Vec<bool> = labels.iter().map(matches).collect();
    let count = |part: &[bool]| part.iter().filter(|found| **found).count();
    let (left, right) = found.split_at(queries.min(found.len()));
    Matches {
        queries: count(left),
        keys: count(right),
        found,
    }
}

/// The word of a label that begins one: without the marks of the beginning of a word, and spaces. A piece in the middle of a
/// word keeps its mark and so is no word.
fn word(label: &str) -> &str {
    label.trim().trim_start_matches(['▁', 'Ġ', 'ġ'])
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
            "“{}”: {}, {}",
            text.trim_matches('"'),
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
