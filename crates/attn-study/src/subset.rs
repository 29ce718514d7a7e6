//! Some points of a head as a picture of their own: what a lasso, a box or a search brought out, laid out as if there were no
//! others.

use attn_core::{HeadId, Progress};
use attn_project::{Embedding, project_selection, projected_points};
use attn_render::{
    Scene, Table, View,
    views::{Coordinates, Head},
};

use crate::{
    Error, Study,
    plots::{color_by, names},
};

/// Some points of a head and where they lie by themselves.
#[derive(Debug, Clone)]
pub struct Subset {
    head: HeadId,
    /// Their numbers in the head's plot, ascending: queries, then keys.
    points: Vec<usize>,
    queries: usize,
    embedding: Embedding,
}

impl Study {
    /// Lays out only some points of a head, by the method and the distances of its picture. `points` as
    /// [`Selection::ids`](attn_render::Selection::ids) or [`Matches::ids`](attn_render::Matches::ids) give them, in any order.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_project::{AtlasParams, Method};
    /// use attn_study::Study;
    /// use attn_render::View;
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let params = AtlasParams { method: Method::Pca, ..AtlasParams::default() };
    /// let study = Study::project(capture, &params, &())?;
    /// let head = study.ranking()[0];
    /// let subset = study.subset(head, study.matches(head, "the").ids(), &())?;
    /// assert_eq!(subset.scene(&study, &View::default(), [800.0, 700.0])?.layers[1].points.len(), subset.points().len());
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotProjected`], and those of [`project_selection`]: too few points, or one that the head does not have.
    pub fn subset(
        &self,
        head: HeadId,
        points: impl IntoIterator<Item = u32>,
        progress: &dyn Progress,
    ) -> Result<Subset, Error> {
        let projection = self.projection(head)?;
        let mut points: Vec<usize> = points.into_iter().map(|point| point as usize).collect();
        points.sort_unstable();
        points.dedup();
        let params = self.params();
        let all = projected_points(self.capture(), projection, params)?;
        let embedding = project_selection(
            all.view(),
            &points,
            &params.method,
            params.dims,
            params.metric,
            params.seed,
            progress,
        )?;
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

    /// The points' numbers in the head's plot, ascending. Point `i` of this picture is point `points()[i]` of that one.
    pub fn points(&self) -> &[usize] {
        &self.points
    }

    /// The picture: colours, labels and search as in the head's own.
    ///
    /// # Errors
    /// Those of [`Head::scene`].
    pub fn scene(&self, study: &Study, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        self.with_plot(study, view, |plot| plot.scene(view, size))
    }

    /// The numbers behind it: a row per point.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self, study: &Study, view: &View) -> Result<Table, Error> {
        self.with_plot(study, view, |plot| plot.table())
    }

    fn with_plot<T>(
        &self,
        study: &Study,
        view: &View,
        use_it: impl FnOnce(&Head<'_>) -> Result<T, attn_render::Error>,
    ) -> Result<T, Error> {
        let flat = self.embedding.points.as_standard_layout();
        let coordinates = Coordinates::new(flat.as_slice().unwrap_or_default(), self.embedding.points.ncols())?;
        let mut plot = Head::new(self.head, coordinates, self.queries);
        let pick = |texts: Vec<String>| -> Vec<String> {
            let mut texts: Vec<Option<String>> = texts.into_iter().map(Some).collect();
            let text = |&point: &usize| texts.get_mut(point).and_then(Option::take).unwrap_or_default();
            self.points.iter().map(text).collect()
        };
        let (texts, searched) = (
            pick(study.texts(self.head)),
            pick(study.searched(self.head, &view.search)),
        );
        let labels: Vec<&str> = texts.iter().map(String::as_str).collect();
        let searched: Vec<&str> = searched.iter().map(String::as_str).collect();
        (plot.labels, plot.searched) = (&labels, &searched);
        let values = study.values(self.head, view)?;
        let names = names(values.as_ref());
        let own: Option<Vec<f32>> = values.as_ref().map(|values| {
            self.points
                .iter()
                .map(|&point| values.values.get(point).copied().unwrap_or(f32::NAN))
                .collect()
        });
        plot.values = own.as_deref();
        plot.color_by = values.as_ref().map(|values| color_by(values, &names));
        let info = study.capture().model();
        let title = format!("{}, head {}: some of its points", info.name, info.head_name(self.head));
        plot.title = &title;
        let keys = self.points.len() - self.queries;
        let subtitle = format!("{} queries and {keys} keys, laid out by themselves", self.queries);
        plot.subtitle = &subtitle;
        plot.caption =
            "Only what was chosen, as if there were no other points: distances are those of the space, places are new.";
        let remarks = crate::trust::sentences(&self.embedding.warnings);
        plot.remarks = &remarks;
        Ok(use_it(&plot)?)
    }
}
