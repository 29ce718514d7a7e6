//! The plots of heads, all of them and one, as scenes and as tables: a study's projections, colours and texts in the terms of
//! `attn-render`.

use attn_core::{
    Attention, HeadId,
    format::{signed, three_digits},
};
use attn_project::{Dims, HeadProjection};
use attn_render::{
    ColorMode, Scene, Table, View,
    views::{ColorBy, Coordinates, Head, HeadSequence, Matrix, MatrixPanel, ValueKind},
};

use crate::{ColumnKind, Error, Study, coloring::Values, trust};

/// Under the matrix.
const CAPTION: &str = "Each plot is one attention head: queries and keys projected together, so that near means attended. \
                       ρ is the rank correlation of distance with attention; −1 would be perfect.";

/// The layout of the single views unless a host says otherwise.
const PAGE: [f32; 2] = [900.0, 820.0];

impl Study {
    /// The matrix of all heads (AttentionViz, the matrix view). `size` in layout units; its natural size by default.
    ///
    /// # Errors
    /// Those of [`Matrix::scene`].
    pub fn matrix(&self, view: &View, size: Option<[f32; 2]>) -> Result<Scene, Error> {
        let searched = |head| match view.search.as_str() {
            "" => Vec::new(),
            text => self.searched(head, text),
        };
        self.with_matrix(view, &searched, |matrix| {
            matrix.scene(view, size.unwrap_or_else(|| matrix.natural_size()))
        })
    }

