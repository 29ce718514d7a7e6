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
    /// The tooltip of a target. A head: its name and scores. A token: its sentence, with the attention between token and word as the
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
        let mut lines = Vec::new();
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
            lines: vec![format!("{role} {} of {}", place.token, sequence.name)],
            words: self.words(head, place).unwrap_or_default(),
        })
    }

    /// The sentence around a token, with weights of its query to keys, or of queries to its key.
    fn words(&self, head: HeadId, place: Place) -> Option<Vec<TooltipWord>> {
        let weights = self.capture().attention(head, place.sequence).ok()?;
        let (weights, other) = if place.query {
            (weights.row(place.token), head.attention.key_side())
        } else {
            (weights.column(place.token), head.attention.query_side())
        };
        let tokens = self.capture().sequences()[place.sequence].tokens(other);
        // Patches have no useful text.
        if tokens.iter().any(|token| token.patch.is_some()) {
            return None;
        }
        let itself = |index: usize| other == place.side && index == place.token;
        let first = place.token.saturating_sub(AROUND);
        let shown = first..(place.token + AROUND).min(tokens.len());
        let word = |index: usize| TooltipWord {
            text: tokens[index].text.clone(),
            weight: weights[index],
            key: place.query,
            itself: itself(index),
        };
        Some(shown.map(word).collect())
    }
}
