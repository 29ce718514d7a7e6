//! Alignments between source and target: heads that align, links in Pharaoh format, alignment error rate (Och and Ney 2003;
//! growing diagonals after Koehn et al. 2003; attention as alignment after Chen et al. 2020).

use std::collections::BTreeSet;

use attn_core::Rng;
use serde::{Deserialize, Serialize};

use super::{AttentionWeights, Decoding, HeadChoice, Shift, TokenRow, Unit, attention::grouped};
use crate::{Error, rows::likeliest};

/// Permutations of target rows behind a chance level.
const PERMUTATIONS: usize = 20;
/// A head aligns if its score is at least this share of the best one's, and above every permuted score.
const OF_THE_BEST: f64 = 0.75;

/// How well a cross-attention head aligns source and target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AlignmentHead {
    /// Layer, from 0.
    pub layer: usize,
    /// Head, from 0.
    pub head: usize,
    /// F1 of its strongest links against the consensus of all heads, or one minus the alignment error rate against given
    /// alignments.
    pub score: f64,
    /// The mean of the same score with permuted target rows.
    pub chance: f64,
    /// Whether it is an alignment head: near the best score, and above every permuted one.
    pub aligns: bool,
}

/// Links between source and target positions, as pairs `(source, target)`, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Links(pub BTreeSet<(usize, usize)>);

impl Links {
    /// The links in Pharaoh format: `0-0 1-2`.
    pub fn pharaoh(&self) -> String {
        let links: Vec<String> = self
            .0
            .iter()
            .map(|(source, target)| format!("{source}-{target}"))
            .collect();
        links.join(" ")
    }
}

/// Given links of one pair of sentences, between words counted from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// Links that must be found.
    pub sure: BTreeSet<(usize, usize)>,
    /// Links that may be found, the sure ones included.
    pub possible: BTreeSet<(usize, usize)>,
}

/// Reads alignments in Pharaoh format, a line per pair of sentences: `0-0` is a sure link, `0p1` a possible one.
///
/// # Errors
/// [`Error::Pharaoh`] for anything else.
///
/// ```
/// use attn_study::decoding::read_pharaoh;
/// let read = read_pharaoh("0-0 1p2\n\n")?;
/// assert_eq!((read.len(), read[0].sure.len(), read[0].possible.len()), (2, 1, 2));
/// assert!(read_pharaoh("0-0 x").is_err());
/// # Ok::<(), attn_study::Error>(())
/// ```
pub fn read_pharaoh(text: &str) -> Result<Vec<Reference>, Error> {
    let line = |(number, line): (usize, &str)| -> Result<Reference, Error> {
        let mut read = Reference::default();
        for link in line.split_whitespace() {
            let pair = |separator: char| {
                let (source, target) = link.split_once(separator)?;
                Some((source.parse().ok()?, target.parse().ok()?))
            };
            match (pair('-'), pair('p')) {
                (Some(sure), _) => {
                    read.sure.insert(sure);
                    read.possible.insert(sure);
                }
                (None, Some(possible)) => {
                    read.possible.insert(possible);
                }
                (None, None) => {
                    return Err(Error::Pharaoh {
                        line: number,
                        found: link.chars().take(60).collect(),
                    });
                }
            }
        }
        Ok(read)
    };
    (1..).zip(text.lines()).map(line).collect()
}

/// Agreement of links with given alignments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorRate {
    /// 1 - (|A and S| + |A and P|) / (|A| + |S|), for links A, sure links S, possible links P.
    pub error_rate: f64,
    /// |A and P| / |A|.
    pub precision: f64,
    /// |A and S| / |S|.
    pub recall: f64,
}

/// The alignment error rate over pairs of sentences.
///
/// ```
/// use attn_study::decoding::{Links, alignment_error_rate, read_pharaoh};
/// let links = [Links([(0, 0), (1, 1)].into())];
/// let rate = alignment_error_rate(&links, &read_pharaoh("0-0 1p1 2-2")?);
/// // 1 - (1 + 2) / (2 + 2)
/// assert_eq!((rate.error_rate, rate.precision, rate.recall), (0.25, 1.0, 0.5));
/// # Ok::<(), attn_study::Error>(())
/// ```
pub fn alignment_error_rate(found: &[Links], given: &[Reference]) -> ErrorRate {
    let mut counts = Counts::default();
    for (found, given) in found.iter().zip(given) {
        counts.add(&found.0, given);
    }
    counts.rate()
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    links: usize,
    sure: usize,
    in_sure: usize,
    in_possible: usize,
}

