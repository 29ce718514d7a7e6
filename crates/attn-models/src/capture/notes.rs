//! Remarks on what of the input a model did not read.

use attn_core::{Sequence, Side, text::Note};

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
