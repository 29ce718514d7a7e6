//! Which heads attend alike: their distances, a map of them, and the groups of which one head may stand for all.

use std::collections::BTreeSet;

use attn_analyze::heads::{DivergenceOptions, HeadPairs, LabelKind, divergence};
use attn_core::{Attention, Capture, HeadId, Progress};
use attn_project::{Dims, mds::DistanceMap};
use attn_render::{
    Cells,
    plots::{Coordinates, HeadMap, HeadMapPart},
};
use serde::Serialize;

use super::{AlikeHeads, HeadSummary, Summary};
use crate::Error;

/// Heads of a group are nearer to each other than this share of what the median pair is.
const GROUPED: f32 = 0.5;
/// Heads that a marked one is joined to.
const NEAREST: usize = 5;

/// How alike the heads of one attention attend.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Likeness {
    /// The attention. Heads of different attentions see different keys and are not compared.
    pub attention: Attention,
    /// Mean Jensen-Shannon divergence of the rows of every pair in bits: 0 is equal, 1 has nothing in common.
    pub pairs: HeadPairs,
    /// That of the median pair.
    pub median: f32,
    /// Where each head of `pairs` lies on the map, so that distances are as near as possible to the root of the divergence
    /// (Clark et al. 2019, section 6).
    pub places: Vec<[f32; 2]>,
    /// How wrong the distances of the map are: see [`DistanceMap::stress`].
    pub stress: f64,
    /// Groups of heads of which any two are nearer than half the median pair; the first of each is nearest to all the others. What
    /// to try when a model shall do with fewer heads; that they look alike does not say that they do the same.
    pub groups: Vec<Vec<HeadId>>,
}

impl Likeness {
    /// Compares the heads of an attention.
    ///
    /// # Errors
    /// Those of [`divergence`].
    pub fn new(
        capture: &Capture,
        attention: Attention,
        options: &DivergenceOptions,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let pairs = divergence(capture, attention, options, progress)?;
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
    pub(super) fn nearest_pairs(&self, most: usize) -> impl Iterator<Item = AlikeHeads> {
        let pairs = self.pairs.at_most(self.median).into_iter().take(most);
        pairs.map(|(a, b, divergence)| AlikeHeads {
            a,
            b,
            divergence,
            median: self.median,
        })
    }
}

impl Summary {
    /// The other heads of the same attention with their divergence in bits, the most alike first: more like this head.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_render::{Plot, ViewState};
    /// use attn_study::{Summary, SummaryOptions};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(20))?;
    /// let summary = Summary::new(&capture, None, &SummaryOptions::default(), &())?;
    /// let head = summary.heads[1].head;
    /// let (other, bits) = summary.more_like(head)[0];
    /// assert!(other != head && bits < 0.5);
    /// // The same as a map, with that head and those most like it brought out.
    /// let map = summary.map(Some(head))?;
    /// assert_eq!(map.scene(&ViewState::default(), map.natural_size())?.layers[1].points.len(), 16);
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn more_like(&self, head: HeadId) -> Vec<(HeadId, f32)> {
        let likeness = self.likeness_of(head);
        let place = |likeness: &&Likeness| likeness.pairs.heads().iter().position(|other| *other == head);
        likeness
            .and_then(|likeness| Some(likeness.pairs.ascending(place(&likeness)?)))
            .unwrap_or_default()
    }

    /// How alike the heads of a head's attention are.
    pub fn likeness_of(&self, head: HeadId) -> Option<&Likeness> {
        self.likeness
            .iter()
            .find(|likeness| likeness.attention == head.attention)
    }

    /// The map of heads, a plot for each attention, in the colors of what heads do. Lines join the heads of a group, or a `marked`
    /// head and those most like it. Ids of points are indices of [`heads`](Self::heads). Its table has, per head, the head that is
    /// most like it and how far that is in bits.
    ///
    /// # Errors
    /// [`Error::Render`] for places that are not finite.
    pub fn map(&self, marked: Option<HeadId>) -> Result<HeadMap, Error> {
        let most = |head: &HeadSummary| head.labels.first().map(|label| label.kind);
        let kinds: BTreeSet<LabelKind> = self.heads.iter().filter_map(most).collect();
        let class = |head: &HeadId| {
            let kind = most(self.head(*head)?)?;
            kinds.iter().position(|other| *other == kind)
        };
        let several = self.likeness.len() > 1;
        let mut parts = Vec::new();
        for likeness in &self.likeness {
            let title = match likeness.attention {
                _ if !several => "",
                Attention::EncoderSelf => "encoder",
                Attention::DecoderSelf => "decoder",
                Attention::Cross => "cross-attention",
            };
            parts.push(HeadMapPart {
                title: title.into(),
                heads: likeness.pairs.heads().to_vec(),
                coordinates: Coordinates::new(likeness.places.as_flattened(), 2)?,
                class_of: likeness.pairs.heads().iter().map(class).collect(),
            });
        }
        let links: Vec<(HeadId, HeadId)> = match marked {
            Some(head) => {
                let nearest = self.more_like(head).into_iter().take(NEAREST);
                nearest.map(|(other, _)| (head, other)).collect()
            }
            None => {
                let groups = self.likeness.iter().flat_map(|likeness| &likeness.groups);
                groups
                    .flat_map(|group| group[1..].iter().map(|other| (group[0], *other)))
                    .collect()
            }
        };
        let stress = self.likeness.iter().map(|likeness| format!("{:.2}", likeness.stress));
        let stress = stress.collect::<Vec<_>>().join(", ");
        let subtitle = match marked {
            Some(head) => format!("Lines: {} and the heads most like it", self.model.head_name(head)),
            None if links.is_empty() => format!("No two heads are nearer than half the median pair · stress {stress}"),
            None => format!(
                "Lines: groups of heads of which any two are nearer than half the median pair · stress {stress}"
            ),
        };
        Ok(HeadMap {
            title: format!("{}: heads that attend alike", self.model.name),
            subtitle,
            caption: "Each point is a head; the nearer two are, the more alike their rows of attention (root of the mean Jensen-Shannon \
                      divergence, laid out by multidimensional scaling). Color: what it does most."
                .into(),
            links,
            marked,
            columns: self.likeness_columns(),
            ..HeadMap::new(parts, kinds.iter().map(ToString::to_string).collect())
        })
    }

    /// Per head its group, the head that is most like it, and how far that is.
    fn likeness_columns(&self) -> Vec<(String, Cells)> {
        let heads = || self.likeness.iter().flat_map(|likeness| likeness.pairs.heads());
        let nearest: Vec<Option<(HeadId, f32)>> = heads().map(|head| self.more_like(*head).first().copied()).collect();
        let group = |head: &HeadId| {
            let groups = self.likeness_of(*head).map_or(&[][..], |likeness| &likeness.groups);
            let group = groups.iter().find(|group| group.contains(head));
            group.map_or_else(String::new, |group| self.model.head_name(group[0]))
        };
        let name = |head: &Option<(HeadId, f32)>| head.map_or_else(String::new, |(head, _)| self.model.head_name(head));
        vec![
            ("group of".into(), Cells::texts(heads().map(group))),
            ("most like".into(), Cells::texts(nearest.iter().map(name))),
            (
                "divergence in bits".into(),
                Cells::numbers(nearest.iter().map(|head| head.map(|(_, bits)| bits))),
            ),
        ]
    }
}
