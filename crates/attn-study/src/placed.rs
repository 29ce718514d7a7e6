//! New points: the tokens of a new sequence, placed into the existing projection of a head. No other point moves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use attn_core::{Capture, HeadId, Progress};
use attn_models::{Capturer, images::Image};
use attn_project::{
    FittedProjection,
    atlas::projected_points,
    head::{HeadCloud, Normalization},
};
use attn_render::{
    Plot, Scene,
    color::Colors,
    plot::over,
    scene::{Edge, Label, Layer, Motion, Placement, Point, Shape},
};
use ndarray::Array2;
use rayon::prelude::*;

use crate::{Error, Study, Weighting, sequence::without_ids};

/// Text size of labels in an open head, in layout units.
const LABEL: f32 = 11.0;
/// Weakest attention that is drawn as a line, and limit of lines per query, as in the plot of one head.
const LEAST: f32 = 0.05;
const LINES: usize = 2;

/// Places new sequences into the projection of one head. Making it reads the head's vectors once; placing is then fast.
#[derive(Debug, Clone)]
pub struct Placer {
    head: HeadId,
    fitted: FittedProjection,
    normalization: Normalization,
    weighting: Weighting,
}

/// The tokens of a new sequence in the projection of one head.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedTokens {
    /// The head.
    pub head: HeadId,
    /// Coordinates of the queries, `[query, axis]`.
    pub queries: Array2<f32>,
    /// Coordinates of the keys, `[key, axis]`.
    pub keys: Array2<f32>,
    /// Texts of the queries' tokens.
    pub query_texts: Vec<String>,
    /// Texts of the keys' tokens.
    pub key_texts: Vec<String>,
    /// Attention of each query to each key, `[query, key]`, with the [weighting](Study::set_weighting) of the study.
    pub attention: Array2<f32>,
}

impl Study {
    /// Prepares a projected head for new points, whose lines have the weighting of the study.
    ///
    /// # Errors
    /// [`Error::NotProjected`], and those of [`FittedProjection::new`].
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_project::{AtlasParams, pca::Pca};
    /// use attn_study::Study;
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let params = AtlasParams { method: Pca.into(), ..AtlasParams::default() };
    /// let study = Study::project(capturer.capture_lines(sentences().take(20))?, &params)?;
    /// let head = study.ranking()[0];
    /// let placed = study.placer(head, &())?.place(&capturer.capture_text("the dog sleeps .")?, 0, &())?;
    /// assert_eq!(placed.queries.dim(), (placed.query_texts.len(), 2));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn placer(&self, head: HeadId, progress: &dyn Progress) -> Result<Placer, Error> {
        let projection = self.projection(head)?;
        let params = self.params();
        let points = projected_points(self.capture(), projection, params)?;
        let fitted = FittedProjection::new(
            points.view(),
            projection.embedding.clone(),
            &params.projector(),
            progress,
        )?;
        Ok(Placer {
            head,
            fitted,
            normalization: projection.normalization.clone(),
            weighting: self.weighting().clone(),
        })
    }
}

/// Runs a model over what a user typed: a text, or the path of an image for a model of images.
///
/// # Errors
/// Those of [`CaptureRun::run`](attn_models::capture::CaptureRun::run).
pub fn read_typed(capturer: &Capturer, typed: &str, progress: &dyn Progress) -> Result<Capture, Error> {
    let run = match capturer.model().vision() {
        None => capturer.lines([typed]),
        Some(_) => capturer.images([Image::from(typed.trim())]),
    };
    Ok(run.progress(progress).run()?.capture)
}

/// The [`Placer`]s of a study, each made with the first text that it places.
///
/// ```
/// use attn_embedded::sentences;
/// use attn_models::Capturer;
/// use attn_project::{AtlasParams, pca::Pca};
/// use attn_study::{Study, placed::{Placers, read_typed}};
///
/// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
/// let params = AtlasParams { method: Pca.into(), ..AtlasParams::default() };
/// let study = Study::project(capturer.capture_lines(sentences().take(20))?, &params)?;
/// let typed = read_typed(&capturer, "the dog sleeps .", &())?;
/// let placed = Placers::default().place_all(&study, &typed, &())?;
/// assert_eq!(placed.len(), 16);
/// # Ok::<(), attn_study::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Placers(Mutex<BTreeMap<HeadId, Arc<Placer>>>);

