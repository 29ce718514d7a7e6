//! Can I trust what I see? How far a picture shows what is near in the space (Venna and Kaski 2001; METHODS in
//! `attn_project::quality`), as a value per point, a number per head, and remarks.

use attn_core::HeadId;
use attn_project::{HeadProjection, Warning, quality::Score};
use attn_render::ColorMode;

use crate::{Error, Study};

/// The score that a colour mode stands for; `None` for modes that say something else.
fn score(projection: &HeadProjection, mode: ColorMode) -> Option<&Score> {
    let quality = projection.quality.as_ref()?;
    match mode {
        ColorMode::Trustworthiness => Some(&quality.trustworthiness),
        ColorMode::Continuity => Some(&quality.continuity),
        ColorMode::NeighborsKept => Some(&quality.neighbors_kept),
        _ => None,
    }
}

/// Whether a mode is a score of the picture itself.
pub(crate) fn is_score(mode: ColorMode) -> bool {
    matches!(
        mode,
        ColorMode::Trustworthiness | ColorMode::Continuity | ColorMode::NeighborsKept
    )
}

/// A few characters under a plot of the matrix, in such a mode.
pub(crate) fn note(projection: &HeadProjection, mode: ColorMode) -> Option<String> {
    let score = score(projection, mode)?;
    Some(match mode {
        ColorMode::Trustworthiness => format!("T {:.3}", score.value),
        ColorMode::Continuity => format!("C {:.3}", score.value),
        _ => format!("{:.0} % kept", 100.0 * score.value),
    })
}

/// What the matrix says under its plots, in such a mode.
pub(crate) fn caption(mode: ColorMode) -> Option<&'static str> {
    match mode {
        ColorMode::Trustworthiness => Some(
            "T, trustworthiness: 1 where all that is near in the picture is near in the space. The lower, the more neighbours \
             do not belong there.",
        ),
        ColorMode::Continuity => Some(
            "C, continuity: 1 where all that is near in the space is near in the picture. The lower, the farther a point was \
             torn from its neighbours.",
        ),
        ColorMode::NeighborsKept => Some(
            "The share of each point's ten nearest neighbours in the space that are among its ten nearest in the picture.",
        ),
        _ => None,
    }
}

impl Study {
    /// How well each point of a head's picture shows its neighbourhood, as `mode` asks; NaN for points that were not scored
    /// ([`Quality::sampled`](attn_project::quality::Quality::sampled)). `None` for modes that are no score of the picture.
    ///
    /// # Errors
    /// [`Error::NotProjected`].
    pub fn trust(&self, head: HeadId, mode: ColorMode) -> Result<Option<Vec<f32>>, Error> {
        let projection = self.projection(head)?;
        let Some(score) = score(projection, mode) else {
            return Ok(None);
        };
        let Some(sampled) = projection.quality.as_ref().and_then(|quality| quality.sampled.as_ref()) else {
            return Ok(Some(score.points.clone()));
        };
        let mut values = vec![f32::NAN; projection.embedding.points.nrows()];
        for (&point, &value) in sampled.iter().zip(&score.points) {
            if let Some(place) = values.get_mut(point as usize) {
                *place = value;
            }
        }
        Ok(Some(values))
    }

    /// What to keep in mind with a head's picture, a sentence each: a graph in pieces, groups that the perplexity hides.
    ///
    /// # Errors
    /// [`Error::NotProjected`].
    pub fn remarks(&self, head: HeadId) -> Result<Vec<String>, Error> {
        Ok(sentences(&self.projection(head)?.embedding.warnings))
    }
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
