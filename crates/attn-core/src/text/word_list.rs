//! Lists of words under names: concepts of a lexicon or a gazetteer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{lines, wrong};
use crate::Result;

/// Groups of words under one name each: cities, emotions, the categories of a lexicon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordList {
    /// Name of the list.
    pub name: String,
    /// The groups of each word, by its spelling in lower case.
    words: BTreeMap<String, BTreeSet<String>>,
}

impl WordList {
    /// Reads lines of a word, a tab and its group (`Paris<TAB>city`); a word may stand in several lines. Lines that begin with `#` are
    /// comments. `place` is the file's name in errors.
    ///
    /// ```
    /// use attn_core::text::WordList;
    ///
    /// let list = WordList::read("# of my own\nParis\tcity\nmay\tmonth\nmay\tverb\n", "own.tsv", "own")?;
    /// assert_eq!(list.groups("PARIS").collect::<Vec<_>>(), ["city"]);
    /// assert_eq!(list.groups("May").collect::<Vec<_>>(), ["month", "verb"]);
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Text`](crate::Error::Text) with the line that has no tab, or without a word.
    pub fn read(content: &str, place: &str, name: impl Into<String>) -> Result<Self> {
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let mut words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let numbered = (1..).zip(lines::lines(content));
        for (number, line) in numbered.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
            let parts = line.split_once('\t').map(|(word, group)| (word.trim(), group.trim()));
            let parts = parts.filter(|(word, group)| !word.is_empty() && !group.is_empty());
            let Some((word, group)) = parts else {
                let found: String = line.chars().take(40).collect();
                return Err(wrong(
                    place,
                    number,
                    "a word, a tab and its group",
                    format!("`{found}`"),
                ));
            };
            words.entry(word.to_lowercase()).or_default().insert(group.to_owned());
        }
        if words.is_empty() {
            return Err(wrong(place, None, "at least one word", "none"));
        }
        Ok(Self {
            name: name.into(),
            words,
        })
    }

    /// The groups of a word, whatever its case.
    pub fn groups(&self, word: &str) -> impl Iterator<Item = &str> {
        let groups = self.words.get(&word.to_lowercase());
        groups.into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_checked() {
        let error = |content: &str| WordList::read(content, "list", "x").unwrap_err().to_string();
        assert_eq!(
            error("a\tb\nParis\n"),
            "list, line 2: expected a word, a tab and its group, found `Paris`"
        );
        assert!(error("# nothing\n").contains("at least one word"));
        let list = WordList::read("\u{feff}New York\tcity\r\n\tx y\tz\n", "list", "x");
        assert!(list.is_err(), "a line without a word");
        let list = WordList::read("New York\tcity\r\n\r\n", "list", "x").unwrap();
        assert_eq!(list.groups("new york").collect::<Vec<_>>(), ["city"]);
    }
}
