//! Similarity of heads: distances, a map, and groups that one head may represent.

use attn_analyze::heads::{DivergenceParams, HeadPairs, Role, divergence};
use attn_core::{Attention, Capture, HeadId, Progress};
use attn_project::{Dims, mds::DistanceMap};
use attn_render::{
    Cells,
    plots::{Coordinates, HeadMap, HeadMapPart},
};
use serde::Serialize;

use super::{HeadSummary, Summary, build::stack};
use crate::Error;

/// Largest divergence within a group, relative to the median pair.
const GROUPED: f32 = 0.5;
/// Most similar heads that a marked head is joined to.
const NEAREST: usize = 5;

/// Similarity of the heads of one attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadSimilarity {
    /// The attention. Heads of different attentions see different keys and are not compared.
    pub attention: Attention,
    /// Mean Jensen-Shannon divergence of the rows of every pair in bits: 0 is equal, 1 has nothing in common.
    pub pairs: HeadPairs,
    /// That of the median pair.
    pub median: f32,
    /// Place of each head of `pairs` on the map. Distances approximate the root of the divergence (Clark et al. 2019, section
    /// 6).
    pub places: Vec<[f32; 2]>,
    /// Error of the distances of the map: see [`DistanceMap::stress`].
    pub stress: f64,
    /// Groups of heads. Any two heads of a group are closer than half the median pair. The first head of a group is closest to the
    /// others. Candidates for pruning: similar attention does not imply the same output.
    pub groups: Vec<Vec<HeadId>>,
}

impl HeadSimilarity {
    /// Compares the heads of an attention.
    ///
    /// # Errors
    /// Those of [`divergence`].
    pub fn new(
        capture: &Capture,
        attention: Attention,
        params: &DivergenceParams,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let pairs = divergence(capture, attention, params, progress)?;
        let map = DistanceMap::fit(pairs.distances().view(), Dims::Two, progress)?;
        let median = pairs.median();
        Ok(Self {
            attention,
            median,
            places: map
                .points
                .rows()
                .into_iter()
                .map(|place| [place[0], place[1]])
                .collect(),
            stress: map.stress,
            groups: pairs.groups(GROUPED * median),
            pairs,
        })
    }

    /// The pairs that are nearer than the median one, nearest first.
    pub(super) fn nearest_pairs(&self, most: usize) -> impl Iterator<Item = SimilarHeads> {
        let pairs = self.pairs.at_most(self.median).into_iter().take(most);
        pairs.map(|(a, b, divergence)| SimilarHeads {
            a,
            b,
            divergence,
            median: self.median,
        })
    }
}

/// Two heads with similar attention. Whether they also write the same must be seen by ablation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SimilarHeads {
    /// One head.
    pub a: HeadId,
    /// The other.
    pub b: HeadId,
    /// Mean Jensen-Shannon divergence of their rows in bits, 0 for equal.
    pub divergence: f32,
    /// That of the median pair.
    pub median: f32,
}

impl Summary {
    /// The other heads of the same attention with their divergence in bits, most similar first.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_render::{Plot, ViewState};
    /// use attn_study::summary::{Summary, SummaryParams};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let summary = Summary::new(&capture, None, &SummaryParams::default(), &())?;
    /// let head = summary.heads[1].head;
    /// let (other, bits) = summary.most_similar(head)[0];
    /// assert!(other != head && bits < 0.5);
    /// // The same as a map, with that head and the heads most similar to it highlighted.
    /// let map = summary.map(Some(head))?;
    /// assert_eq!(map.scene(&ViewState::default(), map.natural_size())?.layers[1].points.len(), 16);
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn most_similar(&self, head: HeadId) -> Vec<(HeadId, f32)> {
        let similarity = self.similarity_of(head);
        let place = |similarity: &&HeadSimilarity| similarity.pairs.heads().iter().position(|other| *other == head);
        similarity
            .and_then(|similarity| Some(similarity.pairs.ascending(place(&similarity)?)))
            .unwrap_or_default()
    }

