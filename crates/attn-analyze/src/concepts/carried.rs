//! A prediction in terms of clusters: weights of tokens, by any method of attribution, summed over clusters.

use std::collections::BTreeMap;

use attn_core::Token;
use serde::{Deserialize, Serialize};

use super::{Partition, partition::same_points, words::Words};
use crate::{Error, error::finite};

/// Contribution of one cluster to a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CarriedBy {
    /// The cluster.
    pub cluster: usize,
    /// The sum of its words' weights, signs kept.
    pub weight: f64,
    /// Its share of all absolute weight in the sentence, 0 to 1.
    pub share: f64,
    /// Its words in the sentence, as indices into [`Words::words`].
    pub words: Vec<usize>,
}

/// Contribution of a special token (`[CLS]`) that is no point of the clustering: a kind of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpecialToken {
    /// As the tokenizer writes it.
    pub text: String,
    /// Its weight, sign kept; of all tokens with this text.
    pub weight: f64,
    /// Its share of all absolute weight in the sentence, 0 to 1.
    pub share: f64,
}

/// A prediction in terms of concepts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// The clusters, largest share first.
    pub clusters: Vec<CarriedBy>,
    /// The special tokens that are in no cluster, in the order of their first. A classifier that reads `[CLS]` has all of the last
    /// layer there.
    #[serde(default)]
    pub special: Vec<SpecialToken>,
    /// The share of absolute weight on other tokens in no cluster: noise, and words that were filtered out.
    pub outside: f64,
}

/// Sums the weights of one sentence's tokens over the clusters their words are in.
///
/// `weights` has one value for each of `tokens`, those of the sequence, special ones included: gradients times input, attention,
/// integrated gradients at the layer that was clustered. `partition` is of `words`. A token that several words share (a contraction) is divided between them.
///
/// # Errors
/// [`Error::Shape`] if partition and words or tokens and weights do not fit, or a word has a token beyond the weights;
/// [`Error::NotFinite`].
pub fn carried(
    partition: &Partition,
    words: &Words,
    sentence: usize,
    tokens: &[Token],
    weights: &[f32],
) -> Result<Carried, Error> {
    same_points(words.words.len(), partition.points(), "partition")?;
    if tokens.len() != weights.len() {
        return Err(Error::Shape {
            place: format!("weights of sentence {sentence}"),
            expected: format!("one for each of the {} tokens", tokens.len()),
            found: weights.len().to_string(),
        });
    }
    finite(weights, || format!("weights of sentence {sentence}"))?;
    let here = || {
        words
            .words
            .iter()
            .enumerate()
            .filter(|(_, word)| word.sentence == sentence)
            .filter_map(|(at, word)| Some((at, partition.cluster(at)?, word)))
    };
    let mut owners = vec![0_usize; weights.len()];
    for (_, _, word) in here() {
        for &token in &word.tokens {
            let length = owners.len();
            let owner = owners.get_mut(token).ok_or_else(|| Error::Shape {
                place: format!("weights of sentence {sentence}"),
                expected: format!("at least {} tokens", token + 1),
                found: length.to_string(),
            })?;
            *owner += 1;
        }
    }
    let total: f64 = weights.iter().map(|&weight| f64::from(weight.abs())).sum();
    let share = |size: f64| if total > 0.0 { size / total } else { 0.0 };
    let mut clusters: BTreeMap<usize, (f64, f64, Vec<usize>)> = BTreeMap::new();
    for (at, cluster, word) in here() {
        let entry = clusters.entry(cluster).or_default();
        for &token in &word.tokens {
            let weight = f64::from(weights[token]) / owners[token] as f64;
            entry.0 += weight;
            entry.1 += weight.abs();
        }
        entry.2.push(at);
    }
    let (mut special, mut outside) = (Vec::<SpecialToken>::new(), 0.0);
    for ((token, &weight), _) in tokens
        .iter()
        .zip(weights)
        .zip(&owners)
        .filter(|&(_, &owners)| owners == 0)
    {
        let (weight, size) = (f64::from(weight), share(f64::from(weight.abs())));
        match special
            .iter_mut()
            .find(|known| token.special && known.text == token.text)
        {
            Some(known) => {
                known.weight += weight;
                known.share += size;
            }
            None if token.special => special.push(SpecialToken {
                text: token.text.clone(),
                weight,
                share: size,
            }),
            None => outside += size,
        }
    }
    let mut clusters: Vec<CarriedBy> = clusters
        .into_iter()
        .map(|(cluster, (weight, size, words))| CarriedBy {
            cluster,
            weight,
            share: share(size),
            words,
        })
        .collect();
    clusters.sort_by(|a, b| b.share.total_cmp(&a.share));
    Ok(Carried {
        clusters,
        special,
        outside,
    })
}
