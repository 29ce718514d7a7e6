//! Deletion and insertion: the target as the tokens of an example are removed in the order of their scores, and put back
//! (Petsiuk, Das and Saenko 2018, "RISE"; for texts DeYoung et al. 2020, "ERASER").

use attn_core::{Progress, Rng, Side, progress::step};
use attn_models::{Capturer, attribute::target_values};
use serde::Serialize;

use super::{ExplainParams, Explanation, methods::neutral};
use crate::{
    Error,
    pruning::{LabeledExample, inputs_of},
};

/// The target as tokens go and come back in one order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Removal {
    /// Places of the tokens in [`Explanation::tokens`], the largest score first; special tokens stay.
    pub order: Vec<usize>,
    /// The target with none of `order` replaced, one, ..., all.
    pub deletion: Vec<f64>,
    /// The target with all of `order` replaced but none, the first, the first two, ...
    pub insertion: Vec<f64>,
}

/// The same of random orders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemovalCurves {
    /// One per order.
    pub orders: Vec<Removal>,
}

impl Removal {
    /// Mean of the target over the deletion: small for an order that finds what the prediction rests on.
    pub fn deletion_area(&self) -> f64 {
        area(&self.deletion)
    }

    /// Mean of the target over the insertion: large for such an order.
    pub fn insertion_area(&self) -> f64 {
        area(&self.insertion)
    }
}

impl RemovalCurves {
    /// Mean area under deletion and insertion over the orders.
    pub fn areas(&self) -> [f64; 2] {
        let mean = |of: fn(&Removal) -> f64| self.orders.iter().map(of).sum::<f64>() / self.orders.len().max(1) as f64;
        [mean(Removal::deletion_area), mean(Removal::insertion_area)]
    }

    /// Least, mean and largest value over the orders after so many tokens, of the deletion or of the insertion.
    pub fn band(&self, insertion: bool, tokens: usize) -> Option<[f64; 3]> {
        let curve = |removal: &Removal| {
            let curve = if insertion {
                &removal.insertion
            } else {
                &removal.deletion
            };
            curve.get(tokens).copied()
        };
        let values: Vec<f64> = self.orders.iter().filter_map(curve).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let least = values.iter().copied().reduce(f64::min)?;
        Some([least, mean, values.iter().copied().reduce(f64::max)?])
    }
}

/// The area under a curve over the share of tokens, by trapezoids.
fn area(curve: &[f64]) -> f64 {
    let steps = curve.len().saturating_sub(1);
    if steps == 0 {
        return curve.first().copied().unwrap_or(0.0);
    }
    curve.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).sum::<f64>() / steps as f64
}

/// Removes tokens in the order of each method, and in random orders.
pub(super) fn measure(
    found: &mut Explanation,
    capturer: &Capturer,
    example: &LabeledExample,
    params: &ExplainParams,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let places: Vec<usize> = (0..found.tokens.len())
        .filter(|&at| !found.tokens[at].token.special && found.tokens[at].token.id.is_some())
        .collect();
    let Some(neutral) = neutral(capturer).filter(|_| !places.is_empty()) else {
        found
            .notes
            .push("no deletion and insertion: there is no token to put in place of others".to_owned());
        return Ok(());
    };
    let mut orders: Vec<Vec<usize>> = Vec::new();
    for attribution in &found.attributions {
        let mut order = places.clone();
        order.sort_by(|&a, &b| attribution.scores[b].total_cmp(&attribution.scores[a]).then(a.cmp(&b)));
        orders.push(order);
    }
    for random in 0..params.random {
        let mut order = places.clone();
        Rng::new(params.seed, &[6, random]).shuffle(&mut order);
        orders.push(order);
    }
    let total = orders.len();
    let mut removals = Vec::with_capacity(total);
    for (done, order) in orders.into_iter().enumerate() {
        let replaced = |gone: &dyn Fn(usize) -> bool| {
            let mut changed = example.clone();
            for (rank, &place) in order.iter().enumerate() {
                if gone(rank) {
                    replace(
                        &mut changed,
                        found.tokens[place].side,
                        found.tokens[place].token.position,
                        neutral,
                    );
                }
            }
            changed
        };
        let count = 2 * (order.len() + 1);
        let size = (params.batch_tokens / found.tokens.len().max(1)).max(1);
        let mut values = Vec::with_capacity(count);
        // Made when their turn comes: a long text has thousands.
        for first in (0..count).step_by(size) {
            step(progress, "deletion and insertion", done * count + first, total * count)?;
            let variant = |at: usize| match at.checked_sub(order.len() + 1) {
                None => replaced(&|rank| rank < at),
                Some(back) => replaced(&|rank| rank >= back),
            };
            let part: Vec<LabeledExample> = (first..count.min(first + size)).map(variant).collect();
            let inputs = inputs_of(capturer, &part.iter().collect::<Vec<_>>())?;
            let targets = std::slice::from_ref(&found.target);
            let part = target_values(capturer.model(), &inputs, targets, &mut ())?;
            values.extend(part.into_iter().map(f64::from));
        }
        let insertion = values.split_off(order.len() + 1);
        removals.push(Removal {
            order,
            deletion: values,
            insertion,
        });
    }
    let random = removals.split_off(found.attributions.len());
    for (attribution, removal) in found.attributions.iter_mut().zip(removals) {
        attribution.removal = Some(removal);
    }
    found.random = Some(RemovalCurves { orders: random });
    Ok(())
}

fn replace(example: &mut LabeledExample, side: Side, position: usize, id: u32) {
    let tokens = match side {
        Side::Encoder => &mut example.sequence.encoder,
        Side::Decoder => &mut example.sequence.decoder,
    };
    if let Some(token) = tokens.get_mut(position) {
        token.id = Some(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_by_hand() {
        assert_eq!(area(&[1.0, 0.0]), 0.5);
        assert_eq!(area(&[4.0, 2.0, 0.0]), 2.0);
        assert_eq!((area(&[3.0]), area(&[])), (3.0, 0.0));
        let order = |last| Removal {
            order: vec![0],
            deletion: vec![1.0, last],
            insertion: vec![last, 1.0],
        };
        let random = RemovalCurves {
            orders: vec![order(0.0), order(0.5)],
        };
        assert_eq!(random.areas(), [0.625, 0.625]);
        assert_eq!(
            (random.band(false, 1), random.band(true, 0)),
            (Some([0.0, 0.25, 0.5]), Some([0.0, 0.25, 0.5]))
        );
        assert_eq!(random.band(true, 2), None);
    }
}
