//! Quality of projections: preservation of neighborhoods (Venna and Kaski 2001; see `attn_project::quality`), per point and per
//! head, and remarks.

use std::{collections::BTreeSet, sync::Arc};

use attn_core::{HeadId, ModelInfo, scores::ScorePart};
use attn_project::{
    HeadProjection, Warning,
    quality::{Quality, Score},
};

use crate::{Error, Study, attributes::TokenAttribute};

/// A score of the projection itself, as an attribute of its points.
struct Trust {
    name: &'static str,
    label: &'static str,
    caption: &'static str,
    score: fn(&Quality) -> &Score,
    note: fn(f32) -> String,
}

const SCORES: [Trust; 3] = [
    Trust {
        name: "trustworthiness",
        label: "trustworthiness",
        caption: "T, trustworthiness: 1 if all neighbors in the plot are neighbors in the full space. Lower values mean false \
                  neighbors.",
        score: |quality| &quality.trustworthiness,
        note: |value| format!("T {value:.3}"),
    },
    Trust {
        name: "continuity",
        label: "continuity",
        caption: "C, continuity: 1 if all neighbors in the full space are neighbors in the plot. Lower values mean missing \
                  neighbors.",
        score: |quality| &quality.continuity,
        note: |value| format!("C {value:.3}"),
    },
    Trust {
        name: "neighbors-kept",
        label: "share of neighbors kept",
        caption: "Share of each point's ten nearest neighbors in the full space that are among its ten nearest in the plot.",
        score: |quality| &quality.neighbors_kept,
        note: |value| format!("{:.0} % kept", 100.0 * value),
    },
];

/// The scores of the projection as attributes.
pub(crate) fn scores() -> impl Iterator<Item = Arc<dyn TokenAttribute>> {
    let nearest: Arc<dyn TokenAttribute> = Arc::new(AttendedNearest);
    let scores = SCORES
        .into_iter()
        .map(|score| Arc::new(score) as Arc<dyn TokenAttribute>);
    std::iter::once(nearest).chain(scores)
}

/// Of each query, whether its nearest key in the plot is the one that it attends to most.
#[derive(Debug)]
struct AttendedNearest;

impl TokenAttribute for AttendedNearest {
    fn name(&self) -> &str {
        "attended-nearest"
    }

    fn label(&self) -> &str {
        "nearest key is attended most (1) or not (0)"
    }

    fn is_of_head(&self) -> bool {
        true
    }

    /// NaN for keys, and for queries without a choice.
    fn values(&self, study: &Study, head: HeadId) -> Result<Vec<f32>, Error> {
        let projection = study.projection(head)?;
        let found = projection.plane.points.iter();
        let mut values: Vec<f32> = found.map(|found| found.unwrap_or(f32::NAN)).collect();
        values.resize(projection.embedding.points.nrows(), f32::NAN);
        Ok(values)
    }

    fn caption(&self) -> Option<&str> {
        Some(
            "Each query is colored by whether its nearest key in the plot is the one that it attends to most. Under the plots: the \
             share of queries for which it is (chance level), and the rank correlation of distance and attention.",
        )
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl TokenAttribute for Trust {
    fn name(&self) -> &str {
        self.name
    }

    fn label(&self) -> &str {
        self.label
    }

    fn is_of_head(&self) -> bool {
        true
    }

    /// NaN for points that were not scored: [`Quality::sampled`].
    fn values(&self, study: &Study, head: HeadId) -> Result<Vec<f32>, Error> {
        let projection = study.projection(head)?;
        let mut values = vec![f32::NAN; projection.embedding.points.nrows()];
        let Some(quality) = &projection.quality else {
            return Ok(values);
        };
        let score = (self.score)(quality);
        let Some(sampled) = &quality.sampled else {
            return Ok(score.points.clone());
        };
        for (&point, &value) in sampled.iter().zip(&score.points) {
            if let Some(place) = values.get_mut(point as usize) {
                *place = value;
            }
        }
        Ok(values)
    }

    fn note(&self, head: &HeadProjection) -> Option<String> {
        Some((self.note)((self.score)(head.quality.as_ref()?).value))
    }

    fn caption(&self) -> Option<&str> {
        Some(self.caption)
    }
}

impl Study {
    /// A value per point of a head by the name of an [attribute](TokenAttribute), such as `trustworthiness`; `None` if there is
    /// no attribute of that name.
    ///
    /// # Errors
    /// [`Error::NotProjected`], and those of the attribute.
    pub fn attribute(&self, head: HeadId, name: &str) -> Result<Option<Vec<f32>>, Error> {
        self.projection(head)?;
        let attribute = self.attributes().find(|attribute| attribute.name() == name);
        attribute.map(|attribute| attribute.values(self, head)).transpose()
    }

    /// Warnings about a head's projection, a sentence each, such as a disconnected neighbor graph, and what nearness does not
    /// show of its scores.
    ///
    /// # Errors
    /// [`Error::NotProjected`].
    pub fn remarks(&self, head: HeadId) -> Result<Vec<String>, Error> {
        let mut remarks = sentences(&self.projection(head)?.embedding.warnings);
        remarks.extend(left_out(self.capture().model(), [head]));
        Ok(remarks)
    }
}

/// A sentence on the parts of the scores of these heads that distances between queries and keys leave out, if there are any.
pub(crate) fn left_out(model: &ModelInfo, heads: impl IntoIterator<Item = HeadId>) -> Option<String> {
    let parts = heads.into_iter().flat_map(|head| {
        let info = model.attention(head.attention);
        info.map_or_else(Vec::new, |info| info.score_parts(head.layer))
    });
    let parts: BTreeSet<ScorePart> = parts.collect();
    let names: Vec<&str> = parts.into_iter().map(ScorePart::name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "Nearness does not show these parts of the scores: {}.",
            names.join(", ")
        )
    })
}

/// Warnings as sentences.
pub(crate) fn sentences(warnings: &[Warning]) -> Vec<String> {
    let sentence = |warning: &Warning| {
        let text = warning.to_string();
        let mut letters = text.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(letters).chain(['.']).collect()
    };
    warnings.iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use attn_core::{
        Attention,
        model::{AttentionInfo, LayerAttention, Mask},
        scores::Alibi,
    };

    use super::*;

    #[test]
    fn what_distances_leave_out_is_said_once_for_all_heads() {
        let layer = LayerAttention::new(1.0, Mask::Causal);
        let sunk = LayerAttention {
            sinks: Some(vec![0.5; 2]),
            ..layer.clone()
        };
        let plain = AttentionInfo::new(Attention::EncoderSelf, 2, 4, vec![layer.clone()]);
        let biased = AttentionInfo {
            alibi: Some(Alibi::of_heads(2)),
            ..AttentionInfo::new(Attention::DecoderSelf, 2, 4, vec![layer, sunk])
        };
        let model = ModelInfo::new("m", "f", 8).with_attention(plain).with_attention(biased);
        let of = |layer, head| HeadId::new(Attention::DecoderSelf, layer, head);
        assert_eq!(left_out(&model, [HeadId::new(Attention::EncoderSelf, 0, 0)]), None);
        assert_eq!(
            left_out(&model, [of(0, 0), of(0, 1)]).unwrap(),
            "Nearness does not show these parts of the scores: ALiBi position bias."
        );
        assert_eq!(
            left_out(&model, model.heads()).unwrap(),
            "Nearness does not show these parts of the scores: ALiBi position bias, sink."
        );
    }
}
