//! What appears under the pointer: which head, which token, and where that token looks.

use attn_core::{HeadId, format::signed};
use attn_render::{
    Cell, Colors, Hit, Pick, Projection, Scene, View,
    views::overlay::{self, Tooltip},
};

use crate::{Place, Study};

/// Words before and after the token that a tooltip shows.
const AROUND: usize = 24;

impl Study {
    /// Draws what the pointer is over onto the scene's overlay, and nothing if it is over nothing. `size` is that of the
    /// target and `pointer` a position on it, in pixels; `head` and `hit` are what a controller or picker found there.
    ///
    /// Over the matrix: the head's name and numbers. Over a head: the token with its whole sentence, each word on a ground as strong
    /// as the attention between the two.
    pub fn draw_hover(
        &self,
        scene: &mut Scene,
        view: &View,
        size: [f32; 2],
        pointer: [f32; 2],
        head: Option<HeadId>,
        hit: Option<Hit>,
    ) {
        overlay::clear(scene);
        let colors = view.colors();
        let tooltip = match (view.open, head) {
            (None, Some(head)) => {
                overlay::frame_head(scene, head, &colors);
                self.head_tooltip(head)
            }
            (Some(head), _) => hit.and_then(|hit| {
                let tooltip = self.token_tooltip(
                    Pick {
                        head: Some(head),
                        id: hit.id?,
                    },
                    &colors,
                )?;
                overlay::ring(scene, hit, &colors);
                Some(tooltip)
            }),
            (None, None) => None,
        };
        if let Some(tooltip) = tooltip {
            let projection = Projection::new(scene, view, size);
            overlay::tooltip(scene, &projection, pointer, &tooltip, &colors);
        }
    }

    fn head_tooltip(&self, head: HeadId) -> Option<Tooltip> {
        let projection = self.projection(head).ok()?;
        let mut lines = Vec::new();
        if let Some(value) = projection.correlation.value {
            lines.push(format!("distance-attention correlation {}", signed(value)));
        }
        lines.push(format!(
            "trustworthiness {:.3}",
            projection.quality.trustworthiness.value
        ));
        lines.push("click to open".into());
        Some(Tooltip {
            title: self.capture().model().head_name(head),
            lines,
            words: Vec::new(),
        })
    }

    fn token_tooltip(&self, pick: Pick, colors: &Colors) -> Option<Tooltip> {
        let head = pick.head?;
        let place = self.place(head, pick.id)?;
        let sequence = &self.capture().sequences()[place.sequence];
        let role = if place.query { "query" } else { "key" };
        Some(Tooltip {
            title: self.token(place).text.clone(),
            lines: vec![format!("{role} {} of {}", place.token, sequence.name)],
            words: self.words(head, place, colors).unwrap_or_default(),
        })
    }

    /// The sentence around a token: what the query attends to, or what attends to the key.
    fn words(&self, head: HeadId, place: Place, colors: &Colors) -> Option<Vec<Cell>> {
        let weights = self.capture().attention(head, place.sequence).ok()?;
        let (weights, other, color) = if place.query {
            (weights.row(place.token), head.attention.key_side(), colors.key)
        } else {
            (weights.column(place.token), head.attention.query_side(), colors.query)
        };
        let tokens = self.capture().sequences()[place.sequence].tokens(other);
        // Patches have no text worth reading.
        if tokens.iter().any(|token| token.patch.is_some()) {
            return None;
        }
        let itself = |index: usize| other == place.side && index == place.token;
        let first = place.token.saturating_sub(AROUND);
        let shown = first..(place.token + AROUND).min(tokens.len());
        let cell = |index: usize| Cell {
            text: tokens[index].text.as_str().into(),
            fill: color.alpha(weights[index]),
            color: if itself(index) { colors.accent } else { colors.text },
        };
        Some(shown.map(cell).collect())
    }
}
