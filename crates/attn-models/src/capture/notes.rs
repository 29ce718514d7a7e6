//! Remarks on what of the input a model did not read.

use std::sync::Arc;

use attn_core::{Sequence, Side, text::Note};

use crate::{Error, Result};

/// Files that cannot be read: they are left out with a note, unless there are no others.
#[derive(Default)]
pub(super) struct Unreadable(Vec<Error>);

impl Unreadable {
    /// What was read; `None` if the file is to be left out.
    ///
    /// # Errors
    /// Those that say nothing about one file alone, as of memory.
    pub(super) fn unless<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Err(error @ (Error::Image { .. } | Error::Sound { .. } | Error::Io { .. })) => {
                self.0.push(error);
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// A note a file.
    ///
    /// # Errors
    /// The first file's, if `nothing` is left.
    pub(super) fn notes(mut self, nothing: bool) -> Result<Vec<Note>> {
        if nothing && !self.0.is_empty() {
            return Err(self.0.swap_remove(0));
        }
        let note = |error: Error| Note {
            line: None,
            message: format!("{error}; left out"),
        };
        Ok(self.0.into_iter().map(note).collect())
    }
}

/// Those at some places, ascending.
pub(super) fn these<T: Clone>(all: Arc<[T]>, places: &[usize]) -> Arc<[T]> {
    match places.len() == all.len() {
        true => all,
        false => places.iter().map(|&at| all[at].clone()).collect(),
    }
}

/// A note on the sequences that were cut to the longest text of the model or its tokenizer, and one on the targets that
/// were; none where nothing was cut.
///
/// ```
/// use attn_core::{Sequence, Side, Token};
/// use attn_models::capture::cut_notes;
///
/// let sequence = Sequence { cut_from: Some(30), ..Sequence::new("line 4").with_tokens(Side::Encoder, [Token::new("the")]) };
/// let notes = cut_notes(&[Sequence::new("line 1"), sequence]);
/// assert_eq!(notes[0].to_string(), "1 of 2 sequences was cut to the longest text of the model or its tokenizer, line 4 (30 tokens, 1 left) the first");
/// ```
pub fn cut_notes(sequences: &[Sequence]) -> Vec<Note> {
    let left = |sequence: &Sequence| match sequence.encoder.len() {
        0 => sequence.decoder.len(),
        tokens => tokens,
    };
    let whole = cut(sequences, "sequence", |sequence| {
        Some((sequence.cut_from?, left(sequence)))
    });
    let targets = cut(sequences, "target", |sequence| {
        Some((sequence.target_cut_from?, sequence.tokens(Side::Decoder).len()))
    });
    [whole, targets].into_iter().flatten().collect()
}

/// `tokens` are those of a sequence before it was cut and after; `None` for one that was not.
fn cut(sequences: &[Sequence], what: &str, tokens: impl Fn(&Sequence) -> Option<(usize, usize)>) -> Option<Note> {
    let mut cut = sequences
        .iter()
        .filter_map(|sequence| Some((&sequence.name, tokens(sequence)?)));
    let (name, (before, left)) = cut.next()?;
    let count = 1 + cut.count();
    let were = if count == 1 { "was" } else { "were" };
    Some(Note {
        line: None,
        message: format!(
            "{count} of {} {what}s {were} cut to the longest text of the model or its tokenizer, {name} ({before} tokens, \
             {left} left) the first",
            sequences.len()
        ),
    })
}
