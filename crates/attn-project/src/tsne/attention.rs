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

use super::{Affinities, Tsne, TsneParams};
use crate::{
    Embedding, Error, ProjectionMethod, Result, Warning,
    method::{FitInput, json},
    place::Placement,
};

/// The hold of a point at its place in the next frame, as a share of that of plain t-SNE; docs/PROJECTION.md says how it was chosen.
const HOLD: f32 = 0.1;

/// Raised whenever coordinates change, so that layouts kept from before are made again.
const REVISION: u32 = 2;

/// Parameters of [`AttentionTsne`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttentionTsneParams {
    /// Share of all attraction that goes along attention, from 0, which is t-SNE, to 1. Default 0.2: more lays more
    /// queries next to their keys, and keeps fewer neighborhoods (docs/PROJECTION.md has the measurements).
    pub share: f32,
    /// Power that attention weights are raised to before those of a query sum to 1 again: above 1 the strongest key counts
    /// more. At least 0. Default 2.
    pub power: f32,
    /// Everything else.
    pub tsne: TsneParams,
}

impl Default for AttentionTsneParams {
    fn default() -> Self {
        Self {
            share: 0.2,
            power: 2.0,
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
        let change = |frame: &FitInput<'_>, near: Affinities| self.linked(frame, near);
        // Pairs that attend to each other hold a layout in place already.
        self.tsne.run_with(frames, HOLD * strength, change, progress)
    }

    /// The affinities of neighbors, mixed with those of links if there are any.
    pub(super) fn linked(&self, input: &FitInput<'_>, near: Affinities) -> Affinities {
        let AttentionTsneParams { share, power, .. } = self.params;
        match input.links {
            Some(links) if share > 0.0 => near.with_links(links, share, power),
            _ => near,
        }
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
        self.params.share > 0.0
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

#[cfg(test)]
mod tests {
    use attn_core::model::Mask;
    use ndarray::{Array2, Axis};

    use super::*;
    use crate::{
        Metric, Neighbors, Points, Projector,
        head::{HeadCloud, KeySet, SequenceRows, plane_score},
        method::Links,
        rng::Rng,
    };

    /// Sequences of ten tokens; every query attends to the key of the token after it.
    fn head() -> (Array2<f32>, Array2<f32>, Vec<SequenceRows>, Links) {
        const N: usize = 150;
        let mut rng = Rng::new(6, 0);
        let mut draw = || Array2::from_shape_simple_fn((N, 6), || rng.normal() as f32);
        let (keys, noise) = (draw(), draw());
        let next = |i: usize| i / 10 * 10 + (i + 1) % 10;
        let queries = Array2::from_shape_fn((N, 6), |(i, j)| 2.0 * keys[[next(i), j]] + noise[[i, j]]);
        let rows = (0..N / 10)
            .map(|i| SequenceRows {
                queries: 10 * i..10 * i + 10,
                keys: 10 * i..10 * i + 10,
            })
            .collect();
        let row = |i: usize| match i < N {
            true => vec![((N + next(i)) as u32, 0.8), ((N + i) as u32, 0.2)],
            false => Vec::new(),
        };
        (queries, keys, rows, Links::new(2 * N, (0..2 * N).map(row)).unwrap())
    }

    fn method(share: f32) -> AttentionTsne {
        let tsne = TsneParams {
            perplexity: 10.0,
            ..TsneParams::default()
        };
        AttentionTsne::new(AttentionTsneParams {
            share,
            tsne,
            ..AttentionTsneParams::default()
        })
        .unwrap()
    }

    #[test]
    fn more_queries_lie_nearest_to_the_key_they_attend_to() {
        let (queries, keys, rows, links) = head();
        let cloud = HeadCloud::new(queries.view(), keys.view(), &rows, Mask::Full).unwrap();
        let joint = ndarray::concatenate![Axis(0), queries, keys];
        // One layout falls by chance one way or the other, by seed and by processor, whose sums round differently: the mean gain over
        // seeds is far beyond its standard error.
        const SEEDS: u64 = 16;
        let shown = |share: f32, seed: u64| {
            let points = Points::from(joint.view()).with_links(Some(&links));
            let layout = Projector::new(method(share)).seed(seed).fit(points, &()).unwrap();
            let score = plane_score(&cloud, layout.points.view(), KeySet::Visible).unwrap();
            f64::from(score.nearest.unwrap())
        };
        let gains: Vec<f64> = (0..SEEDS).map(|seed| shown(0.3, seed) - shown(0.0, seed)).collect();
        let count = SEEDS as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = (variance / count).sqrt();
        assert!(mean - 4.0 * error > 0.05, "{mean} +- {error}: {gains:?}");
    }

    #[test]
    fn without_links_or_without_a_share_it_is_t_sne() {
        let (queries, keys, _, links) = head();
        let joint = ndarray::concatenate![Axis(0), queries, keys];
        let fit = |method: crate::Method, links| {
            let points = Points::from(joint.view()).with_links(links);
            Projector::new(method).fit(points, &()).unwrap().points
        };
        let plain = fit(Tsne::new(method(0.0).params().tsne).unwrap().into(), None);
        for (share, links) in [(0.0, Some(&links)), (0.0, None), (0.3, None)] {
            assert_eq!(fit(method(share).into(), links), plain, "{share}");
        }
        assert!(!method(0.0).wants_links() && method(0.3).wants_links());
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads() {
        let (queries, keys, _, links) = head();
        let joint = ndarray::concatenate![Axis(0), queries, keys];
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let points = || Points::from(joint.view()).with_links(Some(&links));
            pool.install(|| Projector::new(method(0.3)).fit(points(), &()).unwrap())
        };
        assert_eq!(on(1), on(3));
    }

    /// The mixture by its definition, dense.
    #[test]
    fn affinities_are_a_mixture() {
        let (queries, keys, _, links) = head();
        let joint = ndarray::concatenate![Axis(0), queries, keys];
        let n = joint.nrows();
        let table = Neighbors::exact(joint.view(), 30, Metric::COSINE, &()).unwrap();
        let near = Affinities::new(&table, 30, &[10.0]);
        let dense = |of: &Affinities| {
            let mut out = Array2::<f64>::zeros((n, n));
            for i in 0..n {
                let (columns, values) = of.row(i);
                assert!(columns.windows(2).all(|pair| pair[0] < pair[1]));
                columns
                    .iter()
                    .zip(values)
                    .for_each(|(&j, &p)| out[[i, j as usize]] = f64::from(p));
            }
            out
        };
        let before = dense(&near);
        let after = dense(&near.with_links(&links, 0.3, 2.0));
        let mut along = Array2::<f64>::zeros((n, n));
        for i in 0..n {
            let sum: f64 = links.row(i).map(|(_, w)| f64::from(w).powi(2)).sum();
            for (j, w) in links.row(i) {
                let share = f64::from(w).powi(2) / sum / n as f64;
                along[[i, j as usize]] += share;
                along[[j as usize, i]] += share;
            }
        }
        assert!(
            (along.sum() - 1.0).abs() < 1e-9,
            "half of the points have links, each at both ends"
        );
        let expected = before * 0.7 + along * 0.3;
        assert!((&after - &expected).iter().all(|x| x.abs() < 1e-7));
        assert!((after.sum() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn impossible_parameters_are_refused() {
        for (share, power) in [
            (-0.1, 1.0),
            (1.1, 1.0),
            (f32::NAN, 1.0),
            (0.5, -1.0),
            (0.5, f32::INFINITY),
        ] {
            let params = AttentionTsneParams {
                share,
                power,
                ..AttentionTsneParams::default()
            };
            assert!(
                matches!(AttentionTsne::new(params), Err(Error::Parameter { .. })),
                "{share} {power}"
            );
        }
        let (queries, _, _, links) = head();
        let wrong = Points::from(queries.view()).with_links(Some(&links));
        let refused = Projector::new(method(0.3)).fit(wrong, &());
        assert!(matches!(refused, Err(Error::Shape { what: "links", .. })));
    }
}