    /// Similarity of all heads of a head's attention.
    pub fn similarity_of(&self, head: HeadId) -> Option<&HeadSimilarity> {
        self.similarity
            .iter()
            .find(|similarity| similarity.attention == head.attention)
    }

    /// The map of heads, a plot for each attention, in the colors of their roles. Lines join the heads of a group, or a `marked`
    /// head and the heads most similar to it. Ids of points are indices of [`heads`](Self::heads). Its table has, per head, the
    /// most similar head and the divergence in bits.
    ///
    /// # Errors
    /// [`Error::Render`] for places that are not finite.
    pub fn map(&self, marked: Option<HeadId>) -> Result<HeadMap, Error> {
        let mut roles: Vec<&Role> = Vec::new();
        for role in self.heads.iter().filter_map(first_role) {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        roles.sort_by_key(|role| self.rules.rank(role));
        let class = |head: &HeadId| {
            let role = first_role(self.head(*head)?)?;
            roles.iter().position(|other| *other == role)
        };
        let several = self.similarity.len() > 1;
        let mut parts = Vec::new();
        for similarity in &self.similarity {
            let title = if several { stack(similarity.attention) } else { "" };
            parts.push(HeadMapPart {
                title: title.into(),
                heads: similarity.pairs.heads().to_vec(),
                coordinates: Coordinates::new(similarity.places.as_flattened(), 2)?,
                class_of: similarity.pairs.heads().iter().map(class).collect(),
            });
        }
        let links: Vec<(HeadId, HeadId)> = match marked {
            Some(head) => {
                let nearest = self.most_similar(head).into_iter().take(NEAREST);
                nearest.map(|(other, _)| (head, other)).collect()
            }
            None => {
                let groups = self.similarity.iter().flat_map(|similarity| &similarity.groups);
                groups
                    .flat_map(|group| group[1..].iter().map(|other| (group[0], *other)))
                    .collect()
            }
        };
        let stress = self
            .similarity
            .iter()
            .map(|similarity| format!("{:.2}", similarity.stress));
        let stress = stress.collect::<Vec<_>>().join(", ");
        let subtitle = match marked {
            Some(head) => format!("Lines: {} and the heads most similar to it", self.model.head_name(head)),
            None if links.is_empty() => format!("No two heads are closer than half the median pair · stress {stress}"),
            None => format!("Lines: groups of heads, any two closer than half the median pair · stress {stress}"),
        };
        Ok(HeadMap {
            title: format!("{}: heads with similar attention", self.model.name),
            subtitle,
            caption: "Each point is a head. Close heads have similar rows of attention (root of the mean Jensen-Shannon divergence, laid \
                      out by multidimensional scaling). Color: the strongest role."
                .into(),
            links,
            marked,
            columns: self.similarity_columns(),
            ..HeadMap::new(parts, roles.iter().map(ToString::to_string).collect())
        })
    }

    /// Per head its group, the most similar head, and the divergence.
    fn similarity_columns(&self) -> Vec<(String, Cells)> {
        let heads = || self.similarity.iter().flat_map(|similarity| similarity.pairs.heads());
        let nearest: Vec<Option<(HeadId, f32)>> =
            heads().map(|head| self.most_similar(*head).first().copied()).collect();
        let group = |head: &HeadId| {
            let groups = self
                .similarity_of(*head)
                .map_or(&[][..], |similarity| &similarity.groups);
            let group = groups.iter().find(|group| group.contains(head));
            group.map_or_else(String::new, |group| self.model.head_name(group[0]))
        };
        let name = |head: &Option<(HeadId, f32)>| head.map_or_else(String::new, |(head, _)| self.model.head_name(head));
        vec![
            ("group of".into(), Cells::texts(heads().map(group))),
            ("most similar".into(), Cells::texts(nearest.iter().map(name))),
            (
                "divergence in bits".into(),
                Cells::numbers(nearest.iter().map(|head| head.map(|(_, bits)| bits))),
            ),
        ]
    }
}

fn first_role(head: &HeadSummary) -> Option<&Role> {
    head.labels.first().map(|label| &label.role)
}