impl Counts {
    fn add(&mut self, links: &BTreeSet<(usize, usize)>, given: &Reference) {
        self.links += links.len();
        self.sure += given.sure.len();
        self.in_sure += links.intersection(&given.sure).count();
        self.in_possible += links.intersection(&given.possible).count();
    }

    fn rate(self) -> ErrorRate {
        let of = |part: usize, all: usize| if all > 0 { part as f64 / all as f64 } else { 0.0 };
        ErrorRate {
            error_rate: 1.0 - of(self.in_sure + self.in_possible, self.links + self.sure),
            precision: of(self.in_possible, self.links),
            recall: of(self.in_sure, self.sure),
        }
    }
}

/// Groups of text tokens: every word or every piece, special and language tokens left out.
fn text_groups(row: &TokenRow, unit: Unit) -> Vec<(String, Vec<usize>)> {
    let mut groups = match unit {
        Unit::Words => row.word_groups(),
        Unit::Pieces => row.piece_groups(),
    };
    groups.retain(|(_, members)| members.iter().all(|&token| row.is_text(token)));
    groups
}

/// The source of the largest weight of each target; of equal ones the first. Rows without a weight have no link.
fn strongest(weights: &[f32], targets: usize, sources: usize) -> Vec<Option<usize>> {
    let row = |target: usize| {
        let row = &weights[target * sources..(target + 1) * sources];
        let best = likeliest(row)?;
        (row[best] > 0.0).then_some(best)
    };
    (0..targets).map(row).collect()
}

fn links(strongest: &[Option<usize>]) -> BTreeSet<(usize, usize)> {
    let pairs = strongest.iter().enumerate();
    pairs
        .filter_map(|(target, source)| source.map(|source| (source, target)))
        .collect()
}

impl Decoding {
    /// Links from each target unit to the source unit with the largest weight in the mean of some heads. Special and language
    /// tokens take no part. Positions count words or pieces of text.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], [`Error::NoSuchHead`].
    pub fn alignment(&self, hypothesis: usize, heads: &HeadChoice, shift: Shift, unit: Unit) -> Result<Links, Error> {
        let pieces = self.attention(hypothesis, heads, shift)?;
        let (source, target) = (
            text_groups(&self.source, unit),
            text_groups(&self.hypothesis(hypothesis)?.row, unit),
        );
        let weights = grouped(&pieces, self.source.len(), &target, &source);
        Ok(Links(links(&strongest(&weights, target.len(), source.len()))))
    }

    /// The heads that align, as a choice; all heads if none was found.
    pub fn aligning(&self) -> HeadChoice {
        let heads = self.alignment_heads.iter().filter(|head| head.aligns);
        let heads: Vec<(usize, usize)> = heads.map(|head| (head.layer, head.head)).collect();
        if heads.is_empty() {
            HeadChoice::All
        } else {
            HeadChoice::Some(heads)
        }
    }
}

/// The symmetrized consensus of weights `[target, source]`: links that are strongest in both directions, grown by neighbors that
/// are strongest in one (grow-diag).
pub fn consensus(weights: &[f32], targets: usize, sources: usize) -> Links {
    if targets == 0 || sources == 0 || weights.len() != targets * sources {
        return Links::default();
    }
    let forward = links(&strongest(weights, targets, sources));
    let turned: Vec<f32> = (0..sources)
        .flat_map(|source| (0..targets).map(move |target| weights[target * sources + source]))
        .collect();
    let backward: BTreeSet<(usize, usize)> = links(&strongest(&turned, sources, targets))
        .into_iter()
        .map(|(target, source)| (source, target))
        .collect();
    let mut grown: BTreeSet<(usize, usize)> = forward.intersection(&backward).copied().collect();
    let either: BTreeSet<(usize, usize)> = forward.union(&backward).copied().collect();
    loop {
        let free = |&(source, target): &(usize, usize)| {
            !grown.iter().any(|link| link.0 == source) || !grown.iter().any(|link| link.1 == target)
        };
        let near = |&(source, target): &(usize, usize)| {
            grown
                .iter()
                .any(|link| link.0.abs_diff(source) <= 1 && link.1.abs_diff(target) <= 1)
        };
        let next = either
            .iter()
            .find(|link| !grown.contains(link) && near(link) && free(link));
        match next.copied() {
            Some(link) => grown.insert(link),
            None => return Links(grown),
        };
    }
}

