//! Examples whose prediction flipped, and what it rests on before and after.

use attn_core::{Progress, progress::step};
use attn_project::head::spearman;

use super::Snapshot;
use crate::{
    Error,
    explain::{ExplainParams, Explanation, Method, explain},
    pruning::{Evaluation, LabeledSet},
};

/// An example explained by two models, for the same target.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributionChange {
    /// Its place in the set.
    pub example: usize,
    /// Before and after.
    pub explanations: [Explanation; 2],
    /// Spearman's coefficient of the sizes of the scores of integrated gradients over ordinary tokens: 1 if both rest on the same
    /// tokens. `None` for fewer than three tokens.
    pub agreement: Option<f64>,
}

/// Places of the examples that one model is right about and the other is not: those that became wrong, then those that became
/// right.
pub fn flipped(before: &Evaluation, after: &Evaluation) -> [Vec<usize>; 2] {
    let pairs = || before.examples.iter().zip(&after.examples).enumerate();
    let lost = pairs().filter(|(_, (before, after))| before.right > after.right);
    let won = pairs().filter(|(_, (before, after))| before.right < after.right);
    [lost.map(|(at, _)| at).collect(), won.map(|(at, _)| at).collect()]
}

/// Explains examples by both models: why the right class, the first right label, the number, the first token? The least alike come
/// first. What one of the models does not have is left out.
///
/// # Errors
/// Those of [`explain`]; cancellation.
pub fn attribution_changes(
    snapshots: [&Snapshot; 2],
    set: &LabeledSet,
    examples: &[usize],
    params: &ExplainParams,
    progress: &dyn Progress,
) -> Result<Vec<AttributionChange>, Error> {
    let mut changes = Vec::new();
    for (done, &at) in examples.iter().enumerate() {
        step(progress, "attributions", done, examples.len())?;
        let Some(example) = set.examples().get(at) else {
            continue;
        };
        let target = match snapshots.map(|snapshot| example.target(snapshot.capturer.model())) {
            [Some(target), other] if other.as_ref() == Some(&target) => target,
            _ => continue,
        };
        let inner = |_: &str, _: usize, _: usize| progress.update("attributions", done, examples.len());
        let [before, after] = snapshots.map(|snapshot| explain(&snapshot.capturer, example, &target, params, &inner));
        let explanations = [before?, after?];
        let sizes = explanations.each_ref().map(|explanation| {
            let scores = explanation.attribution(Method::IntegratedGradients)?.scores.iter();
            let own = scores
                .zip(&explanation.tokens)
                .filter(|(_, token)| !token.token.special);
            Some(own.map(|(score, _)| score.abs()).collect::<Vec<f64>>())
        });
        let agreement = match &sizes {
            [Some(before), Some(after)] => spearman(before, after),
            _ => None,
        };
        changes.push(AttributionChange {
            example: at,
            explanations,
            agreement,
        });
    }
    let rank = |change: &AttributionChange| change.agreement.unwrap_or(1.0);
    changes.sort_by(|a, b| rank(a).total_cmp(&rank(b)).then(a.example.cmp(&b.example)));
    Ok(changes)
}