impl Placers {
    /// The placer of a head.
    ///
    /// # Errors
    /// Those of [`Study::placer`].
    pub fn get(&self, study: &Study, head: HeadId, progress: &dyn Progress) -> Result<Arc<Placer>, Error> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&head).cloned();
        if let Some(placer) = found {
            return Ok(placer);
        }
        let placer = Arc::new(study.placer(head, progress)?);
        known().insert(head, placer.clone());
        Ok(placer)
    }

    /// Places the first sequence of a capture into every projected head, in the order of the model.
    ///
    /// # Errors
    /// Those of [`Study::placer`] and [`Placer::place`].
    pub fn place_all(
        &self,
        study: &Study,
        capture: &Capture,
        progress: &dyn Progress,
    ) -> Result<Vec<PlacedTokens>, Error> {
        let heads: Vec<HeadId> = study.heads().map(|head| head.head).collect();
        let place = |head: &HeadId| self.get(study, *head, progress)?.place(capture, 0, progress);
        heads.par_iter().map(place).collect()
    }

    /// The same, each handed over when it is placed: the head `first` before the others, which come in any order and from
    /// several threads.
    ///
    /// # Errors
    /// As [`place_all`](Self::place_all).
    pub fn place_each(
        &self,
        study: &Study,
        capture: &Capture,
        first: Option<HeadId>,
        on_placed: &(dyn Fn(PlacedTokens) + Sync),
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let place = |head: &HeadId| -> Result<(), Error> {
            on_placed(self.get(study, *head, progress)?.place(capture, 0, progress)?);
            Ok(())
        };
        let heads = study.heads().map(|head| head.head);
        let (open, others): (Vec<HeadId>, Vec<HeadId>) = heads.partition(|head| Some(*head) == first);
        open.iter().try_for_each(place)?;
        others.par_iter().try_for_each(place)
    }
}

impl Placer {
    /// The head.
    pub fn head(&self) -> HeadId {
        self.head
    }

    /// Places a sequence of another capture of the same model.
    ///
    /// # Errors
    /// Those of [`Study::weights`] for the capture, [`Error::Project`] if its head has another dimension.
    pub fn place(&self, capture: &Capture, sequence: usize, progress: &dyn Progress) -> Result<PlacedTokens, Error> {
        let head = self.head;
        let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
        // Checks head and sequence first.
        let attention = self.weighting.weights(capture, head, sequence)?;
        let (queries, keys) = (capture.queries(head)?, capture.keys(head)?);
        let rows = |side| {
            let rows = capture.rows(sequence, side);
            ndarray::s![rows.start..rows.end, ..]
        };
        let cloud = HeadCloud::new(
            queries.slice(rows(query_side)),
            keys.slice(rows(key_side)),
            &[],
            capture.model().mask(head).unwrap_or(attn_core::model::Mask::Full),
        )?;
        let points = self.normalization.apply(&cloud)?;
        let placed = self.fitted.transform(points.view(), progress)?;
        let item = &capture.sequences()[sequence];
        let texts = |side| item.tokens(side).iter().map(|token| token.text.clone()).collect();
        let count = attention.nrows();
        Ok(PlacedTokens {
            head,
            queries: placed.slice(ndarray::s![..count, ..]).to_owned(),
            keys: placed.slice(ndarray::s![count.., ..]).to_owned(),
            query_texts: texts(query_side),
            key_texts: texts(key_side),
            attention,
        })
    }
}

impl PlacedTokens {
    /// A plot of their heads with all of `placed` over it: see [`draw`](Self::draw).
    pub fn over<P: Plot, G: AsRef<[Self]> + Send + Sync>(placed: G, plot: P) -> impl Plot + use<P, G> {
        over(plot, move |scene, state| {
            let colors = state.colors();
            placed.as_ref().iter().for_each(|tokens| tokens.draw(scene, &colors));
        })
    }

    /// The same with tokens switched off: what they got goes to the others. Ids count the queries, then the keys, as those of
    /// [`ViewState::hidden`](attn_render::ViewState::hidden) in a sentence.
    ///
    /// # Errors
    /// [`Error::Render`] for attention of another size than its tokens.
    pub fn without(&self, hidden: &BTreeSet<u32>) -> Result<Self, Error> {
        Ok(Self {
            attention: without_ids(self.attention.clone(), hidden)?,
            ..self.clone()
        })
    }

