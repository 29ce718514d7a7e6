//! What a selection of points is: how many there are, which tokens, positions and values are there more often than elsewhere,
//! what attends to them and what they attend to; and the neighbors of a point.

use std::collections::{BTreeMap, BTreeSet};

use attn_core::{Capture, HeadId, Progress, Side, progress::step};
use attn_project::{Metric, atlas::projected_points};
use serde::Serialize;

use crate::{Error, Place, Study};

/// Limit of traits that are named of each kind.
const NAMED: usize = 8;
/// Fewest points of a trait that is named.
const FEWEST: usize = 3;
/// Standard deviations above chance that a trait must have, as drawn without replacement: of a thousand traits that mean
/// nothing, one is there by chance.
const SIGMA: f64 = 3.0;
/// Limit of sequences whose attention is read for [`Study::attention_of`].
const SEQUENCES: usize = 300;

/// What a selection of points of a head has in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelectionSummary {
    /// The head.
    pub head: HeadId,
    /// Points of the selection.
    pub points: usize,
    /// How many of them are queries.
    pub queries: usize,
    /// How many are keys.
    pub keys: usize,
    /// Sequences that they are in.
    pub sequences: usize,
    /// Tokens, positions and values of columns that are over-represented against the other points that are drawn, those that
    /// tell most first.
    pub traits: Vec<Trait>,
}

/// Something that many points of a selection have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trait {
    /// What it is a value of: `token`, `position`, or the name of a column.
    pub of: String,
    /// The value: `the`, `7`, `NOUN`.
    pub value: String,
    /// Points of the selection that have it.
    pub count: usize,
    /// The number that a selection of this size would have by chance.
    pub expected: f64,
    /// Share of the selection that has it.
    pub share: f64,
    /// Share of all drawn points that have it: its chance level.
    pub chance: f64,
}

impl Trait {
    /// For people: `position 7: 93 % of the points (chance 4 %)`.
    pub fn describe(&self) -> String {
        format!(
            "{} {}: {:.0} % of the points (chance {:.0} %)",
            self.of,
            self.value,
            100.0 * self.share,
            100.0 * self.chance
        )
    }

    /// Bits that it tells of a point of the selection.
    pub(crate) fn bits(&self) -> f64 {
        self.share * (self.share / self.chance.max(f64::MIN_POSITIVE)).log2()
    }
}

/// A neighbor of a point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearPoint {
    /// The point's id in the plot of the head.
    pub point: u32,
    /// The text of its token.
    pub text: String,
    /// Whether it is a query; else a key.
    pub query: bool,
    /// Distance in the full space, by the metric of the projection.
    pub distance: f32,
    /// Euclidean distance in the plot, in its units.
    pub in_plot: f32,
}

/// Attention from or to the points of a selection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelectionAttention {
    /// What the selected queries attend to: shares of their attention, beside the shares that uniform attention would give.
    pub looked_at: Vec<Attended>,
    /// What attends to the selected keys: shares of the attention they get, beside those of uniform attention.
    pub looked_from: Vec<Attended>,
    /// Mean attention that a selected key gets from a query that sees it.
    pub received: Option<f64>,
    /// The same if attention were uniform.
    pub received_by_chance: Option<f64>,
    /// Sequences that were read.
    pub sequences: usize,
}

/// A share of attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attended {
    /// What it is a value of: `token`, `position` or `offset`.
    pub of: String,
    /// The value.
    pub value: String,
    /// Share of the attention.
    pub share: f64,
    /// The share that uniform attention would give.
    pub chance: f64,
}

