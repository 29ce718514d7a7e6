//! Projection of selected points of a head, such as those of a lasso, a box or a search.

use attn_core::{HeadId, Progress};
use attn_project::{
    Embedding, Points,
    atlas::{head_links, projected_points},
};
use attn_render::{
    ViewState,
    plots::{Coordinates, Head, Texts},
};

use crate::{Error, Study};

/// Selected points of a head, projected without the others.
#[derive(Debug, Clone)]
pub struct Subset {
    head: HeadId,
    /// Ids of the points in the head's plot, ascending: queries, then keys.
    points: Vec<usize>,
    queries: usize,
    embedding: Embedding,
}

impl Study {
    /// Projects only some points of a head, by the method and metric of the study. `points` are ids in any order, as from
    /// [`Selection::ids`](attn_render::Selection::ids) or [`Matches::ids`](attn_render::Matches::ids).
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_project::{AtlasParams, pca::Pca};
    /// use attn_study::Study;
    /// use attn_render::{Plot, ViewState};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let params = AtlasParams { method: Pca.into(), ..AtlasParams::default() };
    /// let study = Study::project(capture, &params)?;
    /// let head = study.ranking()[0];
    /// let subset = study.subset(head, study.matches(head, "the").ids(), &())?;
    /// let plot = subset.plot(&study, &ViewState::default())?;
    /// assert_eq!(plot.scene(&ViewState::default(), [800.0, 700.0])?.layers[1].points.len(), subset.points().len());
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotProjected`], and those of [`Projector::fit_selection`](attn_project::Projector::fit_selection): too few points, or one that the head does not have.
    pub fn subset(
        &self,
        head: HeadId,
        points: impl IntoIterator<Item = u32>,
        progress: &dyn Progress,
    ) -> Result<Subset, Error> {
        let projection = self.projection(head)?;
        let total = projection.embedding.points.nrows();
        let mut chosen: Vec<usize> = Vec::new();
        for point in points {
            chosen.push(point as usize);
            // A saved selection may name billions: the first point that the head does not have is enough to refuse it.
            if point as usize >= total {
                break;
            }
        }
        let mut points = chosen;
        points.sort_unstable();
        points.dedup();
        let params = self.params();
        let all = projected_points(self.capture(), projection, params)?;
        let links = head_links(self.capture(), head, params)?;
        let linked = Points::from(all.view()).with_links(links.as_ref());
        let embedding = params.projector().fit_selection(linked, &points, progress)?;
        Ok(Subset {
            head,
            queries: points.partition_point(|&point| point < projection.queries),
            points,
            embedding,
        })
    }
}

impl Subset {
    /// The head.
    pub fn head(&self) -> HeadId {
        self.head
    }

    /// Ids of the points in the head's plot, ascending. Point `i` of the subset's plot is point `points()[i]` there.
    pub fn points(&self) -> &[usize] {
        &self.points
    }

    /// The plot: colors, labels and search as in the head's own.
    ///
    /// # Errors
    /// Those of [`Study::head`].
    pub fn plot(&self, study: &Study, state: &ViewState) -> Result<Head, Error> {
        let flat = self.embedding.points.as_standard_layout();
        let coordinates = Coordinates::new(flat.as_slice().unwrap_or_default(), self.embedding.points.ncols())?;
        let mut plot = Head::new(self.head, coordinates, self.queries);
        plot.labels = self.chosen(&study.labels(self.head));
        plot.searched = self.chosen(&study.searched(self.head, &state.shared.search));
        if let Some(values) = study.values(self.head, state)? {
            let value = |&point: &usize| values.values.get(point).copied().unwrap_or(f32::NAN);
            plot.values = Some(self.points.iter().map(value).collect());
            plot.color_by = Some(values.by);
        }
        let info = study.capture().model();
        plot.title = format!("{}, head {}: selected points", info.name, info.head_name(self.head));
        let keys = self.points.len() - self.queries;
        plot.subtitle = format!("{} queries and {keys} keys, projected without the others", self.queries);
        plot.caption =
            "Projection of the selected points only. Their distances in the full space are unchanged; their places are new."
                .into();
        plot.remarks = crate::trust::sentences(&self.embedding.warnings);
        Ok(plot)
    }

    /// The texts of the selected points.
    fn chosen(&self, texts: &Texts) -> Texts {
        let text = |&point: &usize| texts.get(point).map_or("", |text| &**text);
        self.points.iter().map(text).collect()
    }
}
