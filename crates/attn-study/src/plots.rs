//! The plots of heads, all of them and one: a study's projections, colors and texts in the terms of `attn-render`.

use std::sync::Arc;

use attn_core::{
    Attention, HeadId,
    format::{signed, three_digits},
};
use attn_project::{Dims, HeadProjection, Method, pca::Pca};
use attn_render::{
    ViewState,
    plots::{Head, HeadSequence, Matrix, MatrixPanel, NOTE_BREAK, Texts, ValueKind},
    state::ColorChoice,
};

use crate::{
    Error, Study,
    attributes::{Colored, Values},
    regions::LINES,
    trust::left_out,
    weighting::shared,
};

/// Caption of the matrix.
const CAPTION: &str = "Each plot is one attention head: its queries and keys in a joint projection. Under it: the share of queries \
                       whose nearest key here is the one that they attend to most (chance level), and ρ here, the rank \
                       correlation of distance and attention; −1 is perfect. Full ρ is that of the space before the projection. \
                       Frames are stronger where the share is higher above chance.";

/// What it says beside that of a layout that attention has a part in.
const ALONG: &str = "Queries are also attracted to the keys that they attend to.";

/// What holds in a head's plot, and in the space that it is a projection of: `84 % (7 %) · ρ −0.41 · full ρ −0.98`.
fn plane_note(projection: &HeadProjection) -> String {
    let mut parts = Vec::new();
    if let (Some(nearest), Some(chance)) = (projection.plane.nearest, projection.plane.chance) {
        parts.push(format!("{} ({})", percent(nearest), percent(chance)));
    }
    let rho = |name: &str, value: Option<f32>| value.map(|value| format!("{name} {}", signed(value)));
    parts.extend(rho("ρ", projection.plane.correlation.value));
    parts.extend(rho("full ρ", projection.correlation.value));
    parts.join(NOTE_BREAK)
}

/// The same in the subtitle of a head.
fn plane_words(projection: &HeadProjection) -> String {
    let rho = |value: Option<f32>| value.map_or_else(|| "–".into(), signed);
    let share = match (projection.plane.nearest, projection.plane.chance) {
        (Some(nearest), Some(chance)) => format!("{} (chance {})", percent(nearest), percent(chance)),
        _ => "–".into(),
    };
    format!(
        "nearest key attended most: {share} · ρ here {}, in full space {}",
        rho(projection.plane.correlation.value),
        rho(projection.correlation.value),
    )
}

/// A share in whole percent.
pub(crate) fn percent(share: f32) -> String {
    format!("{:.0} %", 100.0 * share)
}

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
                .unwrap_or_else(|| plane_note(projection));
            if let Some(values) = &of_head.values {
                color_by.get_or_insert_with(|| values.by.clone());
            }
            panels.push(MatrixPanel {
                values: of_head.values.map(|values| values.values),
                labels: of_head.labels,
                searched: of_head.searched,
                hidden: of_head.hidden,
                origins: self.origins(head),
                note,
                strength: projection.plane.above_chance(),
                ..MatrixPanel::new(head, self.coordinates(head)?, projection.queries)
            });
        }
        let info = self.capture().model();
        Ok(Matrix {
            title: format!("{}: queries and keys of every attention head", info.name),
            subtitle: format!("{} · {}", self.methods(), self.data()),
            caption: match attribute.and_then(|attribute| attribute.caption()) {
                Some(caption) => caption.to_owned(),
                None => {
                    let left_out = left_out(info, self.heads().map(|projection| projection.head));
                    let along = self.params().method.wants_links().then(|| ALONG.to_owned());
                    let parts = [Some(CAPTION.to_owned()), along, left_out];
                    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
                }
            },
            panels,
            pending: self.pending(),
            absent: self.absent(),
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
        plot.origins = self.origins(head);
        if let Some(name) = &state.shared.size_by
            && let Some((label, sizes)) = self.sizes(head, name)?
        {
            (plot.size_by, plot.sizes) = (label, Some(sizes));
        }
        if state.shared.contours {
            plot.contours = LINES.into();
            plot.places = self.known_regions(head)?;
        }
        let info = self.capture().model();
        plot.title = format!("{}, head {}", info.name, info.head_name(head));
        plot.subtitle = format!(
            "{} · {}{} · mean norm of queries {}, keys {} · c = {:.2}",
            self.method_of(projection),
            plane_words(projection),
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

    /// The values of an attribute or column as sizes, with their label; points without a value are as small as the least. `None`
    /// if there is nothing of this name, or only classes.
    fn sizes(&self, head: HeadId, name: &str) -> Result<Option<(String, Arc<[f32]>)>, Error> {
        let mut state = ViewState::default();
        state.shared.color = ColorChoice::values(name);
        let Some(found) = self.values(head, &state)? else {
            return Ok(None);
        };
        if matches!(found.by.kind, ValueKind::Categorical(_)) {
            return Ok(None);
        }
        let known = found.values.iter().copied().filter(|value| value.is_finite());
        let least = known.fold(f32::INFINITY, f32::min);
        if !least.is_finite() {
            return Ok(None);
        }
        let size = |value: &f32| if value.is_finite() { *value } else { least };
        Ok(Some((found.by.label, found.values.iter().map(size).collect())))
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
