//! t-SNE of a head's queries and keys in which near means attended: the attraction between neighbors in the space is mixed
//! with attraction along attention, from every query to the keys it attends to.
//!
//! Neighbors alone lay like tokens together, and a query next to whatever is like its keys: of all the keys it could be near
//! to, few are in its own sequence. Attention alone ties each sequence into a clump of its own, which shows nothing that
//! sequences have in common. The mixture keeps both, as multi-view embeddings do (compare Xie et al., *m-SNE: multiview
//! stochastic neighbor embedding*, IEEE Transactions on Systems, Man, and Cybernetics 2011).

use attn_core::Progress;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Tsne, TsneParams};
use crate::{
    Embedding, Error, ProjectionMethod, Result, Warning,
    method::{FitInput, json},
    place::Placement,
};

/// Raised whenever coordinates change, so that layouts kept from before are made again.
const REVISION: u32 = 1;

/// Parameters of [`AttentionTsne`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttentionTsneParams {
    /// Share of all attraction that goes along attention, from 0, which is t-SNE, to 1.
    pub share: f32,
    /// Power that attention weights are raised to: above 1 the strongest key counts more. At least 0.
    pub power: f32,
    /// Everything else.
    pub tsne: TsneParams,
}

impl Default for AttentionTsneParams {
    fn default() -> Self {
        Self {
            share: 0.5,
            power: 1.0,
            tsne: TsneParams::default(),
        }
    }
}

/// The method: t-SNE of which a part of the attraction goes along attention. Points without
/// [links](FitInput::links) are laid out by t-SNE alone.
///
/// ```
/// use attn_project::{Points, Projector, method::Links, tsne::AttentionTsne};
/// let points = ndarray::Array2::from_shape_fn((60, 4), |(i, j)| ((i * (j + 3)) as f32 * 0.7).sin());
/// // Each of the first thirty belongs to one of the others.
/// let links = Links::new(60, (0..60).map(|i| if i < 30 { vec![(59 - i, 1.0)] } else { vec![] }))?;
/// let linked = Points::from(points.view()).with_links(Some(&links));
/// let embedding = Projector::new(AttentionTsne::default()).fit(linked, &())?;
/// assert_eq!(embedding.points.dim(), (60, 2));
/// # Ok::<(), attn_project::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AttentionTsne {
    params: AttentionTsneParams,
    tsne: Tsne,
}

impl AttentionTsne {
    /// The method with these parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a value that no run could use.
    pub fn new(params: AttentionTsneParams) -> Result<Self> {
        if !(0.0..=1.0).contains(&params.share) {
            return Err(Error::parameter("share", "0 to 1", params.share));
        }
        if !(0.0..=16.0).contains(&params.power) {
            return Err(Error::parameter("power", "0 to 16", params.power));
        }
        let tsne = Tsne::new(params.tsne)?;
        Ok(Self { params, tsne })
    }

    /// Its parameters.
    pub fn params(&self) -> &AttentionTsneParams {
        &self.params
    }

    fn run(&self, frames: &[FitInput<'_>], strength: f32, progress: &dyn Progress) -> Result<Vec<Embedding>> {
        let AttentionTsneParams { share, power, .. } = self.params;
        let change = |frame: &FitInput<'_>, affinities: super::Affinities| match frame.links {
            Some(links) => affinities.with_links(links, share, power),
            None => affinities,
        };
        self.tsne.run_with(frames, strength, change, progress)
    }
}

impl ProjectionMethod for AttentionTsne {
    fn name(&self) -> &str {
        "attention t-SNE"
    }

    fn key(&self) -> &str {
        "attention"
    }

    fn params(&self) -> Value {
        json(&self.params)
    }

    fn revisions(&self) -> Vec<u32> {
        let mut revisions = self.tsne.revisions();
        revisions.push(REVISION);
        revisions
    }

    fn min_points(&self) -> usize {
        self.tsne.min_points()
    }

    fn neighbors(&self, points: usize) -> usize {
        self.tsne.neighbors(points)
    }

    fn wants_links(&self) -> bool {
        true
    }

    fn fit(&self, input: &FitInput<'_>, progress: &dyn Progress) -> Result<Embedding> {
        let mut found = self.run(std::slice::from_ref(input), 0.0, progress)?;
        found
            .pop()
            .ok_or_else(|| Error::shape("neighbors", "a table of neighbors", "none"))
    }

    fn fit_aligned(
        &self,
        frames: &[FitInput<'_>],
        strength: f32,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<Embedding>>> {
        self.run(frames, strength, progress).map(Some)
    }

    /// New points are placed by their neighbors, as by t-SNE.
    fn placement(
        &self,
        input: &FitInput<'_>,
        embedding: &Embedding,
        progress: &dyn Progress,
    ) -> Result<Option<Box<dyn Placement>>> {
        self.tsne.placement(input, embedding, progress)
    }

    fn warnings(&self, input: &FitInput<'_>) -> Vec<Warning> {
        self.tsne.warnings(input)
    }
}
