//! `atlas.json`: the data of plots for other programs; and the table of sequences.

use attn_core::{HeadId, ModelInfo, Sequence, Side, table::Table};
use attn_project::{
    AtlasParams, HeadProjection,
    head::{DistanceCorrelation, PlaneScore},
    pca::EXPLAINED_VARIANCE,
    quality::Quality,
    tsne::KL_DIVERGENCE,
};
use serde::Serialize;

use crate::Study;

/// All data of a study.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model's facts.
    pub model: ModelInfo,
    /// Parameters of normalization, projection and quality.
    pub parameters: AtlasParams,
    /// The sequences whose tokens are points, with their tokens.
    pub sequences: Vec<Sequence>,
    /// Per row of `queries` and `keys` of an encoder-side head: index into `sequences`, and token in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub encoder_rows: Vec<[usize; 2]>,
    /// The same for the decoder side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decoder_rows: Vec<[usize; 2]>,
    /// The heads, in the order of the model.
    pub heads: Vec<HeadReport>,
}

/// One head.
#[derive(Debug, Clone, Serialize)]
pub struct HeadReport {
    /// The head.
    #[serde(flatten)]
    pub head: HeadId,
    /// The factor c: queries are multiplied by it, keys divided.
    pub scale: f32,
    /// Weighted correlation of dot product and distance that c reaches; `null` if c was not searched for.
    pub scale_correlation: Option<f32>,
    /// What holds in the layout: the share of queries whose nearest key is the one they attend to most, its chance level, and
    /// the rank correlation of distance and attention.
    pub plane: PlaneScore,
    /// The same correlation in the full space, before the projection.
    pub correlation: DistanceCorrelation,
    /// Mean length of the queries before normalization.
    pub query_norm: f32,
    /// Mean length of the keys before normalization.
    pub key_norm: f32,
    /// Trustworthiness, continuity and neighbors kept; `null` below three points.
    pub quality: Option<Quality>,
    /// Kullback-Leibler divergence, for t-SNE.
    pub kl_divergence: Option<f32>,
    /// Share of the variance per axis, for PCA.
    pub explained_variance: Option<Vec<f32>>,
    /// Coordinates of the queries, `[row][axis]`.
    pub queries: Vec<Vec<f32>>,
    /// Coordinates of the keys, `[row][axis]`.
    pub keys: Vec<Vec<f32>>,
}

impl Report {
    pub(crate) fn new(study: &Study) -> Self {
        let all = study.capture().sequences();
        let rows = |side: Side| {
            let tokens = |(index, &sequence): (usize, &usize)| {
                (0..all[sequence].tokens(side).len()).map(move |token| [index, token])
            };
            study.sequences().iter().enumerate().flat_map(tokens).collect()
        };
        let heads = study.heads().map(|head| {
            let points =
                |range: std::ops::Range<usize>| range.map(|row| head.embedding.points.row(row).to_vec()).collect();
            // A host may insert what it likes.
            let count = head.embedding.points.nrows();
            let queries = head.queries.min(count);
            let diagnostic = |name| {
                let values = head.embedding.diagnostic(name)?;
                Some(values.iter().map(|&value| value as f32).collect::<Vec<f32>>())
            };
            HeadReport {
                head: head.head,
                scale: head.normalization.scale,
                scale_correlation: head.normalization.correlation,
                plane: head.plane.clone(),
                correlation: head.correlation,
                query_norm: head.query_norm,
                key_norm: head.key_norm,
                quality: head.quality.clone(),
                kl_divergence: diagnostic(KL_DIVERGENCE).and_then(|values| values.first().copied()),
                explained_variance: diagnostic(EXPLAINED_VARIANCE),
                queries: points(0..queries),
                keys: points(queries..count),
            }
        });
        Self {
            model: study.capture().model().clone(),
            parameters: study.params().clone(),
            sequences: study
                .sequences()
                .iter()
                .map(|&sequence| all[sequence].clone())
                .collect(),
            encoder_rows: rows(Side::Encoder),
            decoder_rows: rows(Side::Decoder),
            heads: heads.collect(),
        }
    }
}

impl Study {
    /// The heads projected so far, a row each: what their plots show of attention, beside the same in the full space, and how
    /// faithful the layout is.
    pub fn heads_table(&self) -> Table {
        let heads: Vec<&HeadProjection> = self.heads().collect();
        let mut table = Table::new(heads.len());
        table.texts("head", |row| self.capture().model().head_name(heads[row].head));
        table.numbers("nearest key attended most", |row| heads[row].plane.nearest);
        table.numbers("nearest key attended most, chance", |row| heads[row].plane.chance);
        table.numbers("queries", |row| heads[row].plane.queries);
        table.numbers("rank correlation in the plot", |row| heads[row].plane.correlation.value);
        table.numbers("rank correlation in full space", |row| heads[row].correlation.value);
        let quality = |row: usize| heads[row].quality.as_ref();
        table.numbers("trustworthiness", |row| Some(quality(row)?.trustworthiness.value));
        table.numbers("continuity", |row| Some(quality(row)?.continuity.value));
        table.numbers("neighbors kept", |row| Some(quality(row)?.neighbors_kept.value));
        table.numbers("scale c", |row| heads[row].normalization.scale);
        table.numbers("mean query length", |row| heads[row].query_norm);
        table.numbers("mean key length", |row| heads[row].key_norm);
        table
    }

    /// The sequences of the capture, a row each: name, text, label if there are any, tokens on either side, and whether its tokens
    /// are points.
    pub fn sequences_table(&self) -> Table {
        let all = self.capture().sequences();
        let mut table = Table::new(all.len());
        table.texts("sequence", |row| all[row].name.as_str());
        table.texts("text", |row| all[row].text.as_deref().unwrap_or_default());
        if all.iter().any(|sequence| sequence.label.is_some()) {
            table.texts("label", |row| all[row].label.clone().unwrap_or_default());
        }
        for (side, name) in [(Side::Encoder, "encoder_tokens"), (Side::Decoder, "decoder_tokens")] {
            if self.capture().tokens(side) > 0 {
                table.numbers(name, |row| all[row].tokens(side).len());
            }
        }
        let drawn = |row: usize| self.sequences().binary_search(&row).is_ok();
        table.texts("drawn", |row| if drawn(row) { "yes" } else { "no" });
        table
    }
}
