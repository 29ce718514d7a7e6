//! Words as points: their tokens in a capture, the choice of words to cluster, and their vectors in a layer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use attn_core::{Capture, Sequence, Side, Token, text::TaggedText};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};

use crate::{Error, Rng};

/// Words whose states are read at a time.
const CHUNK: usize = 4096;

/// Tokens that stand for a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subwords {
    /// The last token: the only one that has seen the whole word in a decoder. The default, as published.
    #[default]
    Last,
    /// The first token.
    First,
    /// The mean of all its tokens.
    Average,
}

/// One occurrence of a word, or a special token as a point of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// As it is written.
    pub text: String,
    /// Index of its sentence in the corpus, which is its sequence in the capture.
    pub sentence: usize,
    /// Index in its sentence; of a special token, among the tokens of its sequence.
    pub index: usize,
    /// Its tokens in the sequence, in order; never empty.
    pub tokens: Vec<usize>,
    /// What the model reads: occurrences with the same token ids have the same number.
    #[serde(default)]
    pub input: usize,
    /// Whether it is a special token (`[CLS]`) of [`Words::add_special`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub special: bool,
}

/// The reason why a word has no vector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WhyDropped {
    /// The tokenizer has nothing for it.
    #[default]
    NoToken,
    /// The sequence was cut before it, to the model's longest input.
    Cut,
    /// The vocabulary has none of it: its token is that of unknown words (`[UNK]`), which says nothing about this one.
    Unknown,
}

/// A word without a vector of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedWord {
    /// As it is written.
    pub text: String,
    /// Index of its sentence.
    pub sentence: usize,
    /// Index in its sentence.
    pub index: usize,
    /// The reason.
    #[serde(default)]
    pub why: WhyDropped,
}

/// Words of a corpus that have tokens in a capture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// In the order of the corpus.
    pub words: Vec<Word>,
    /// Words without a vector of their own. Giving them a zero vector, as published code does, makes a cluster of them, and so
    /// would the one vector of all unknown words.
    pub dropped: Vec<DroppedWord>,
}

/// Choice of words to cluster, by the frequency of their type (their spelling, case included).
///
/// Default: at least 5 times, and of each type at most 20 occurrences, drawn at random. Published settings: 5, dropped above
/// 20, at most 20; and 10, at most 10, first in the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FrequencyFilter {
    /// Types that occur less often are left out. Default 5.
    pub at_least: usize,
    /// Types that occur more often are left out. Default `None`: none.
    pub drop_above: Option<usize>,
    /// Occurrences kept of each type. Default `Some(20)`.
    pub at_most: Option<usize>,
    /// Seed of the choice: `Some` draws with this seed (default 0), `None` takes the first of the corpus, whose early
    /// documents then weigh more.
    pub seed: Option<u64>,
}

impl Default for FrequencyFilter {
    fn default() -> Self {
        Self {
            at_least: 5,
            drop_above: None,
            at_most: Some(20),
            seed: Some(0),
        }
    }
}

/// Words that a [`FrequencyFilter`] left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// Types that were too rare, and their occurrences.
    pub rare: (usize, usize),
    /// Types that were too frequent, and their occurrences.
    pub frequent: (usize, usize),
    /// Occurrences beyond [`FrequencyFilter::at_most`].
    pub surplus: usize,
}

/// Texts of the token of unknown words.
const UNKNOWN: [&str; 2] = ["[UNK]", "<unk>"];

/// What a model reads of a token: its id, or its text where a capture has no ids.
fn key(token: &Token) -> (Option<u32>, &str) {
    let text = if token.id.is_some() { "" } else { token.text.as_str() };
    (token.id, text)
}

