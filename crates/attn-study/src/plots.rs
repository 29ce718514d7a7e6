//! The plots of heads, all of them and one: a study's projections, colors and texts in the terms of `attn-render`.

use std::sync::Arc;

use attn_core::{
    Attention, HeadId,
    format::{signed, three_digits},
};
use attn_project::{Dims, HeadProjection, Method, pca::Pca};
use attn_render::{
    ViewState,
    plots::{Head, HeadSequence, Matrix, MatrixPanel, Texts},
};

use crate::{
    Error, Study,
    attributes::{Colored, Values},
    trust::left_out,
    weighting::shared,
};

/// Caption of the matrix.
const CAPTION: &str = "Each plot is one attention head: queries and keys in a joint projection, so that near means attended. \
                       ρ is the rank correlation of distance and attention in the full space; −1 is perfect.";

impl Study {
    /// The matrix of all heads (AttentionViz, the matrix view), in the colors of the state.
    ///
    /// # Errors
    /// [`Error::Core`] for values that the capture does not have, [`Error::Render`] for coordinates that are not finite.
    pub fn matrix(&self, state: &ViewState) -> Result<Matrix, Error> {
        let attribute = match self.colored(state) {
            Some(Colored::Attribute(attribute)) => Some(attribute),
            _ => None,
        };
        let own = attribute.is_some_and(|attribute| attribute.is_of_head());
        // Heads of one kind of attention have the same tokens; only some values are a head's own.
        let mut shared: Vec<(Attention, SharedByHeads)> = Vec::new();
        let mut panels = Vec::new();
        let mut color_by = None;
        for projection in self.heads() {
            let head = projection.head;
            let known = shared.iter().find(|(attention, _)| *attention == head.attention);
            let mut of_head = match known {
                Some((_, known)) => known.clone(),
                None => {
                    let new = self.shared_by_heads(head, state)?;
                    shared.push((head.attention, new.clone()));
                    new
                }
            };
            if own && known_before(&panels, head.attention) {
                of_head.values = self.values(head, state)?;
            }
            let note = attribute
                .and_then(|attribute| attribute.note(projection))
                .unwrap_or_else(|| {
                    let value = projection.correlation.value;
                    value.map_or_else(String::new, |value| format!("ρ {}", signed(value)))
                });
            if let Some(values) = &of_head.values {
                color_by.get_or_insert_with(|| values.by.clone());
            }
            panels.push(MatrixPanel {
                values: of_head.values.map(|values| values.values),
                labels: of_head.labels,
                searched: of_head.searched,
                hidden: of_head.hidden,
                note,
                ..MatrixPanel::new(head, self.coordinates(head)?, projection.queries)
            });
        }
        let info = self.capture().model();
        Ok(Matrix {
            title: format!("{}: queries and keys of every attention head", info.name),
            subtitle: format!("{} · {}", self.methods(), self.data()),
            caption: match attribute.and_then(|attribute| attribute.caption()) {
                Some(caption) => caption.to_owned(),
                None => match left_out(info, self.heads().map(|projection| projection.head)) {
                    Some(left_out) => format!("{CAPTION} {left_out}"),
                    None => CAPTION.to_owned(),
                },
            },
            panels,
            pending: self.pending(),
            roles: self.roles.clone(),
            color_by,
        })
    }

    /// Data shared by the heads of one kind of attention.
    fn shared_by_heads(&self, head: HeadId, state: &ViewState) -> Result<SharedByHeads, Error> {
        Ok(SharedByHeads {
            values: self.values(head, state)?,
            labels: self.labels(head),
            searched: self.searched(head, &state.shared.search),
            hidden: self.hidden_points(head).into(),
        })
    }