    /// Draws it over a scene that has its head, the matrix or the open head: squares in the colors of queries and keys; in an open
    /// head also its words and its attention lines.
    pub fn draw(&self, scene: &mut Scene, colors: &Colors) {
        let Some(index) = scene.panel_of(self.head) else { return };
        let Ok(panel) = u16::try_from(index) else { return };
        // An open head; a matrix may have a single head so far.
        let alone = scene.panels[index].motion == Motion::Inside;
        // Patches are large already.
        let most = 8.0 / scene.panels[index].point_radius.max(0.1);
        let size = (if alone { 2.2_f32 } else { 2.8 }).min(most.max(1.0));
        let position = |row: ndarray::ArrayView1<'_, f32>| [0, 1, 2].map(|axis| row.get(axis).copied().unwrap_or(0.0));
        let (mut layer, mut labels) = (Layer::default(), Vec::new());
        let sides = [
            (&self.queries, &self.query_texts, colors.query),
            (&self.keys, &self.key_texts, colors.key),
        ];
        for (coordinates, texts, color) in sides {
            for (row, text) in coordinates.rows().into_iter().zip(texts) {
                let position = position(row);
                let mark = |color, size| {
                    Point::new(panel, position, color, Point::UNPICKABLE)
                        .shaped(Shape::Square)
                        .sized(size)
                };
                // A rim sets it off from other points.
                layer.points.push(mark(colors.text, size * 1.35));
                layer.points.push(mark(color, size));
                if alone {
                    labels.push(Label {
                        position,
                        offset: [8.0, 0.0],
                        align: [0.0, 0.5],
                        bold: true,
                        halo: Some(colors.background),
                        placement: Placement::Floating {
                            priority: f32::MAX,
                            margin: 1.5,
                            clear: 5.0,
                        },
                        ..Label::new(panel, [0.0; 2], text.as_str(), LABEL, colors.text)
                    });
                }
            }
        }
        if alone {
            for (query, row) in self.attention.rows().into_iter().enumerate() {
                let mut keys: Vec<(usize, f32)> =
                    row.iter().copied().enumerate().filter(|(_, w)| *w >= LEAST).collect();
                keys.sort_by(|a, b| b.1.total_cmp(&a.1));
                layer
                    .edges
                    .extend(keys.into_iter().take(LINES).map(|(key, weight)| Edge {
                        from: position(self.queries.row(query)),
                        to: position(self.keys.row(key)),
                        color: colors.accent.alpha(weight),
                        panel: panel.into(),
                        width: [1.4; 2],
                        gap: [3.0; 2],
                    }));
            }
        }
        // Labels of one layer keep apart, so these join those of the other points.
        let of_points = |other: &&mut Layer| other.labels.iter().any(|label| usize::from(label.panel) == index);
        match scene.layers.iter_mut().rev().find(of_points) {
            Some(other) => other.labels.extend(labels),
            None => layer.labels = labels,
        }
        scene.layers.push(layer);
    }
}

#[cfg(test)]
mod tests {
    use attn_project::{AtlasParams, pca::Pca};

    use super::*;

    /// A sequence that is placed has the lines that it has among the points.
    #[test]
    fn lines_are_weighted_and_leave_out_what_is_off() {
        let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
        let params = AtlasParams {
            method: Pca.into(),
            ..AtlasParams::default()
        };
        let lines = attn_embedded::sentences().take(6);
        let mut study = Study::project(capturer.capture_lines(lines).unwrap(), &params).unwrap();
        let head = study.ranking()[0];
        let capture = study.capture().clone();
        let place = |study: &Study| study.placer(head, &()).unwrap().place(&capture, 2, &()).unwrap();
        let raw = place(&study);
        assert_eq!(raw.attention, capture.attention(head, 2).unwrap());

        study.set_weighting(Weighting::Value);
        let weighted = place(&study);
        assert_eq!(weighted.attention, study.weights(head, 2).unwrap());
        assert_ne!(weighted.attention, raw.attention);

        // The second query, and the first key.
        let (queries, keys) = raw.attention.dim();
        let off = [1, u32::try_from(queries).unwrap()].into();
        let left = raw.without(&off).unwrap().attention;
        for query in 0..queries {
            for key in 0..keys {
                let expected = match (query, key) {
                    (1, _) | (_, 0) => 0.0,
                    _ => raw.attention[[query, key]] / (1.0 - raw.attention[[query, 0]]),
                };
                assert!((left[[query, key]] - expected).abs() < 1e-5, "{query} {key}");
            }
        }
    }
}