impl Study {
    /// What a selection of points of a head has in common; `points` are ids in any order, as from
    /// [`Selection::ids`](attn_render::Selection::ids). Points that are not there, or that the filter hides, do not count.
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
    /// let summary = study.selection(head, study.matches(head, "\"the\"").ids());
    /// assert_eq!((summary.traits[0].value.as_str(), summary.traits[0].share), ("the", 1.0));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn selection(&self, head: HeadId, points: impl IntoIterator<Item = u32>) -> SelectionSummary {
        let places = self.places(head);
        let hidden = self.hidden_points(head);
        let drawn = |point: usize| hidden.get(point) != Some(&true);
        let chosen: BTreeSet<usize> = points
            .into_iter()
            .map(|point| point as usize)
            .filter(|&point| point < places.len() && drawn(point))
            .collect();
        let all: Vec<usize> = (0..places.len()).filter(|&point| drawn(point)).collect();
        let of = |value: &dyn Fn(&Place) -> Option<String>, name: &str| {
            over_represented(name, &chosen, &all, |point| value(&places[point]))
        };
        let mut traits = of(&|place| self.token(*place).map(|token| token.text.clone()), "token");
        if self.is_image(0) {
            traits.clear();
        }
        traits.extend(of(&|place| Some(place.token.to_string()), "position"));
        for column in self.columns() {
            let row = |place: &Place| self.capture().rows(place.sequence, place.side).start + place.token;
            traits.extend(of(&|place| column.text(place.side, row(place)), &column.name));
        }
        traits.sort_by(|a, b| b.bits().total_cmp(&a.bits()));
        let queries = chosen.iter().filter(|&&point| places[point].query).count();
        let sequences: BTreeSet<usize> = chosen.iter().map(|&point| places[point].sequence).collect();
        SelectionSummary {
            head,
            points: chosen.len(),
            queries,
            keys: chosen.len() - queries,
            sequences: sequences.len(),
            traits,
        }
    }

    /// The `count` points nearest to a point in the full space of a head, nearest first, with their distances there and in the
    /// plot.
    ///
    /// # Errors
    /// [`Error::NotProjected`], and those of [`projected_points`]. A point that is not there has no neighbors.
    pub fn nearest_points(&self, head: HeadId, point: u32, count: usize) -> Result<Vec<NearPoint>, Error> {
        let projection = self.projection(head)?;
        let all = projected_points(self.capture(), projection, self.params())?;
        let layout = &projection.embedding.points;
        let at = point as usize;
        if at >= all.nrows() || at >= layout.nrows() {
            return Ok(Vec::new());
        }
        let metric: &Metric = &self.params().metric;
        let own = all.row(at).to_vec();
        let hidden = self.hidden_points(head);
        let others = (0..all.nrows()).filter(|&other| other != at && hidden.get(other) != Some(&true));
        let mut near: Vec<(f32, usize)> = others
            .map(|other| (metric.distance(&own, &all.row(other).to_vec()), other))
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let labels = self.labels(head);
        let found = near.into_iter().take(count).map(|(distance, other)| {
            let (here, there) = (layout.row(at), layout.row(other));
            let squared: f32 = here.iter().zip(there).map(|(a, b)| (a - b).powi(2)).sum();
            NearPoint {
                point: u32::try_from(other).unwrap_or(u32::MAX),
                text: labels.get(other).map_or_else(String::new, |text| text.to_string()),
                query: other < projection.queries,
                distance,
                in_plot: squared.sqrt(),
            }
        });
        Ok(found.collect())
    }

    /// What the selected queries of a head attend to, and what attends to the selected keys, over the sequences that they are in.
    /// Of more than 300 sequences the first are read.
    ///
    /// # Errors
    /// [`Error::Core`] if attention cannot be recomputed, a cancellation.
    pub fn attention_of(
        &self,
        head: HeadId,
        points: impl IntoIterator<Item = u32>,
        progress: &dyn Progress,
    ) -> Result<SelectionAttention, Error> {
        let places = self.places(head);
        let mut chosen: BTreeMap<usize, [BTreeSet<usize>; 2]> = BTreeMap::new();
        let hidden = self.hidden_points(head);
        let drawn = points
            .into_iter()
            .filter(|&point| hidden.get(point as usize) != Some(&true));
        for place in drawn.filter_map(|point| places.get(point as usize)) {
            let sides = chosen.entry(place.sequence).or_default();
            sides[usize::from(!place.query)].insert(place.token);
        }
        let total = chosen.len().min(SEQUENCES);
        let (mut at, mut from) = (Shares::default(), Shares::default());
        let (mut received, mut by_chance, mut cells) = (0.0, 0.0, 0usize);
        let mask = self
            .capture()
            .model()
            .mask(head)
            .unwrap_or(attn_core::model::Mask::Full);
        for (done, (&sequence, [queries, keys])) in chosen.iter().take(total).enumerate() {
            step(progress, "attention of the selection", done, total)?;
            let weights = self.capture().attention(head, sequence)?;
            let text = |side, token| token_text(self.capture(), sequence, side, token);
            let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
            for (query, row) in weights.rows().into_iter().enumerate() {
                let seen = mask.visible_keys(query, weights.ncols());
                let uniform = 1.0 / seen.len().max(1) as f64;
                for key in seen {
                    let weight = f64::from(row[key]);
                    let offset = key as i64 - query as i64;
                    if queries.contains(&query) {
                        at.add(
                            text(key_side, key),
                            key,
                            (query_side == key_side).then_some(offset),
                            weight,
                            uniform,
                        );
                    }
                    if keys.contains(&key) {
                        let back = (query_side == key_side).then_some(-offset);
                        from.add(text(query_side, query), query, back, weight, uniform);
                        received += weight;
                        by_chance += uniform;
                        cells += 1;
                    }
                }
            }
        }
        let mean = |sum: f64| (cells > 0).then(|| sum / cells as f64);
        Ok(SelectionAttention {
            looked_at: at.strongest(),
            looked_from: from.strongest(),
            received: mean(received),
            received_by_chance: mean(by_chance),
            sequences: total,
        })
    }

    /// The token behind every point of a head.
    pub(crate) fn places(&self, head: HeadId) -> Vec<Place> {
        let side = |side: Side, query: bool| {
            self.sequences().iter().flat_map(move |&sequence| {
                let tokens = self.capture().sequences()[sequence].tokens(side).len();
                (0..tokens).map(move |token| Place {
                    sequence,
                    side,
                    token,
                    query,
                })
            })
        };
        side(head.attention.query_side(), true)
            .chain(side(head.attention.key_side(), false))
            .collect()
    }
}