impl Words {
    /// Finds the tokens of every word.
    ///
    /// Sequence `i` of the capture must be sentence `i`. A token belongs to the word in which its first letter lies; special
    /// tokens belong to none. Words that share a span share its tokens. Of an encoder-decoder, whose text is `source` TAB `target`,
    /// the sentence is the source for the encoder, and the target for the decoder.
    ///
    /// # Errors
    /// [`Error::Shape`] if the capture is of another text, or its tokens do not say where they stand.
    pub fn find(corpus: &TaggedText, capture: &Capture, side: Side) -> Result<Self, Error> {
        let sequences = capture.sequences();
        if sequences.len() != corpus.sentences.len() {
            return Err(Error::Shape {
                place: "capture".into(),
                expected: format!("the {} sentences of the corpus", corpus.sentences.len()),
                found: format!("{} sequences", sequences.len()),
            });
        }
        let (mut words, mut dropped) = (Vec::new(), Vec::new());
        let mut inputs: HashMap<Vec<(Option<u32>, &str)>, usize> = HashMap::new();
        for (at, (sentence, sequence)) in corpus.sentences.iter().zip(sequences).enumerate() {
            let Some(offset) = place_of(&sentence.text, sequence, side) else {
                return Err(Error::Shape {
                    place: format!("sequence {at} ({})", sequence.name),
                    expected: format!("`{}`", sentence.text),
                    found: sequence
                        .text
                        .as_ref()
                        .map_or("no text".into(), |text| format!("`{text}`")),
                });
            };
            let text = sequence.text.as_deref().unwrap_or_default();
            let is_target = side == Side::Decoder && !sequence.encoder.is_empty();
            let cut = if is_target {
                sequence.target_cut_from
            } else {
                sequence.cut_from
            };
            let mut starts = Vec::new();
            for (index, token) in sequence
                .tokens(side)
                .iter()
                .enumerate()
                .filter(|(_, token)| !token.special)
            {
                let letter = token.first_letter(text).and_then(|letter| letter.checked_sub(offset));
                let Some(letter) = letter else {
                    return Err(Error::Shape {
                        place: format!("{}, token {index}", sequence.name),
                        expected: "its place in the text".into(),
                        found: "none".into(),
                    });
                };
                starts.push((letter, index));
            }
            for (index, word) in sentence.words.iter().enumerate() {
                let inside = |&&(letter, _): &&(usize, usize)| (word.span.0..word.span.1).contains(&letter);
                let tokens: Vec<usize> = starts.iter().filter(inside).map(|&(_, token)| token).collect();
                let text = word.text.clone();
                let read = sequence.tokens(side);
                let ids: Vec<(Option<u32>, &str)> = tokens.iter().map(|&at| key(&read[at])).collect();
                let why = match tokens.is_empty() {
                    true if cut.is_some() && starts.iter().all(|&(letter, _)| letter < word.span.0) => {
                        Some(WhyDropped::Cut)
                    }
                    true => Some(WhyDropped::NoToken),
                    false if tokens.iter().any(|&at| UNKNOWN.contains(&read[at].text.as_str())) => {
                        Some(WhyDropped::Unknown)
                    }
                    false => None,
                };
                match why {
                    Some(why) => dropped.push(DroppedWord {
                        text,
                        sentence: at,
                        index,
                        why,
                    }),
                    None => {
                        let next = inputs.len();
                        words.push(Word {
                            text,
                            sentence: at,
                            index,
                            tokens,
                            input: *inputs.entry(ids).or_insert(next),
                            special: false,
                        });
                    }
                }
            }
        }
        Ok(Self { words, dropped })
    }

    /// Adds the special tokens of all sequences (`[CLS]`, `<s>`) as points of their own: many classifiers read one of them, and what
    /// carried their predictions is in its state (Yu et al., *Latent Concept-based Explanation of NLP Models*, EMNLP 2024). Their
    /// labels are those of their sentence alone.
    pub fn add_special(&mut self, capture: &Capture, side: Side) {
        let mut inputs: BTreeMap<String, usize> = BTreeMap::new();
        let first = self.words.iter().map(|word| word.input + 1).max().unwrap_or(0);
        for (sentence, sequence) in capture.sequences().iter().enumerate() {
            let tokens = sequence.tokens(side).iter().enumerate();
            for (index, token) in tokens.filter(|(_, token)| token.special) {
                let next = first + inputs.len();
                self.words.push(Word {
                    text: token.text.clone(),
                    sentence,
                    index,
                    tokens: vec![index],
                    input: *inputs.entry(token.text.clone()).or_insert(next),
                    special: true,
                });
            }
        }
    }

    /// How many words were dropped for a reason.
    pub fn dropped_for(&self, why: WhyDropped) -> usize {
        self.dropped.iter().filter(|word| word.why == why).count()
    }

