//! Induction heads: `A B ... A` makes them look at `B` (Olsson et al. 2022, *In-context learning and induction heads*).
//!
//! They are found on random tokens repeated twice, where nothing but the repetition can tell what comes next: from each
//! token of the second copy, how much attention goes to the token after its first occurrence, and how much to the first
//! occurrence itself (duplicate-token heads, Wang et al. 2022).

use std::{collections::BTreeMap, ops::Range};

use attn_core::{Attention, Capture, Progress, Token, model::Mask};
use ndarray::ArrayView2;

use super::{
    head_score::{Reads, ScoreList},
    score::{HeadScores, Score},
    scoring::Run,
    targets::Targets,
};
use crate::{Error, Rng, error::finite};

/// Sequences of `length` random ids followed by the same ids: what to capture for [`repeat_scores`].
///
/// Ids are drawn from `vocab` without repetition, so that every token of the second copy has exactly one earlier
/// occurrence. Leave special tokens out of `vocab`; put the tokens a model expects around a text (`<s>`, `[CLS]`,
/// `[SEP]`) around each sequence, marked [`special`](attn_core::Token::special). Usual: 20 sequences, `length` 25 to
/// 50.
///
/// # Errors
/// [`Error::Parameter`] if `length` is below 2 or `vocab` has fewer than `length` ids.
///
/// ```
/// let sequences = attn_analyze::heads::repeated_ids(1000..30_000, 25, 20, 0)?;
/// assert_eq!(sequences.len(), 20);
/// assert_eq!(sequences[0][..25], sequences[0][25..]);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
pub fn repeated_ids(vocab: Range<u32>, length: usize, count: usize, seed: u64) -> Result<Vec<Vec<u32>>, Error> {
    if length < 2 {
        return Err(Error::Parameter {
            name: "length",
            expected: "at least 2".into(),
            found: length.to_string(),
        });
    }
    if vocab.len() < length {
        return Err(Error::Parameter {
            name: "vocab",
            expected: format!("at least {length} ids, one per token"),
            found: format!("{vocab:?}"),
        });
    }
    let sequence = |index| {
        // The first `length` draws of a shuffle; only what moved is kept, for a vocabulary may be large.
        let mut rng = Rng::new(seed, &[index]);
        let mut moved: BTreeMap<usize, usize> = BTreeMap::new();
        let first: Vec<u32> = (0..length)
            .filter_map(|place| {
                let from = place + rng.below(vocab.len() - place);
                let drawn = moved.get(&from).copied().unwrap_or(from);
                let displaced = moved.get(&place).copied().unwrap_or(place);
                moved.insert(from, displaced);
                vocab.clone().nth(drawn)
            })
            .collect();
        first.repeat(2)
    };
    Ok((0..count).map(sequence).collect())
}

/// The scores of a list that [read](Reads::RepeatedTokens) repeated tokens, of every head of self-attention. The sequences
/// of the capture are some tokens followed by the same tokens, with special tokens around them.
///
/// Rows are the tokens of the second copy. Join the result to other scores with [`HeadScores::extend`].
///
/// # Errors
/// [`Error::NotRepeated`] for a sequence that is not of that form, otherwise as [`score_heads`](super::score_heads).
pub fn repeat_scores(capture: &Capture, scores: &ScoreList, progress: &dyn Progress) -> Result<Vec<HeadScores>, Error> {
    let heads = capture.model().heads();
    let run = Run {
        capture,
        scores: scores.reading(Reads::RepeatedTokens),
        heads: heads.filter(|head| head.attention != Attention::Cross).collect(),
        sequences: (0..capture.sequences().len()).collect(),
        seed: 0,
    };
    run.score("induction", progress)
}

/// Induction score of one attention matrix `[tokens, tokens]` whose tokens `repeated` are a stretch followed by the
/// same stretch.
///
/// # Errors
/// [`Error::Shape`] if the matrix is not square or `repeated` is not an even stretch of it, [`Error::NotFinite`],
/// [`Error::Empty`] if the mask hides every key that counts.
///
/// ```
/// use attn_analyze::heads::induction_score;
/// use attn_core::model::Mask;
/// use ndarray::Array2;
///
/// // `a b c a b c`: the second `a` (3) looks at the first `b` (1), and so on.
/// let mut attention = Array2::eye(6);
/// for query in 3..6 {
///     attention[[query, query]] = 0.0;
///     attention[[query, query - 2]] = 1.0;
/// }
/// let score = induction_score(attention.view(), Mask::Causal, 0..6)?;
/// assert_eq!(score.value, 1.0);
/// assert!((score.chance - (1.0 / 4.0 + 1.0 / 5.0 + 1.0 / 6.0) / 3.0).abs() < 1e-12);
/// # Ok::<(), attn_analyze::Error>(())
/// ```
pub fn induction_score(attention: ArrayView2<'_, f32>, mask: Mask, repeated: Range<usize>) -> Result<Score, Error> {
    let (queries, keys) = attention.dim();
    if queries != keys || repeated.end > keys || repeated.len() < 4 || !repeated.len().is_multiple_of(2) {
        return Err(Error::Shape {
            place: "attention".into(),
            expected: "a square matrix, and an even stretch of at least 4 of its tokens".into(),
            found: format!("[{queries}, {keys}] and tokens {repeated:?}"),
        });
    }
    finite(attention, || "attention".into())?;
    let (mut value, mut chance, mut rows) = (0.0, 0.0, 0);
    let half = repeated.len() / 2;
    for query in repeated.start + half..repeated.end {
        let stretch = mask.visible_keys(query, keys);
        let key = query - half + 1;
        if stretch.contains(&key) && stretch.len() >= 2 {
            value += f64::from(attention[[query, key]]);
            chance += 1.0 / stretch.len() as f64;
            rows += 1;
        }
    }
    if rows == 0 {
        return Err(Error::Empty {
            place: "attention".into(),
            expected: "a query that sees the token after its first occurrence".into(),
        });
    }
    Ok(Score {
        value: value / rows as f64,
        chance: chance / rows as f64,
        permuted: None,
        rows,
        example: None,
    })
}

/// Where the repeated tokens stand.
pub(super) fn repeated(tokens: &[Token], sequence: &str) -> Result<Range<usize>, Error> {
    let wrong = |found: String| Error::NotRepeated {
        sequence: sequence.to_owned(),
        found,
    };
    let start = tokens.iter().take_while(|token| token.special).count();
    let end = tokens.len() - tokens[start..].iter().rev().take_while(|token| token.special).count();
    let length = end - start;
    if length < 4 || !length.is_multiple_of(2) {
        return Err(wrong(format!("{length} tokens")));
    }
    let half = length / 2;
    let same = |a: &Token, b: &Token| match (a.id, b.id) {
        (Some(a), Some(b)) => a == b,
        _ => a.text == b.text,
    };
    match (start..start + half).find(|&i| !same(&tokens[i], &tokens[i + half])) {
        None => Ok(start..end),
        Some(i) => Err(wrong(format!(
            "`{}` at {i} and `{}` at {}",
            tokens[i].text,
            tokens[i + half].text,
            i + half
        ))),
    }
}

/// From the second copy to the first: to the same token, or so many tokens after it.
pub(super) fn repeat_targets(tokens: usize, repeated: &Range<usize>, after: usize) -> Targets {
    let half = repeated.len() / 2;
    let second = repeated.start + half..repeated.end;
    Targets::single(tokens, |query| second.contains(&query).then(|| query - half + after))
}
