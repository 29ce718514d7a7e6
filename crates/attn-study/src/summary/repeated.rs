//! Induction: the model on random tokens repeated twice, where nothing but the repetition tells what comes next.

use std::collections::BTreeSet;

use attn_analyze::heads::{HeadScores, ScoreList, repeat_scores, repeated_ids};
use attn_core::{Attention, Capture, Progress, Sequence, Side, Token};
use attn_models::Capturer;

use crate::Error;

/// Tokens that are repeated, if the model takes so many.
const LENGTH: usize = 25;
/// Fewer say nothing.
const SHORTEST: usize = 4;
const SEQUENCES: usize = 20;

/// Scores on repeated tokens; `None` for models of images, of pairs of texts, and of texts too short to repeat anything.
pub(super) fn scores(
    capture: &Capture,
    model: &Capturer,
    scores: &ScoreList,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Option<Vec<HeadScores>>, Error> {
    let info = capture.model();
    let single = info.attentions.len() == 1 && info.attention(Attention::Cross).is_none();
    let Some(side) = info
        .attentions
        .first()
        .map(|info| info.attention.query_side())
        .filter(|_| single)
    else {
        return Ok(None);
    };
    let Some(frame) = capture
        .sequences()
        .iter()
        .find(|sequence| sequence.tokens(side).iter().all(|t| t.id.is_some()))
    else {
        return Ok(None);
    };
    // Tokens of this data set, for a vocabulary may hold many that the model never saw.
    let known: BTreeSet<(u32, &str)> = capture
        .sequences()
        .iter()
        .flat_map(|sequence| sequence.tokens(side))
        .filter(|token| !token.special)
        .filter_map(|token| Some((token.id?, token.text.as_str())))
        .collect();
    let known: Vec<(u32, &str)> = known.into_iter().collect();
    // The special tokens that a text of this model has around it.
    let tokens = frame.tokens(side);
    let before = tokens.iter().take_while(|token| token.special).count();
    let after = tokens
        .iter()
        .rev()
        .take_while(|token| token.special)
        .count()
        .min(tokens.len() - before);
    let room = info
        .max_tokens
        .map_or(2 * LENGTH, |most| most.saturating_sub(before + after));
    let length = LENGTH.min(room / 2).min(known.len());
    if length < SHORTEST {
        return Ok(None);
    }
    let range = 0..u32::try_from(known.len()).unwrap_or(u32::MAX);
    let sequence = |(index, numbers): (usize, Vec<u32>)| {
        let word = |number: u32| {
            let (id, text) = known[number as usize];
            Token {
                id: Some(id),
                text: text.to_owned(),
                ..Token::default()
            }
        };
        let head = tokens[..before].iter().cloned();
        let tail = tokens[tokens.len() - after..].iter().cloned();
        let tokens = head.chain(numbers.into_iter().map(word)).chain(tail).enumerate();
        let tokens = tokens.map(|(position, token)| Token {
            position,
            span: None,
            ..token
        });
        let mut sequence = Sequence {
            name: format!("repeated tokens {}", index + 1),
            ..Sequence::default()
        };
        match side {
            Side::Encoder => sequence.encoder = tokens.collect(),
            Side::Decoder => sequence.decoder = tokens.collect(),
        }
        sequence
    };
    let sequences = repeated_ids(range, length, SEQUENCES, seed)?;
    let sequences = sequences.into_iter().enumerate().map(sequence);
    let outcome = model.sequences(sequences).progress(progress).run()?;
    Ok(Some(repeat_scores(&outcome.capture, scores, progress)?))
}
