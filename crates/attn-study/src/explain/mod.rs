//! One example: which of its tokens a prediction rests on, by every method beside each other, with their checks, and which tokens
//! each head reads (after Li et al. 2021, "T3-Vis", the instance view).
//!
//! ```
//! use attn_models::{Capturer, attribute::Target};
//! use attn_study::{explain::{ExplainParams, Method, explain}, pruning::LabeledSet};
//!
//! let capturer = Capturer::load(&attn_embedded::SENTIMENT.checkpoint()?)?;
//! let set = LabeledSet::texts(&capturer, [("Rosa loves that awful meal.", Some("positive".to_owned()))])?;
//! // Why positive, not negative?
//! let target = Target::Class(2).minus(Target::Class(0));
//! let found = explain(&capturer, &set.examples()[0], &target, &ExplainParams::default(), &())?;
//! let integrated = found.attribution(Method::IntegratedGradients).unwrap();
//! assert_eq!(integrated.scores.len(), found.tokens.len());
//! assert!(integrated.gap.unwrap() <= 0.01);
//! # Ok::<(), attn_study::Error>(())
//! ```

mod attend;
mod curves;
mod methods;
mod plots;

use attn_core::{Progress, Side, Token, table::Table};
use attn_models::{Capturer, Problem, attribute::Target};
use attn_project::head::spearman;
use serde::{Deserialize, Serialize};

pub use self::{
    attend::{AttentionRows, attention_rows},
    curves::{Removal, RemovalCurves},
};
use crate::{Error, pruning::LabeledExample};

/// A way to attribute a number to tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// Euclidean length of the gradient (Simonyan et al. 2014). Not signed.
    Gradient,
    /// Input x gradient, signed (Shrikumar et al. 2017).
    InputGradient,
    /// Integrated gradients (Sundararajan et al. 2017).
    IntegratedGradients,
    /// Layer-wise relevance propagation (Bach et al. 2015; Ali et al. 2022).
    Relevance,
    /// Attention rollout to the token that the prediction is read from (Abnar and Zuidema 2020). Not signed, and not about the
    /// target.
    Rollout,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Gradient,
        Self::InputGradient,
        Self::IntegratedGradients,
        Self::Relevance,
        Self::Rollout,
    ];

    /// Its name for readers.
    pub fn title(self) -> &'static str {
        match self {
            Self::Gradient => "gradient length",
            Self::InputGradient => "input x gradient",
            Self::IntegratedGradients => "integrated gradients",
            Self::Relevance => "relevance propagation",
            Self::Rollout => "attention rollout",
        }
    }
}

/// Settings of an explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainParams {
    /// Steps of integrated gradients to begin with; they are doubled until the scores are complete. Default 50.
    pub steps: usize,
    /// Most steps. Default 800.
    pub most_steps: usize,
    /// What scores may miss of the change they explain. Default 0.01.
    pub gap: f64,
    /// `epsilon` of relevance propagation. Default 0, which conserves relevance.
    pub epsilon: f64,
    /// Whether tokens are removed and put back in the order of each method (deletion and insertion). Default true.
    pub removal: bool,
    /// Random orders beside deletion and insertion. Default 20.
    pub random: usize,
    /// Token slots of a batch of changed inputs. Default 2048.
    pub batch_tokens: usize,
    /// Seed of random orders. Default 0.
    pub seed: u64,
}

impl Default for ExplainParams {
    fn default() -> Self {
        Self {
            steps: 50,
            most_steps: 800,
            gap: 0.01,
            epsilon: 0.0,
            removal: true,
            random: 20,
            batch_tokens: 2048,
            seed: 0,
        }
    }
}

/// A token of the example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedToken {
    /// Its stack.
    pub side: Side,
    /// The token.
    pub token: Token,
}

/// Scores of tokens by one method.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// The method.
    pub method: Method,
    /// A score per token of [`Explanation::tokens`].
    pub scores: Vec<f64>,
    /// What the scores miss of what they explain, as a share of it: the completeness of integrated gradients, the conservation of
    /// relevance propagation. `None` for methods that promise nothing.
    pub gap: Option<f64>,
    /// Share of the value that relevance propagation gives to biases and positions, and not to tokens.
    pub beside: Option<f64>,
    /// Steps of the integral.
    pub steps: Option<usize>,
    /// The target as its tokens are removed, and put back.
    pub removal: Option<Removal>,
}