/// Scores every cross-attention head (of a decoder-only model every head, by its attention to the prompt) over the best
/// hypotheses of decodings of one model, best first. Without `given`, links between pieces are compared with the consensus of
/// all heads; with it, links between words with the given alignments, one per decoding.
///
/// # Errors
/// [`Error::Shape`] for another number of given alignments, or decodings of different models.
pub fn alignment_heads(
    decodings: &[&Decoding],
    given: Option<&[Reference]>,
    shift: Shift,
    seed: u64,
) -> Result<Vec<AlignmentHead>, Error> {
    if let Some(given) = given.filter(|given| given.len() != decodings.len()) {
        return Err(Error::Shape {
            what: "given alignments",
            expected: format!("{}, one per decoding", decodings.len()),
            found: given.len().to_string(),
        });
    }
    let unit = if given.is_some() { Unit::Words } else { Unit::Pieces };
    let mut heads = (0, 0);
    let mut tallies: Vec<Vec<Counts>> = Vec::new();
    for (at, decoding) in decodings.iter().enumerate() {
        let Some(hypothesis) = decoding.hypotheses.first() else {
            continue;
        };
        let all = hypothesis.cross.as_ref().unwrap_or(&hypothesis.decoder_self);
        if tallies.is_empty() {
            heads = (all.layers, all.heads);
            tallies = vec![vec![Counts::default(); 1 + PERMUTATIONS]; all.layers * all.heads];
        }
        if heads != (all.layers, all.heads) {
            return Err(Error::Shape {
                what: "decodings of one model",
                expected: format!("{} layers with {} heads", heads.0, heads.1),
                found: format!("{} layers with {} heads", all.layers, all.heads),
            });
        }
        let (source, target) = (text_groups(&decoding.source, unit), text_groups(&hypothesis.row, unit));
        if source.is_empty() || target.is_empty() {
            continue;
        }
        let of = |weights: &[f32], all: &AttentionWeights| {
            let rows = decoding.target_rows(weights, all, hypothesis.row.len(), shift);
            grouped(&rows, decoding.source.len(), &target, &source)
        };
        let reference = match given {
            Some(given) => given[at].clone(),
            None => {
                let mean = all.mean(&HeadChoice::All)?;
                let links = consensus(&of(&mean, all), target.len(), source.len()).0;
                Reference {
                    sure: links.clone(),
                    possible: links,
                }
            }
        };
        for (index, (layer, head)) in all.every_head().enumerate() {
            let mut found = strongest(&of(all.head(layer, head), all), target.len(), source.len());
            tallies[index][0].add(&links(&found), &reference);
            let mut rng = Rng::new(seed, &[at, index]);
            for tally in &mut tallies[index][1..] {
                rng.shuffle(&mut found);
                tally.add(&links(&found), &reference);
            }
        }
    }
    // With sure links alone, one minus the error rate is F1.
    let score = |counts: &Counts| 1.0 - counts.rate().error_rate;
    let best = tallies.iter().map(|tally| score(&tally[0])).fold(0.0, f64::max);
    let mut found: Vec<AlignmentHead> = tallies
        .iter()
        .enumerate()
        .map(|(index, tally)| {
            let own = score(&tally[0]);
            let permuted: Vec<f64> = tally[1..].iter().map(score).collect();
            AlignmentHead {
                layer: index / heads.1.max(1),
                head: index % heads.1.max(1),
                score: own,
                chance: permuted.iter().sum::<f64>() / PERMUTATIONS as f64,
                aligns: own >= OF_THE_BEST * best && permuted.iter().all(|chance| own > *chance),
            }
        })
        .collect();
    found.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then((a.layer, a.head).cmp(&(b.layer, b.head)))
    });
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consensus_of_a_diagonal_is_the_diagonal() {
        let weights = [0.8, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.8];
        assert_eq!(consensus(&weights, 3, 3).pharaoh(), "0-0 1-1 2-2");
    }

    #[test]
    fn neighbors_of_one_direction_grow() {
        // Target 1 looks at source 0 too, which is strongest for target 0.
        let weights = [0.9, 0.1, 0.6, 0.4];
        assert_eq!(consensus(&weights, 2, 2).pharaoh(), "0-0 0-1 1-1");
    }
}