fn token_text(capture: &Capture, sequence: usize, side: Side, token: usize) -> String {
    let tokens = capture.sequences()[sequence].tokens(side);
    tokens.get(token).map_or_else(String::new, |token| token.text.clone())
}

/// The values that `chosen` points have more often than all points, above chance, those that tell most first.
pub(crate) fn over_represented(
    of: &str,
    chosen: &BTreeSet<usize>,
    all: &[usize],
    value: impl Fn(usize) -> Option<String>,
) -> Vec<Trait> {
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for &point in all {
        let Some(value) = value(point) else { continue };
        let count = counts.entry(value).or_default();
        count[1] += 1;
        count[0] += usize::from(chosen.contains(&point));
    }
    let (n, population) = (chosen.len() as f64, all.len() as f64);
    let named = counts.into_iter().filter_map(|(value, [count, whole])| {
        let chance = whole as f64 / population;
        let expected = n * chance;
        // Drawn without replacement: the hypergeometric distribution.
        let left = (population - n) / (population - 1.0).max(1.0);
        let deviation = (expected * (1.0 - chance) * left).sqrt();
        // Of all points none is over-represented, whatever the rounding.
        let more = count as u128 * all.len() as u128 > whole as u128 * chosen.len() as u128;
        let above = count >= FEWEST && more && count as f64 > expected + SIGMA * deviation;
        above.then(|| Trait {
            of: of.to_owned(),
            value,
            count,
            expected,
            share: count as f64 / n,
            chance,
        })
    });
    let mut traits: Vec<Trait> = named.collect();
    traits.sort_by(|a, b| b.bits().total_cmp(&a.bits()));
    traits.truncate(NAMED);
    traits
}

/// Sums of attention by token, position and offset.
#[derive(Default)]
struct Shares {
    sums: BTreeMap<(&'static str, String), [f64; 2]>,
    total: [f64; 2],
}

impl Shares {
    fn add(&mut self, text: String, position: usize, offset: Option<i64>, weight: f64, uniform: f64) {
        let offset = offset.map(|offset| match offset {
            0 => "0".to_owned(),
            offset => format!("{offset:+}"),
        });
        let values = [
            ("token", Some(text)),
            ("position", Some(position.to_string())),
            ("offset", offset),
        ];
        for (of, value) in values.into_iter().filter_map(|(of, value)| Some((of, value?))) {
            let sum = self.sums.entry((of, value)).or_default();
            sum[0] += weight;
            sum[1] += uniform;
        }
        self.total[0] += weight;
        self.total[1] += uniform;
    }

    /// The values that get most beyond chance, by the bits that they tell.
    fn strongest(self) -> Vec<Attended> {
        let total = self.total.map(|total| total.max(f64::MIN_POSITIVE));
        let shares = self.sums.into_iter().map(|((of, value), sum)| Attended {
            of: of.to_owned(),
            value,
            share: sum[0] / total[0],
            chance: sum[1] / total[1],
        });
        let mut found: Vec<Attended> = shares
            .filter(|found| found.share > 2.0 * found.chance && found.share > 0.01)
            .collect();
        let bits = |found: &Attended| found.share * (found.share / found.chance.max(f64::MIN_POSITIVE)).log2();
        found.sort_by(|a, b| bits(b).total_cmp(&bits(a)));
        found.truncate(NAMED);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_selection_has_more_often_is_named_with_its_chance() {
        // A hundred points, ten of them "a"; the selection has nine of these and one other.
        let all: Vec<usize> = (0..100).collect();
        let chosen: BTreeSet<usize> = (1..10).chain([50]).collect();
        let value = |point: usize| Some(if point < 10 { "a" } else { "b" }.to_owned());
        let traits = over_represented("token", &chosen, &all, value);
        assert_eq!(traits.len(), 1, "b is rarer than by chance");
        let found = &traits[0];
        assert_eq!((found.value.as_str(), found.count, found.expected), ("a", 9, 1.0));
        assert_eq!(found.describe(), "token a: 90 % of the points (chance 10 %)");
    }

    #[test]
    fn chance_alone_names_nothing() {
        let all: Vec<usize> = (0..4000).collect();
        let mut rng = attn_core::Rng::new(3, &[]);
        let chosen: BTreeSet<usize> = rng.sample(4000, 400).into_iter().collect();
        let traits = over_represented("token", &chosen, &all, |point| Some((point % 40).to_string()));
        assert!(traits.len() <= 1, "{traits:?}");
        assert!(over_represented("token", &BTreeSet::new(), &all, |_| Some("x".into())).is_empty());
        // All of them are what they are, though rounding may put chance a bit lower.
        let whole: BTreeSet<usize> = (0..3999).collect();
        let few = over_represented("token", &whole, &all[..3999], |point| Some((point % 41).to_string()));
        assert!(few.is_empty(), "{few:?}");
    }
}
