//! The score of offsets: how much of attention follows from the distance between query and key.

use crate::{
    Rng,
    heads::{
        HeadContext, HeadScore, HeadScores, HeadTally, Measured, Role, Row, Rule, Score, ScoreId, TopCell,
        head_score::rows, positional::Offsets,
    },
};

/// Share of what attention says beyond uniform that the offset between key and query alone predicts.
pub const POSITIONAL: Positional = Positional;

impl ScoreId {
    /// [`POSITIONAL`].
    pub const POSITIONAL: Self = Self::from_static("positional");
}

impl Role {
    /// Attends by relative offset, in a pattern that has no role of its own.
    pub const POSITIONAL: Self = Self::from_static("positional", "positional");
}

/// Share of attention that the offset between key and query explains.
#[derive(Debug, Clone, Copy)]
pub struct Positional;

impl HeadScore for Positional {
    fn id(&self) -> ScoreId {
        ScoreId::POSITIONAL
    }

    fn name(&self) -> &str {
        "positional"
    }

    fn counts(&self) -> &str {
        "share of attention that the offset between key and query explains"
    }

    fn explains(&self) -> bool {
        true
    }

    fn tally(&self, head: &HeadContext) -> Box<dyn HeadTally> {
        Box::new(Tally {
            offsets: Offsets::new(head.queries, head.keys),
            seed: head.seed,
            ..Tally::default()
        })
    }

    /// Given unless a role says more precisely where the head looks.
    fn rules(&self) -> Vec<Rule> {
        let precise = [
            Role::DEAD,
            Role::PREVIOUS,
            Role::NEXT,
            Role::SELF_TOKEN,
            Role::OFFSET,
            Role::ALIGNED,
            Role::MONOTONIC,
            Role::FIRST_TOKEN,
            Role::SEPARATOR,
            Role::SAME_ROW,
            Role::SAME_COLUMN,
            Role::NEIGHBOR,
        ];
        vec![Rule::new(Role::POSITIONAL, self.id(), 0.5).unless(&precise)]
    }

    fn reason(&self, score: &Score, _: &HeadScores) -> String {
        let value = score.value;
        format!(
            "the offset between key and query explains {value:.2} of attention (chance 0.00{}",
            rows(score)
        )
    }
}

#[derive(Default)]
struct Tally {
    offsets: Offsets,
    seed: u64,
    rows: usize,
    top: Option<TopCell>,
}

impl HeadTally for Tally {
    fn add(&mut self, row: &Row<'_>, _: Option<&crate::heads::Targets>) {
        let mut permuted = row.weights.to_owned();
        Rng::new(self.seed, &[row.sequence, row.query]).shuffle(&mut permuted);
        let bits = row.entropy() / std::f64::consts::LN_2;
        let weight = 1.0 / row.rows as f64;
        self.offsets
            .add(row.query, &row.visible, row.weights, &permuted, bits, weight);
        self.rows += 1;
        row.top().offer_to(&mut self.top);
    }

    fn end_sequence(&mut self) {}

    fn finish(&self) -> Option<Measured> {
        let (value, permuted) = self.offsets.explained();
        (self.rows > 0).then_some(Measured {
            value,
            chance: 0.0,
            permuted: Some(permuted),
            rows: self.rows,
            top: self.top,
        })
    }
}
