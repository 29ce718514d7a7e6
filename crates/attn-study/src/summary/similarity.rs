//! Similarity of heads: distances, a map, and groups of which one head may stand for all.

use attn_analyze::heads::{DivergenceParams, HeadPairs, Role, divergence};
use attn_core::{Attention, Capture, HeadId, Progress};
use attn_project::{Dims, Mds};
use attn_render::{
    Cells, Scene, Table, View,
    views::{Coordinates, HeadMap, HeadMapPart},
};
use serde::Serialize;

use super::{HeadSummary, Summary, build::stack};
use crate::Error;

/// Heads of a group are nearer to each other than this share of what the median pair is.
const GROUPED: f32 = 0.5;
/// Heads that a marked one is joined to.
const NEAREST: usize = 5;
/// The layout of the map unless a host says otherwise: of one attention, and of each of several.
const PAGE: [f32; 2] = [900.0, 820.0];
const PART: [f32; 2] = [560.0, 760.0];

/// Similarity of the heads of one attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadSimilarity {
    /// The attention. Heads of different attentions see different keys and are not compared.
    pub attention: Attention,
    /// Mean Jensen-Shannon divergence of the rows of every pair in bits: 0 is equal, 1 has nothing in common.
    pub pairs: HeadPairs,
    /// That of the median pair.
    pub median: f32,
    /// Where each head of `pairs` lies on the map, so that distances are as near as possible to the root of the divergence
    /// (Clark et al. 2019, section 6).
    pub places: Vec<[f32; 2]>,
    /// How wrong the distances of the map are: see [`Mds::stress`].
    pub stress: f64,
    /// Groups of heads of which any two are nearer than half the median pair; the first of each is nearest to all the others. What
    /// to try when a model shall do with fewer heads; that they look alike does not say that they do the same.
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
        options: &DivergenceParams,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let pairs = divergence(capture, attention, options, progress)?;
        let map = Mds::fit(pairs.distances().view(), Dims::Two, progress)?;
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
    /// The other heads of the same attention with their divergence in bits, the most alike first: more like this head.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_render::View;
    /// use attn_study::{Summary, SummaryParams};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let summary = Summary::new(&capture, None, &SummaryParams::default(), &())?;
    /// let head = summary.heads[1].head;
    /// let (other, bits) = summary.most_similar(head)[0];
    /// assert!(other != head && bits < 0.5);
    /// // The same as a map, with that head and those most like it brought out.
    /// assert_eq!(summary.map(Some(head), &View::default(), None)?.layers[1].points.len(), 16);
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn most_similar(&self, head: HeadId) -> Vec<(HeadId, f32)> {
        let similarity = self.similarity_of(head);
        let place = |similarity: &&HeadSimilarity| similarity.pairs.heads().iter().position(|other| *other == head);
        similarity
            .and_then(|similarity| Some(similarity.pairs.ascending(place(&similarity)?)))
            .unwrap_or_default()
    }

    /// How alike the heads of a head's attention are.
    pub fn similarity_of(&self, head: HeadId) -> Option<&HeadSimilarity> {
        self.similarity
            .iter()
            .find(|similarity| similarity.attention == head.attention)
    }

    /// The map of heads, a plot for each attention, in the colors of what heads do. Lines join the heads of a group, or a `marked`
    /// head and those most like it. Ids of points are indices of [`heads`](Self::heads).
    ///
    /// # Errors
    /// Those of [`HeadMap::scene`].
    pub fn map(&self, marked: Option<HeadId>, view: &View, size: Option<[f32; 2]>) -> Result<Scene, Error> {
        let natural = match self.similarity.len() {
            0 | 1 => PAGE,
            parts => [PART[0] * parts as f32, PART[1]],
        };
        self.with_map(marked, |map| Ok(map.scene(view, size.unwrap_or(natural))?))
    }

    /// The numbers behind it: a row per head, with the head that is most like it and how far that is in bits.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn map_table(&self) -> Result<Table, Error> {
        let mut table = self.with_map(None, |map| Ok(map.table()?))?;
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
        let name = |head: Option<(HeadId, f32)>| head.map_or_else(String::new, |(head, _)| self.model.head_name(head));
        table.push("group of", Cells::Texts(heads().map(group).collect()))?;
        table.push("most like", Cells::Texts(nearest.iter().copied().map(name).collect()))?;
        let bits = nearest.iter().map(|head| head.map_or(f32::NAN, |(_, bits)| bits));
        table.push("divergence in bits", Cells::Numbers(bits.collect()))?;
        Ok(table)
    }

    fn with_map<T>(
        &self,
        marked: Option<HeadId>,
        use_it: impl FnOnce(&HeadMap<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let most = first_role;
        let mut roles: Vec<&Role> = Vec::new();
        for role in self.heads.iter().filter_map(most) {
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        roles.sort_by_key(|role| self.rules.rank(role));
        let classes: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        let class = |head: &HeadId| {
            let role = most(self.head(*head)?)?;
            roles.iter().position(|other| *other == role)
        };
        let class_of: Vec<Vec<Option<usize>>> = self
            .similarity
            .iter()
            .map(|similarity| similarity.pairs.heads().iter().map(class).collect())
            .collect();
        let several = self.similarity.len() > 1;
        let mut parts = Vec::new();
        for (similarity, class_of) in self.similarity.iter().zip(&class_of) {
            parts.push(HeadMapPart {
                title: if several { stack(similarity.attention) } else { "" },
                heads: similarity.pairs.heads(),
                coordinates: Coordinates::new(similarity.places.as_flattened(), 2)?,
                class_of,
            });
        }
        let links: Vec<(HeadId, HeadId)> = match marked {
            Some(head) => self
                .most_similar(head)
                .into_iter()
                .take(NEAREST)
                .map(|(other, _)| (head, other))
                .collect(),
            None => {
                let groups = self.similarity.iter().flat_map(|similarity| &similarity.groups);
                groups
                    .flat_map(|group| group[1..].iter().map(|other| (group[0], *other)))
                    .collect()
            }
        };
        let mut map = HeadMap::new(parts, &classes);
        let title = format!("{}: heads that attend alike", self.model.name);
        let stress: Vec<String> = self
            .similarity
            .iter()
            .map(|similarity| format!("{:.2}", similarity.stress))
            .collect();
        let subtitle = match marked {
            Some(head) => format!("Lines: {} and the heads most like it", self.model.head_name(head)),
            None if links.is_empty() => {
                format!(
                    "No two heads are nearer than half the median pair · stress {}",
                    stress.join(", ")
                )
            }
            None => format!(
                "Lines: groups of heads of which any two are nearer than half the median pair · stress {}",
                stress.join(", ")
            ),
        };
        (map.title, map.subtitle, map.links, map.marked) = (&title, &subtitle, &links, marked);
        map.caption = "Each point is a head; the nearer two are, the more alike their rows of attention (root of the mean Jensen-Shannon \
                       divergence, laid out by multidimensional scaling). Color: what it does most.";
        use_it(&map)
    }
}

fn first_role(head: &HeadSummary) -> Option<&Role> {
    head.labels.first().map(|label| &label.role)
}