/// An example explained.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Its id.
    pub name: String,
    /// Its tokens: those of the encoder, then those of the decoder.
    pub tokens: Vec<ExplainedToken>,
    /// What is explained.
    pub target: Target,
    /// The same in words: `positive, not negative`.
    pub question: String,
    /// Value of the target.
    pub value: f64,
    /// The methods.
    pub attributions: Vec<Attribution>,
    /// The target as tokens are removed and put back in random orders.
    pub random: Option<RemovalCurves>,
    /// What could not be had, a sentence each.
    pub notes: Vec<String>,
}

/// Attributes a target to the tokens of an example by every method, and tests each by removing tokens in its order
/// ([`ExplainParams::removal`]).
///
/// # Errors
/// [`attn_models::Error::Intervention`] for a target that the model does not have; those of the model's run; cancellation.
pub fn explain(
    capturer: &Capturer,
    example: &LabeledExample,
    target: &Target,
    params: &ExplainParams,
    progress: &dyn Progress,
) -> Result<Explanation, Error> {
    let sequence = &example.sequence;
    let tokens: Vec<ExplainedToken> = [Side::Encoder, Side::Decoder]
        .into_iter()
        .flat_map(|side| {
            sequence.tokens(side).iter().map(move |token| ExplainedToken {
                side,
                token: token.clone(),
            })
        })
        .collect();
    let mut notes = Vec::new();
    let (value, attributions) = methods::all(capturer, example, &tokens, target, params, progress, &mut notes)?;
    let mut found = Explanation {
        name: sequence.name.clone(),
        tokens,
        target: target.clone(),
        question: question(capturer, target),
        value,
        attributions,
        random: None,
        notes,
    };
    if params.removal {
        curves::measure(&mut found, capturer, example, params, progress)?;
    }
    Ok(found)
}

impl Explanation {
    /// The scores of a method, if it could be had.
    pub fn attribution(&self, method: Method) -> Option<&Attribution> {
        self.attributions
            .iter()
            .find(|attribution| attribution.method == method)
    }

    /// Whether two methods order the tokens alike: Spearman's coefficient of the sizes of their scores over ordinary tokens.
    pub fn agreement(&self, a: Method, b: Method) -> Option<f64> {
        let sizes = |method| {
            let scores = &self.attribution(method)?.scores;
            let own = scores
                .iter()
                .zip(&self.tokens)
                .filter(|(_, token)| !token.token.special);
            Some(own.map(|(score, _)| score.abs()).collect::<Vec<f64>>())
        };
        spearman(&sizes(a)?, &sizes(b)?)
    }

    /// The scores, a row per token: `token, side`, and a column per method.
    pub fn table(&self) -> Table {
        let mut table = Table::new(self.tokens.len());
        table.texts("token", |row| self.tokens[row].token.text.as_str());
        table.texts("side", |row| match self.tokens[row].side {
            Side::Encoder => "encoder",
            Side::Decoder => "decoder",
        });
        for attribution in &self.attributions {
            table.numbers(attribution.method.title(), |row| attribution.scores[row]);
        }
        table
    }
}

/// A target in words.
fn question(capturer: &Capturer, target: &Target) -> String {
    match target {
        Target::Class(class) => {
            let (labels, number) = (
                capturer.model().labels(),
                capturer.model().problem() == Some(Problem::Number),
            );
            match labels.get(*class) {
                Some(_) if number && labels.len() == 1 => "this number".to_owned(),
                Some(name) if number => format!("the number {name}"),
                name => name.cloned().unwrap_or_else(|| format!("class {class}")),
            }
        }
        Target::Token { position, token } => {
            let text = capturer.tokenizer().map(|tokenizer| tokenizer.token(*token).text);
            format!("`{}` at place {position}", text.unwrap_or_else(|| token.to_string()))
        }
        Target::Difference(this, other) => {
            format!("{}, not {}", question(capturer, this), question(capturer, other))
        }
        Target::Loss { .. } => "the loss".to_owned(),
        _ => "the target".to_owned(),
    }
}
