//! The plots of one sequence: its attention in a head as lines or over its image, and in every head at once.

use std::{collections::BTreeSet, sync::Arc};

use attn_analyze::heads::mean_by_position;
use attn_core::{HeadId, Limits, Sequence, Side, Token};
use attn_render::{
    attention::switch_off,
    plots::{Aggregate, ImageAttention, Overview, OverviewHead, Sentence, SentenceToken, TokenOrigin},
};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::{Error, Study, image::load_image, weighting::shared};

/// Limits of positions and of weights in the aggregate plot: a tenth of a second of work.
const POSITIONS: usize = 64;
const READ: usize = 20_000_000;

impl Study {
    /// A head's mean weights by position over the drawn sequences (AttentionViz, the aggregate view): the first 64 positions, of
    /// a number of sequences that takes a moment to read; the subtitle states it.
    ///
    /// # Errors
    /// [`Error::Core`] for a head that does not exist.
    pub fn aggregate(&self, head: HeadId) -> Result<Aggregate, Error> {
        self.aggregate_without(head, &|_, _, _| false)
    }

    /// The same with tokens switched off in every sequence: `off` is asked per token with its side (true: as a query) and its
    /// position. What a key that is off got goes to the others; a query that is off is not counted.
    ///
    /// # Errors
    /// As [`aggregate`](Self::aggregate).
    pub fn aggregate_without(
        &self,
        head: HeadId,
        off: &dyn Fn(&Token, bool, usize) -> bool,
    ) -> Result<Aggregate, Error> {
        let all = self.capture().sequences();
        let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
        let mut read = 0;
        let some: Vec<usize> = self
            .sequences()
            .iter()
            .copied()
            .take_while(|&sequence| {
                let first = read == 0;
                read += all[sequence].tokens(query_side).len() * all[sequence].tokens(key_side).len();
                first || read <= READ
            })
            .collect();
        let left = |&sequence: &usize| {
            let weights = self.weights(head, sequence)?;
            let side = |side, query: bool| -> Vec<bool> {
                let tokens = all[sequence].tokens(side).iter().enumerate();
                tokens.map(|(position, token)| off(token, query, position)).collect()
            };
            let (queries, keys) = (side(query_side, true), side(key_side, false));
            // The mean divides rows by their sum, so that empty ones do not count.
            without(weights, |query| queries[query], |key| keys[key])
        };
        let mean = mean_by_position(some.iter().map(left), POSITIONS)?;
        let mut plot = Aggregate::new(head, shared(&mean), mean.nrows(), mean.ncols());
        let info = self.capture().model();
        plot.title = format!("Head {}, mean by position", info.head_name(head));
        let what = if self.is_image(0) { "images" } else { "sequences" };
        plot.subtitle = format!("{}: {} {what}{}", info.name, some.len(), self.weighting.describe());
        plot.caption = if self.is_image(0) {
            "Mean attention over images, from each position (row) to each position (column)."
        } else {
            "Mean attention over sequences, from each position (row) to each position (column). The last rows include only the \
             longest sequences."
        }
        .to_owned();
        Ok(plot)
    }

    /// One sequence's attention in a head as lines between its queries and keys (AttentionViz, the sentence view); of a long one
    /// the part from [`ViewState::first_token`](attn_render::ViewState::first_token) on.
    ///
    /// # Errors
    /// [`Error::Core`] for a head or sequence that does not exist.
    pub fn sentence(&self, head: HeadId, sequence: usize) -> Result<Sentence, Error> {
        let weights = self.recent_weights(head, sequence)?;
        let item = &self.capture().sequences()[sequence];
        let queries = words(item, head.attention.query_side());
        let keys = match head.attention.key_side() {
            side if side == head.attention.query_side() => queries.clone(),
            side => words(item, side),
        };
        let info = self.capture().model();
        Ok(Sentence {
            // Short, for narrow panes; the model comes after.
            title: format!("Head {}, {}", info.head_name(head), item.name),
            subtitle: format!("{}{}: {}", info.name, self.weighting.describe(), subtitle(item)),
            origins: [head.attention.query_side(), head.attention.key_side()].map(|side| origins(item, side)),
            ..Sentence::new(head, queries, keys, weights)
        })
    }

