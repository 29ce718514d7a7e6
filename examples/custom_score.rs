//! Head scores of your own, without a fork: one by its target keys, one by a sum of its own. Both stand beside the built-in
//! scores in roles, on the page, in the table and in JSON.
//!
//! ```sh
//! cargo run --release --example custom_score
//! ```

#![allow(clippy::print_stdout, reason = "a command-line program")]

use attn_sdk::{
    Error,
    analyze::{
        self, Rng,
        heads::{
            HeadContext, HeadScore, HeadTally, Mean, Measured, Role, Row, Rule, Score, ScoreId, ScoreList,
            SequenceTokens, Targets, TopCell,
        },
    },
    embedded::{self, sentences},
    models::Capturer,
    study::summary::{Summary, SummaryParams},
};

/// Attention to articles. Scores of this form need targets alone: chance is the share of keys that are targets.
pub(crate) struct Articles;

impl HeadScore for Articles {
    fn id(&self) -> ScoreId {
        ScoreId::from_static("articles")
    }

    fn name(&self) -> &str {
        "articles"
    }

    fn counts(&self) -> &str {
        "articles"
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, analyze::Error> {
        let articles = tokens.keys_where(|token| matches!(token.text.trim(), "the" | "a" | "an"));
        Ok(Some(Targets::shared(tokens.queries.len(), articles)))
    }

    /// A third of the free attention gives the role; a dead head has no other.
    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::from("articles"), self.id(), 0.3).unless(&[Role::DEAD])]
    }
}

/// Mean distance between query and key, in tokens. Chance is the distance of uniform attention.
pub(crate) struct Distance;

impl HeadScore for Distance {
    fn id(&self) -> ScoreId {
        ScoreId::from_static("distance")
    }

    fn name(&self) -> &str {
        "distance"
    }

    fn counts(&self) -> &str {
        "mean distance between query and key"
    }

    fn tally(&self, _: &HeadContext) -> Box<dyn HeadTally> {
        Box::new(DistanceTally::default())
    }

    /// 1 for a head that looks at its own token, 0 for uniform attention.
    fn strength(&self, score: &Score) -> f64 {
        (1.0 - score.value / score.chance).clamp(0.0, 1.0)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::from("local"), self.id(), 0.7).unless(&[Role::DEAD])]
    }

    fn reason(&self, score: &Score, _: &analyze::heads::HeadScores) -> String {
        format!(
            "attention reaches {:.1} tokens (uniform attention {:.1})",
            score.value, score.chance
        )
    }
}

#[derive(Default)]
struct DistanceTally {
    value: Mean,
    chance: Mean,
    rows: usize,
    top: Option<TopCell>,
}

impl HeadTally for DistanceTally {
    fn add(&mut self, row: &Row<'_>, _: Option<&Targets>) {
        let distances = row.visible.clone().map(|key| key.abs_diff(row.query) as f64);
        let weighted = distances
            .clone()
            .zip(row.weights)
            .map(|(distance, weight)| distance * f64::from(*weight));
        self.value.add(weighted.sum());
        self.chance.add(distances.sum::<f64>() / row.weights.len() as f64);
        self.rows += 1;
        row.top().offer_to(&mut self.top);
    }

    fn end_sequence(&mut self) {
        self.value.end_sequence();
        self.chance.end_sequence();
    }

    fn finish(&self) -> Option<Measured> {
        (self.rows > 0).then(|| Measured {
            value: self.value.value(),
            chance: self.chance.value(),
            permuted: None,
            rows: self.rows,
            top: self.top,
        })
    }
}

/// The page about the embedded text encoder, with both scores.
pub(crate) fn summary() -> Result<Summary, Error> {
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint()?)?;
    let capture = capturer.capture_lines(sentences().take(60))?;
    let params = SummaryParams {
        scores: ScoreList::builtin().with(Articles).with(Distance),
        ..SummaryParams::default()
    };
    Summary::new(&capture, None, &params, &())
}

#[allow(dead_code, reason = "a test runs the example without it")]
pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", summary()?.markdown());
    Ok(())
}