    /// The numbers behind it: a row per point of every head.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub fn matrix_table(&self, view: &View) -> Result<Table, Error> {
        self.with_matrix(view, &|head| self.texts(head), |matrix| matrix.table())
    }

    /// `texts_of` gives the labels of a head's points, or none.
    fn with_matrix<T>(
        &self,
        view: &View,
        texts_of: &dyn Fn(HeadId) -> Vec<String>,
        use_it: impl FnOnce(&Matrix<'_>) -> Result<T, attn_render::Error>,
    ) -> Result<T, Error> {
        // Heads of one kind of attention have the same tokens; only norms and scores are a head's own.
        let mut values: Vec<Option<Values>> = Vec::new();
        let mut texts: Vec<(Attention, Vec<String>, Vec<bool>)> = Vec::new();
        let mut before: Option<Attention> = None;
        for head in self.heads().map(|head| &head.head) {
            let own = view.color_mode == ColorMode::Norm || trust::is_score(view.color_mode);
            let same = before.replace(head.attention) == Some(head.attention) && !own;
            let last = values.last().cloned().filter(|_| same);
            values.push(match last {
                Some(values) => values,
                None => self.values(*head, view)?,
            });
            if !texts.iter().any(|(attention, ..)| *attention == head.attention) {
                texts.push((head.attention, texts_of(*head), self.hidden_points(*head)));
            }
        }
        let labels: Vec<(Attention, Vec<&str>, &[bool])> = texts
            .iter()
            .map(|(attention, texts, hidden)| {
                (
                    *attention,
                    texts.iter().map(String::as_str).collect(),
                    hidden.as_slice(),
                )
            })
            .collect();
        let mut panels = Vec::new();
        for (head, values) in self.heads().zip(&values) {
            let labels = labels.iter().find(|(attention, ..)| *attention == head.head.attention);
            panels.push(MatrixPanel {
                head: head.head,
                coordinates: coordinates(head)?,
                queries: head.queries,
                values: values.as_ref().map(|values| values.values.as_slice()),
                labels: labels.map_or(&[][..], |(_, labels, _)| labels),
                hidden: labels.map_or(&[][..], |(.., hidden)| hidden),
                note: trust::note(head, view.color_mode).unwrap_or_else(|| {
                    let value = head.correlation.value;
                    value.map_or_else(String::new, |value| format!("ρ {}", signed(value)))
                }),
            });
        }
        let info = self.capture().model();
        let title = format!("{}: queries and keys of every attention head", info.name);
        let subtitle = format!("{} · {}", self.method(), self.data());
        let values = values.iter().flatten().next().cloned();
        let names = names(values.as_ref());
        let matrix = Matrix {
            title: &title,
            subtitle: &subtitle,
            caption: trust::caption(view.color_mode).unwrap_or(CAPTION),
            panels,
            color_by: values.as_ref().map(|values| color_by(values, &names)),
        };
        Ok(use_it(&matrix)?)
    }

    /// One head (AttentionViz, the single view), with the tokens and attention lines of `sequence` brought out.
    ///
    /// # Errors
    /// [`Error::NotProjected`], and those of [`Head::scene`].
    pub fn head(
        &self,
        head: HeadId,
        sequence: Option<usize>,
        view: &View,
        size: Option<[f32; 2]>,
    ) -> Result<Scene, Error> {
        self.with_head(head, sequence, view, |plot| plot.scene(view, size.unwrap_or(PAGE)))
    }

    /// The numbers behind it: a row per point.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn head_table(&self, head: HeadId, view: &View) -> Result<Table, Error> {
        self.with_head(head, None, view, |plot| plot.table())
    }

    fn with_head<T>(
        &self,
        head: HeadId,
        sequence: Option<usize>,
        view: &View,
        use_it: impl FnOnce(&Head<'_>) -> Result<T, attn_render::Error>,
    ) -> Result<T, Error> {
        let projection = self.projection(head)?;
        let texts = self.texts(head);
        let labels: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut plot = Head::new(head, coordinates(projection)?, projection.queries);
        plot.labels = &labels;
        let searched = self.searched(head, &view.search);
        let searched: Vec<&str> = searched.iter().map(String::as_str).collect();
        plot.searched = &searched;
        let values = self.values(head, view)?;
        let names = names(values.as_ref());
        plot.values = values.as_ref().map(|values| values.values.as_slice());
        plot.color_by = values.as_ref().map(|values| color_by(values, &names));
        let title = format!(
            "{}, head {}",
            self.capture().model().name,
            self.capture().model().head_name(head)
        );
        plot.title = &title;
        let mut subtitle = format!(
            "{} · ρ {} · trustworthiness {:.3} · neighbours kept {:.2} · mean norm of queries {}, keys {} · c = {:.2}",
            self.method(),
            projection.correlation.value.map_or_else(|| "–".into(), signed),
            projection.quality.trustworthiness.value,
            projection.quality.neighbors_kept.value,
            three_digits(projection.query_norm),
            three_digits(projection.key_norm),
            projection.normalization.scale,
        );
        let (queries, keys) = sequence
            .map(|sequence| self.points_of(head, sequence))
            .unwrap_or_default();
        // What is brought out is drawn, whatever is left out.
        let mut hidden = self.hidden_points(head);
        for &point in queries.iter().chain(&keys) {
            if let Some(hidden) = hidden.get_mut(point as usize) {
                *hidden = false;
            }
        }
        plot.hidden = &hidden;
        let attention = match sequence {
            Some(sequence) if !queries.is_empty() => {
                let name = &self.capture().sequences()[sequence].name;
                subtitle.push_str(&format!(" · lines: {name}{}", self.weighting.describe()));
                Some(self.weights(head, sequence)?)
            }
            _ => None,
        };
        plot.subtitle = &subtitle;
        let patches = view
            .patches
            .map(|style| self.patches(head, style))
            .transpose()?
            .flatten();
        plot.patches = patches.as_ref();
        let remarks = self.remarks(head)?;
        plot.remarks = &remarks;
        let weights: Vec<f32> = attention.iter().flat_map(|weights| weights.iter().copied()).collect();
        if attention.is_some() {
            plot.sequence = Some(HeadSequence {
                queries: &queries,
                keys: &keys,
                attention: &weights,
            });
        }
        Ok(use_it(&plot)?)
    }

    fn method(&self) -> String {
        let dims = if self.params().dims == Dims::Three { "3D" } else { "2D" };
        format!("{} {dims}", self.params().method.name())
    }

    fn data(&self) -> String {
        let (drawn, all) = (self.sequences().len(), self.capture().sequences().len());
        let tokens = self.points_before(self.main_side(), drawn);
        let what = if self.is_picture(0) { "pictures" } else { "sequences" };
        let mut text = if drawn == all {
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

fn coordinates(head: &HeadProjection) -> Result<Coordinates<'_>, Error> {
    let points = &head.embedding.points;
    // Embeddings are made in standard layout.
    Ok(Coordinates::new(points.as_slice().unwrap_or_default(), points.ncols())?)
}

/// The names of classes, borrowed.
pub(crate) fn names(values: Option<&Values>) -> Vec<&str> {
    match values.map(|values| &values.kind) {
        Some(ColumnKind::Categorical(names)) => names.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn color_by<'a>(values: &'a Values, names: &'a [&'a str]) -> ColorBy<'a> {
    ColorBy {
        label: &values.label,
        kind: match values.kind {
            ColumnKind::Sequential => ValueKind::Sequential,
            ColumnKind::Diverging => ValueKind::Diverging,
            ColumnKind::Categorical(_) => ValueKind::Categorical(names),
        },
    }
}