    /// The ids of the tokens of a sequence that are off, as [`ViewState::hidden`](attn_render::ViewState::hidden) takes them: queries,
    /// then keys.
    pub fn switched_off(&self, head: HeadId, sequence: usize, off: SwitchedOff) -> BTreeSet<u32> {
        let item = self.capture().sequences().get(sequence).into_iter();
        let sides = [head.attention.query_side(), head.attention.key_side()];
        let tokens = item.flat_map(|item| sides.into_iter().flat_map(|side| item.tokens(side).iter().enumerate()));
        tokens
            .zip(0..)
            .filter(|((position, token), _)| off.has(token, *position))
            .map(|(_, id)| id)
            .collect()
    }

    /// A sequence's weights `[query, key]` with tokens switched off, by the ids of a sentence: queries, then keys.
    pub(crate) fn weights_without(
        &self,
        head: HeadId,
        sequence: usize,
        hidden: &BTreeSet<u32>,
    ) -> Result<Array2<f32>, Error> {
        without_ids(self.weights(head, sequence)?, hidden)
    }

    /// One image's attention in a head (AttentionViz, the image view): the heat map of `patch` (row and column; by default the
    /// center) and the strongest flows.
    ///
    /// # Errors
    /// [`Error::NotAnImage`], [`Error::Core`] for a head or sequence that does not exist, [`Error::Models`] if the image cannot
    /// be read again.
    pub fn image(&self, head: HeadId, sequence: usize, patch: Option<(usize, usize)>) -> Result<ImageAttention, Error> {
        let weights = self.recent_weights(head, sequence)?;
        let item = &self.capture().sequences()[sequence];
        let info = self.capture().model();
        let title = format!(
            "Head {}, {}{}",
            info.head_name(head),
            item.name,
            self.weighting.describe()
        );
        let plot = on_image(head, item, weights, patch, self.limits)?;
        Ok(ImageAttention {
            title,
            subtitle: info.name.clone(),
            ..plot
        })
    }

    /// One sequence's attention in every captured head, small (Vig 2019, the model view); a click opens a head.
    ///
    /// # Errors
    /// [`Error::Core`] for a sequence that does not exist.
    pub fn overview(&self, sequence: usize) -> Result<Overview, Error> {
        let mut heads = Vec::new();
        for head in self.capture().model().heads() {
            let weights = self.weights(head, sequence)?;
            heads.push(OverviewHead {
                head,
                queries: weights.nrows(),
                keys: weights.ncols(),
                attention: shared(&weights),
            });
        }
        // An invalid sequence fails above, except in a model without heads.
        let item = self.capture().sequences().get(sequence);
        let name = item.map_or("", |item| &item.name);
        Ok(Overview {
            title: format!(
                "{}: every head at {name}{}",
                self.capture().model().name,
                self.weighting.describe()
            ),
            subtitle: item.map(subtitle).unwrap_or_default(),
            ..Overview::new(heads)
        })
    }
}

/// Tokens that are switched off in every sequence: what they got goes to the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SwitchedOff {
    /// Special tokens. Default: no.
    pub special: bool,
    /// The first token of a sequence. Default: no.
    pub first: bool,
}

impl SwitchedOff {
    /// Whether a token at a position is off.
    pub fn has(self, token: &Token, position: usize) -> bool {
        (self.special && token.special) || (self.first && position == 0)
    }
}

/// Weights with tokens switched off, by the ids of a sentence: queries, then keys.
pub(crate) fn without_ids(weights: Array2<f32>, hidden: &BTreeSet<u32>) -> Result<Array2<f32>, Error> {
    let queries = weights.nrows();
    let off = |id: usize| u32::try_from(id).is_ok_and(|id| hidden.contains(&id));
    without(weights, off, |key| off(queries + key))
}

/// Weights with tokens switched off: rows and columns of 0, the rest of each row divided by its sum.
fn without(
    weights: Array2<f32>,
    query: impl Fn(usize) -> bool,
    key: impl Fn(usize) -> bool,
) -> Result<Array2<f32>, Error> {
    let (queries, keys) = weights.dim();
    if !(0..queries).any(&query) && !(0..keys).any(&key) {
        return Ok(weights);
    }
    let left = switch_off(&shared(&weights), queries, keys, query, key)?;
    let mut all = Array2::zeros((queries, keys));
    for (row, &query) in left.queries.iter().enumerate() {
        for (column, &key) in left.keys.iter().enumerate() {
            all[[query, key]] = left.weights[row * left.keys.len() + column];
        }
    }
    Ok(all)
}

