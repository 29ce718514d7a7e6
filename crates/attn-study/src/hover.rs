//! Tooltips: the head or token under the pointer, and the token's attention.

use attn_core::{HeadId, format::signed};
use attn_render::{
    Pick, Target,
    plot::{Tooltip, TooltipWord},
};

use crate::{Place, Study, plots::percent};

/// Limit of words before and after the token in a tooltip.
const AROUND: usize = 24;

impl Study {
    /// The tooltip of a target. A head: its name, role and scores. A token: its sentence, with the attention between token and word as the
    /// shade of each word.
    pub(crate) fn tooltip_of(&self, target: Target) -> Option<Tooltip> {
        match target {
            Target::Head(head) => self.head_tooltip(head),
            Target::Point(pick) => self.token_tooltip(pick),
            _ => None,
        }
    }

    fn head_tooltip(&self, head: HeadId) -> Option<Tooltip> {
        let projection = self.projection(head).ok()?;
        let mut lines: Vec<String> = self.roles.get(&head).cloned().into_iter().collect();
        if let (Some(nearest), Some(chance)) = (projection.plane.nearest, projection.plane.chance) {
            lines.push(format!(
                "nearest key attended most: {} (chance {})",
                percent(nearest),
                percent(chance)
            ));
        }
        for (place, value) in [
            ("in the plot", projection.plane.correlation.value),
            ("in full space", projection.correlation.value),
        ] {
            if let Some(value) = value {
                lines.push(format!("rank correlation {place} {}", signed(value)));
            }
        }
        if let Some(quality) = &projection.quality {
            lines.push(format!("trustworthiness {:.3}", quality.trustworthiness.value));
        }
        lines.push("Click to open".into());
        Some(Tooltip {
            title: self.capture().model().head_name(head),
            lines,
            words: Vec::new(),
        })
    }

    fn token_tooltip(&self, pick: Pick) -> Option<Tooltip> {
        let head = pick.head?;
        let place = self.place(head, pick.id)?;
        let sequence = &self.capture().sequences()[place.sequence];
        let role = if place.query { "query" } else { "key" };
        Some(Tooltip {
            title: self.token(place)?.text.clone(),
            lines: vec![format!(
                "{role} {} of {}{}",
                place.token,
                sequence.name,
                self.weighting.describe()
            )],
            words: self.words(head, place).unwrap_or_default(),
        })
    }

    /// The sentence around a token, with weights of its query to keys, or of queries to its key, weighted as its lines are.
    fn words(&self, head: HeadId, place: Place) -> Option<Vec<TooltipWord>> {
        let weights = self.recent_weights(head, place.sequence).ok()?;
        let sequence = self.capture().sequences().get(place.sequence)?;
        let keys = sequence.tokens(head.attention.key_side()).len();
        let (first, step, other) = match place.query {
            true => (place.token * keys, 1, head.attention.key_side()),
            false => (place.token, keys, head.attention.query_side()),
        };
        let tokens = sequence.tokens(other);
        // Patches have no useful text.
        if tokens.iter().any(|token| token.patch.is_some()) {
            return None;
        }
        let itself = |index: usize| other == place.side && index == place.token;
        let from = place.token.saturating_sub(AROUND);
        let shown = from..(place.token + AROUND).min(tokens.len());
        let word = |index: usize| {
            Some(TooltipWord {
                text: tokens.get(index)?.text.clone(),
                weight: *weights.get(first + step * index)?,
                key: place.query,
                itself: itself(index),
            })
        };
        shown.map(word).collect()
    }
}

#[cfg(test)]
mod tests {
    use attn_models::Capturer;
    use attn_project::{AtlasParams, pca::Pca};

    use super::*;
    use crate::Weighting;

    #[test]
    fn words_have_the_shades_of_the_lines() {
        let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
        let params = AtlasParams {
            method: Pca.into(),
            ..AtlasParams::default()
        };
        let lines = attn_embedded::sentences().take(3);
        let mut study = Study::project(capturer.capture_lines(lines).unwrap(), &params).unwrap();
        study.set_weighting(Weighting::Value);
        let head = study.ranking()[0];
        let weights = study.weights(head, 0).unwrap();
        let (queries, keys) = study.points_of(head, 0);
        let shades = |id: u32| -> Vec<f32> {
            let tooltip = study.tooltip_of(Target::Point(Pick { head: Some(head), id })).unwrap();
            tooltip.words.iter().map(|word| word.weight).collect()
        };
        assert_eq!(shades(queries[2]), weights.row(2).to_vec());
        assert_eq!(shades(keys[1]), weights.column(1).to_vec());
        // A head says its role.
        study.set_roles([(head, "previous token".to_owned())]);
        let tooltip = study.tooltip_of(Target::Head(head)).unwrap();
        assert_eq!(tooltip.lines[0], "previous token");
    }
}