    /// Keeps the words that a filter lets through, in their order. Special tokens are kept.
    pub fn filter(&mut self, filter: &FrequencyFilter) -> Filtered {
        let mut types: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for (at, word) in self.words.iter().enumerate() {
            if word.special {
                kept.insert(at);
            } else {
                types.entry(&word.text).or_default().push(at);
            }
        }
        let mut filtered = Filtered::default();
        for (stream, mut occurrences) in types.into_values().enumerate() {
            let count = occurrences.len();
            if count < filter.at_least {
                filtered.rare = (filtered.rare.0 + 1, filtered.rare.1 + count);
                continue;
            }
            if filter.drop_above.is_some_and(|most| count > most) {
                filtered.frequent = (filtered.frequent.0 + 1, filtered.frequent.1 + count);
                continue;
            }
            if let Some(most) = filter.at_most.filter(|&most| most < count) {
                filtered.surplus += count - most;
                match filter.seed {
                    None => occurrences.truncate(most),
                    Some(seed) => {
                        let drawn = Rng::new(seed, &[stream]).sample(count, most);
                        occurrences = drawn.into_iter().map(|at| occurrences[at]).collect();
                    }
                }
            }
            kept.extend(occurrences);
        }
        let mut at = 0;
        self.words.retain(|_| {
            at += 1;
            kept.contains(&(at - 1))
        });
        filtered
    }

    /// The spelling of each word.
    pub fn types(&self) -> Vec<&str> {
        self.words.iter().map(|word| word.text.as_str()).collect()
    }

    /// The vectors of the words after a layer, `[word, hidden_size]`; layer 0 is the embedding.
    ///
    /// # Errors
    /// [`Error::Core`] if the capture has no hidden states or no such layer, [`Error::NotFinite`] with the word.
    pub fn vectors(
        &self,
        capture: &Capture,
        side: Side,
        layer: usize,
        subwords: Subwords,
    ) -> Result<Array2<f32>, Error> {
        let tokens = |word: &'_ Word| -> Range<usize> {
            let count = word.tokens.len();
            match subwords {
                Subwords::Last => count.saturating_sub(1)..count,
                Subwords::First => 0..count.min(1),
                Subwords::Average => 0..count,
            }
        };
        let needed = attn_core::Limits::size(&[self.words.len(), capture.model().hidden_size], 4);
        attn_core::Limits::default().check(format!("vectors of words, layer {layer}"), needed)?;
        let mut vectors = Array2::zeros((self.words.len(), capture.model().hidden_size));
        let mut rows = Vec::new();
        // Only the rows of these words are read, some at a time: nothing holds a whole layer.
        for (mut vectors, words) in vectors
            .axis_chunks_iter_mut(Axis(0), CHUNK)
            .zip(self.words.chunks(CHUNK))
        {
            rows.clear();
            for word in words {
                let start = capture.rows(word.sentence, side).start;
                rows.extend(word.tokens[tokens(word)].iter().map(|token| start + token));
            }
            let states = capture.hidden_rows(side, layer, &rows)?;
            let mut states = states.rows().into_iter();
            for (mut vector, word) in vectors.rows_mut().into_iter().zip(words) {
                let count = tokens(word).len();
                for state in states.by_ref().take(count) {
                    vector += &state;
                }
                vector /= count.max(1) as f32;
                crate::error::finite(&vector, || {
                    format!("`{}` in sequence {}, layer {layer}", word.text, word.sentence)
                })?;
            }
        }
        Ok(vectors)
    }
}

/// Where the text of a sentence begins in the text of its sequence: a sequence of an encoder-decoder has a source, a TAB and
/// a target. `None` if it is of another sentence.
pub(super) fn place_of(sentence: &str, sequence: &Sequence, side: Side) -> Option<usize> {
    let text = sequence.text.as_deref()?;
    if sequence.encoder.is_empty() || sequence.decoder.is_empty() {
        return (text == sentence).then_some(0);
    }
    match side {
        Side::Encoder => {
            let rest = text.strip_prefix(sentence)?;
            (rest.is_empty() || rest.starts_with('\t')).then_some(0)
        }
        Side::Decoder => {
            let before = text.strip_suffix(sentence)?;
            before.ends_with('\t').then_some(before.len())
        }
    }
}