/// Weights `[token, token]` of an image drawn over it.
pub(crate) fn on_image(
    head: HeadId,
    item: &Sequence,
    weights: Arc<[f32]>,
    patch: Option<(usize, usize)>,
    limits: Limits,
) -> Result<ImageAttention, Error> {
    let Some(image) = &item.image else {
        return Err(Error::NotAnImage {
            sequence: item.name.clone(),
        });
    };
    let tokens = item.tokens(head.attention.query_side());
    let special = tokens.iter().take_while(|token| token.special).count();
    let picture = load_image(item, limits)?;
    let mut plot = ImageAttention::new(head, picture, image.rows, image.columns, special, weights);
    plot.origins = [head.attention.query_side(), head.attention.key_side()].map(|side| origins(item, side));
    if let Some(patch) = patch {
        // A patch outside the grid names a token that does not exist, which the plot refuses with both numbers.
        plot.token = tokens
            .iter()
            .position(|token| token.patch == Some(patch))
            .unwrap_or(tokens.len());
    }
    Ok(plot)
}

/// A sequence's tokens as plots take them.
pub(crate) fn words(item: &Sequence, side: Side) -> Arc<[SentenceToken]> {
    let tokens = item.tokens(side).iter();
    tokens
        .map(|token| SentenceToken::new(token.text.as_str(), token.special))
        .collect()
}

/// Which tokens those of a sequence are, for tables.
fn origins(item: &Sequence, side: Side) -> Arc<[TokenOrigin]> {
    let name: Arc<str> = item.name.as_str().into();
    let tokens = item.tokens(side).iter().zip(0..);
    tokens
        .map(|(token, position)| TokenOrigin {
            sequence: name.clone(),
            position,
            token: token.id,
        })
        .collect()
}

pub(crate) fn subtitle(sequence: &Sequence) -> String {
    match (sequence.cut_from.or(sequence.target_cut_from), &sequence.text) {
        (Some(tokens), _) => format!("truncated from {tokens} tokens to the model's limit"),
        (None, Some(text)) => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use attn_models::Capturer;
    use attn_project::{AtlasParams, pca::Pca};
    use attn_render::ViewState;

    use super::*;

    #[test]
    fn tokens_that_are_off_leave_their_attention_to_the_others() {
        let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
        let lines = attn_embedded::sentences().take(6);
        let params = AtlasParams {
            method: Pca.into(),
            ..AtlasParams::default()
        };
        let study = Study::project(capturer.capture_lines(lines).unwrap(), &params).unwrap();
        let head = study.ranking()[0];
        let plain = study.weights(head, 0).unwrap();
        let (queries, keys) = plain.dim();

        // The first key, and the second query.
        let mut state = ViewState::default();
        let key = u32::try_from(queries).unwrap();
        state.hidden = [1, key].into();
        state.open_head(head);
        state.hidden = [1, key].into();
        let plot = study.head(head, Some(0), &state).unwrap();
        let lines = plot.sequence.unwrap().attention;
        for query in 0..queries {
            for key in 0..keys {
                let expected = match (query, key) {
                    (1, _) | (_, 0) => 0.0,
                    _ => plain[[query, key]] / (1.0 - plain[[query, 0]]),
                };
                assert!((lines[query * keys + key] - expected).abs() < 1e-5, "{query} {key}");
            }
        }

        // The first key of every sequence: the mean of what is left, by hand.
        let mean = study
            .aggregate_without(head, &|_, query, position| !query && position == 0)
            .unwrap();
        let mut row = vec![0.0_f64; mean.keys];
        for sequence in 0..study.capture().sequences().len() {
            let weights = study.weights(head, sequence).unwrap();
            for key in 1..weights.ncols() {
                row[key] += f64::from(weights[[0, key]] / (1.0 - weights[[0, 0]]));
            }
        }
        let counts: Vec<usize> = (0..mean.keys)
            .map(|key| {
                study
                    .capture()
                    .sequences()
                    .iter()
                    .filter(|item| item.encoder.len() > key)
                    .count()
            })
            .collect();
        row.iter_mut().zip(counts).for_each(|(sum, count)| *sum /= count as f64);
        let whole: f64 = row.iter().sum();
        for (key, value) in row.iter().enumerate() {
            assert!((f64::from(mean.mean[key]) - value / whole).abs() < 1e-5, "{key}");
        }
    }
}
