//! Scores of the form of attention rows, wherever they look: entropy, effective number of keys, sparsity.

use crate::heads::{
    HeadContext, HeadScore, HeadScores, HeadTally, Mean, Measured, Role, Row, Rule, Score, ScoreId, Targets, TopCell,
};

/// Entropy of a row over the logarithm of its visible keys: 1 is uniform, 0 is one key.
pub const ENTROPY: ShapeScore = ShapeScore {
    id: ScoreId::ENTROPY,
    name: "entropy",
    counts: "entropy of attention as a share of the largest possible one",
    of_row: |row| (row.entropy() / (row.weights.len() as f64).ln(), 1.0),
    kind: Kind::Entropy,
};

/// Exponential of the entropy of a row: the number of keys it attends to. Its chance is the number it sees.
pub const EFFECTIVE_KEYS: ShapeScore = ShapeScore {
    id: ScoreId::EFFECTIVE_KEYS,
    name: "effective keys",
    counts: "number of keys that attention goes to",
    of_row: |row| (row.entropy().exp(), row.weights.len() as f64),
    kind: Kind::Keys,
};

/// Hoyer's sparsity of a row: 0 is uniform, 1 is one key.
pub const SPARSITY: ShapeScore = ShapeScore {
    id: ScoreId::SPARSITY,
    name: "sparsity",
    counts: "Hoyer's sparsity of attention",
    of_row: |row| (sparsity(row.weights), 0.0),
    kind: Kind::Sparsity,
};

impl ScoreId {
    /// [`ENTROPY`].
    pub const ENTROPY: Self = Self::from_static("entropy");
    /// [`EFFECTIVE_KEYS`].
    pub const EFFECTIVE_KEYS: Self = Self::from_static("effective_keys");
    /// [`SPARSITY`].
    pub const SPARSITY: Self = Self::from_static("sparsity");
}

impl Role {
    /// Attends evenly to everything it sees: its pattern carries no information.
    pub const DEAD: Self = Self::from_static("dead", "dead");
    /// Attends broadly.
    pub const DIFFUSE: Self = Self::from_static("diffuse", "diffuse");
}

/// A score of the form of attention rows.
#[derive(Debug)]
pub struct ShapeScore {
    id: ScoreId,
    name: &'static str,
    counts: &'static str,
    /// Value and chance level of a row.
    of_row: fn(&Row<'_>) -> (f64, f64),
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Entropy,
    Keys,
    Sparsity,
}

impl HeadScore for ShapeScore {
    fn id(&self) -> ScoreId {
        self.id.clone()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn counts(&self) -> &str {
        self.counts
    }

    fn tally(&self, _: &HeadContext) -> Box<dyn HeadTally> {
        Box::new(Tally {
            of_row: self.of_row,
            value: Mean::default(),
            chance: Mean::default(),
            rows: 0,
            top: None,
        })
    }

    /// Entropy is relative to that of uniform attention, at most 1; keys are a share of the visible ones.
    fn strength(&self, score: &Score) -> f64 {
        match self.kind {
            Kind::Entropy => score.value.clamp(0.0, 1.0),
            Kind::Keys if score.chance > 0.0 => (score.value / score.chance).clamp(0.0, 1.0),
            _ => score.above_chance(),
        }
    }

    fn rules(&self) -> Vec<Rule> {
        match self.kind {
            Kind::Entropy => vec![
                Rule::new(Role::DEAD, self.id(), 0.99),
                Rule::new(Role::DIFFUSE, self.id(), 0.9).unless(&[Role::DEAD]),
            ],
            _ => Vec::new(),
        }
    }

    fn reason(&self, score: &Score, all: &HeadScores) -> String {
        let value = score.value;
        match self.kind {
            Kind::Entropy => {
                let keys = all.get(&ScoreId::EFFECTIVE_KEYS);
                let keys = keys.map(|keys| format!(", {:.1} of {:.1} keys", keys.value, keys.chance));
                let keys = keys.unwrap_or_default();
                format!("attention has {value:.3} of the largest possible entropy{keys}")
            }
            Kind::Keys => format!("attention goes to {value:.1} keys (of {:.1} visible)", score.chance),
            Kind::Sparsity => format!("attention has a sparsity of {value:.2}"),
        }
    }

    fn cell(&self, value: f64, chance: f64) -> String {
        match self.kind {
            Kind::Entropy => format!("{value:.3} (1 is even)"),
            _ => format!("{value:.2} ({chance:.2})"),
        }
    }
}

fn sparsity(row: &[f32]) -> f64 {
    let squares: f64 = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    let root = (row.len() as f64).sqrt();
    let sparsity = if squares > 0.0 {
        (root - 1.0 / squares.sqrt()) / (root - 1.0)
    } else {
        0.0
    };
    sparsity.clamp(0.0, 1.0)
}

struct Tally {
    of_row: fn(&Row<'_>) -> (f64, f64),
    value: Mean,
    chance: Mean,
    rows: usize,
    top: Option<TopCell>,
}

impl HeadTally for Tally {
    fn add(&mut self, row: &Row<'_>, _: Option<&Targets>) {
        let (value, chance) = (self.of_row)(row);
        self.value.add(value);
        self.chance.add(chance);
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