    /// One head (AttentionViz, the single view), in the colors of the state, with the tokens and attention lines of `sequence`
    /// highlighted.
    ///
    /// # Errors
    /// [`Error::NotProjected`], [`Error::Core`] for a sequence that does not exist, [`Error::Models`] for images that cannot be
    /// read again.
    pub fn head(&self, head: HeadId, sequence: Option<usize>, state: &ViewState) -> Result<Head, Error> {
        let projection = self.projection(head)?;
        let mut plot = Head::new(head, self.coordinates(head)?, projection.queries);
        plot.labels = self.labels(head);
        plot.searched = self.searched(head, &state.shared.search);
        if let Some(values) = self.values(head, state)? {
            (plot.values, plot.color_by) = (Some(values.values), Some(values.by));
        }
        let info = self.capture().model();
        plot.title = format!("{}, head {}", info.name, info.head_name(head));
        plot.subtitle = format!(
            "{} · ρ {}{} · mean norm of queries {}, keys {} · c = {:.2}",
            self.method_of(projection),
            projection.correlation.value.map_or_else(|| "–".into(), signed),
            projection.quality.as_ref().map_or_else(String::new, |quality| format!(
                " · trustworthiness {:.3} · neighbors kept {:.2}",
                quality.trustworthiness.value, quality.neighbors_kept.value
            )),
            three_digits(projection.query_norm),
            three_digits(projection.key_norm),
            projection.normalization.scale,
        );
        let (queries, keys) = sequence
            .map(|sequence| self.points_of(head, sequence))
            .unwrap_or_default();
        // A highlighted sequence is always drawn.
        let mut hidden = self.hidden_points(head);
        for &point in queries.iter().chain(&keys) {
            if let Some(hidden) = hidden.get_mut(point as usize) {
                *hidden = false;
            }
        }
        plot.hidden = hidden.into();
        if let Some(sequence) = sequence.filter(|_| !queries.is_empty()) {
            let name = &self.capture().sequences()[sequence].name;
            plot.subtitle
                .push_str(&format!(" · lines: {name}{}", self.weighting.describe()));
            plot.sequence = Some(HeadSequence {
                queries: queries.into(),
                keys: keys.into(),
                attention: shared(&self.weights_without(head, sequence, &state.hidden)?),
            });
        }
        plot.patches = match state.shared.patches {
            Some(style) => self.patches(head, style)?,
            None => None,
        };
        plot.remarks = self.remarks(head)?;
        Ok(plot)
    }

    /// Name of the projection in subtitles.
    pub(crate) fn method(&self) -> String {
        if let Some(name) = self.projection_name() {
            return name.to_owned();
        }
        let dims = if self.params().dims == Dims::Three { "3D" } else { "2D" };
        format!("{} {dims}", self.params().method.name())
    }

    /// The method of a head: PCA for a draft.
    fn method_of(&self, projection: &HeadProjection) -> String {
        match projection.draft {
            true => format!("draft by {}, {} follows", Method::from(Pca).name(), self.method()),
            false => self.method(),
        }
    }

    /// The methods of all heads.
    fn methods(&self) -> String {
        match self.heads().filter(|head| head.draft).count() {
            0 => self.method(),
            drafts => format!(
                "{}, {drafts} of {} heads drafts by {}",
                self.method(),
                self.heads().count(),
                Method::from(Pca).name()
            ),
        }
    }

    fn data(&self) -> String {
        let (drawn, all) = (self.sequences().len(), self.capture().sequences().len());
        let tokens = self.points_before(self.main_side(), drawn);
        let what = if self.is_image(0) { "images" } else { "sequences" };
        let mut text = if let Some(of) = self.preview_of() {
            format!("the first {drawn} of {of} {what}, {tokens} tokens")
        } else if drawn == all {
            format!("{all} {what}, {tokens} tokens")
        } else {
            format!("{drawn} of {all} {what}, {tokens} tokens")
        };
        if let Some(filter) = self.drawn.describe(self.columns()) {
            text.push_str(&format!("; drawn: {filter}"));
        }
        text
    }
}

/// Data shared by the heads of one kind of attention.
#[derive(Clone)]
struct SharedByHeads {
    values: Option<Values>,
    labels: Texts,
    searched: Texts,
    hidden: Arc<[bool]>,
}

/// Whether there is a panel of this attention.
fn known_before(panels: &[MatrixPanel], attention: Attention) -> bool {
    panels.iter().any(|panel| panel.head.attention == attention)
}
