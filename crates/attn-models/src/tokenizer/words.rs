//! The words that tokens belong to.

/// The word of each token as the tokenizer splits them; by white space where it does not split at all. The words
/// of a second text count on from those of the first.
pub(super) fn words(
    text: &str,
    second: Option<&str>,
    encoding: &tokenizers::Encoding,
    special: &[bool],
) -> Vec<Option<usize>> {
    let split = encoding.get_word_ids();
    let parts = encoding.get_sequence_ids();
    let mut words = vec![None; encoding.len()];
    let mut first_word = 0;
    for (part, text) in std::iter::once(text).chain(second).enumerate() {
        let own: Vec<usize> = (0..encoding.len())
            .filter(|&at| parts[at] == Some(part) && !special[at])
            .collect();
        let several = own.iter().any(|&at| split[at] != split[own[0]]);
        let by_space = WhiteSpace::new(text);
        for &at in &own {
            let word = match split[at] {
                Some(word) if several => Some(word as usize),
                _ => by_space.word(encoding.get_offsets()[at]),
            };
            words[at] = word.map(|word| first_word + word);
        }
        first_word = words.iter().flatten().max().map_or(0, |last| last + 1);
    }
    words
}

/// The words of a text between white space. The text is read once, however many tokens ask.
struct WhiteSpace<'a> {
    text: &'a str,
    /// The byte at which each word begins.
    begins: Vec<usize>,
}

impl<'a> WhiteSpace<'a> {
    fn new(text: &'a str) -> Self {
        let start = text.as_ptr().addr();
        let begins = text
            .split_whitespace()
            .map(|word| word.as_ptr().addr() - start)
            .collect();
        Self { text, begins }
    }

    /// The number of the word in which a span's first letter stands.
    fn word(&self, (start, end): (usize, usize)) -> Option<usize> {
        let piece = self.text.get(start..end)?;
        let letter = start + piece.len() - piece.trim_start().len();
        let begun = self.begins.partition_point(|&begin| begin < letter);
        // A word that has begun and not ended is the letter's own.
        let inside = self.text[..letter]
            .chars()
            .next_back()
            .is_some_and(|last| !last.is_whitespace());
        Some(if inside { begun - 1 } else { begun })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word by word.
    fn slow(text: &str, (start, end): (usize, usize)) -> Option<usize> {
        let piece = text.get(start..end)?;
        let before = text.get(..start + piece.len() - piece.trim_start().len())?;
        let begun = before.split_whitespace().count();
        let inside = before.chars().next_back().is_some_and(|last| !last.is_whitespace());
        Some(if inside { begun - 1 } else { begun })
    }

    #[test]
    fn words_of_spans_are_those_counted_from_the_start() {
        for text in [
            "",
            " ",
            "a",
            "the cat  sat ",
            "  größe\u{a0}über\u{3000}日本 x\n\ny",
            "a b c d e f g",
        ] {
            let words = WhiteSpace::new(text);
            for start in 0..=text.len() {
                for end in start..=text.len() {
                    assert_eq!(
                        words.word((start, end)),
                        slow(text, (start, end)),
                        "{text:?} {start}..{end}"
                    );
                }
            }
        }
    }
}
