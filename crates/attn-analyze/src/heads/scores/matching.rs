//! Patterns of whole sequences: one-to-one matching, and alignment in order between two sides.

use std::ops::Range;

use crate::{
    Error, Rng,
    heads::{
        HeadContext, HeadScore, HeadScores, HeadTally, Mean, Measured, Role, Row, Rule, Score, ScoreId, SequenceTokens,
        Targets, TopCell, head_score::rows,
    },
};

/// Attention between a query and a key that choose each other: the key gets the query's largest weight, and the query gives the
/// key its largest.
pub const ONE_TO_ONE: OneToOne = OneToOne;

/// Cross-attention along the diagonal: to the keys at the query's relative place, or one beside it.
pub const ALIGNED: Aligned = Aligned;

/// Cross-attention in order: how often a key drawn by a query's attention lies behind one drawn by that of the query before.
pub const MONOTONIC: Monotonic = Monotonic;

impl ScoreId {
    /// [`ONE_TO_ONE`].
    pub const ONE_TO_ONE: Self = Self::from_static("one_to_one");
    /// [`ALIGNED`].
    pub const ALIGNED: Self = Self::from_static("aligned");
    /// [`MONOTONIC`].
    pub const MONOTONIC: Self = Self::from_static("monotonic");
}

impl Role {
    /// Pairs each query with a key of its own.
    pub const ONE_TO_ONE: Self = Self::from_static("one_to_one", "one-to-one");
    /// Attends to the same relative place of the other side.
    pub const ALIGNED: Self = Self::from_static("aligned", "aligned");
    /// Reads the other side from its start to its end.
    pub const MONOTONIC: Self = Self::from_static("monotonic", "monotonic");
}

/// Attention between queries and keys that choose each other.
#[derive(Debug, Clone, Copy)]
pub struct OneToOne;

impl HeadScore for OneToOne {
    fn id(&self) -> ScoreId {
        ScoreId::ONE_TO_ONE
    }

    fn name(&self) -> &str {
        "one-to-one"
    }

    fn counts(&self) -> &str {
        "the key that in turn gets most from this query"
    }

    fn tally(&self, head: &HeadContext) -> Box<dyn HeadTally> {
        Box::new(Pairs {
            own: Choices::default(),
            shuffled: Choices::default(),
            seed: head.seed,
            rows: 0,
            cells: Vec::new(),
            top: None,
        })
    }

    /// Roles that say which key it is are more precise.
    fn rules(&self) -> Vec<Rule> {
        let precise = [
            Role::DEAD,
            Role::PREVIOUS,
            Role::NEXT,
            Role::SELF_TOKEN,
            Role::OFFSET,
            Role::COUNTERPART,
            Role::IDENTITY,
            Role::SAME_WORD,
            Role::ALIGNED,
        ];
        vec![Rule::new(Role::ONE_TO_ONE, self.id(), 0.4).unless(&precise)]
    }
}

/// The largest weights of the rows and of the columns of one sequence.
#[derive(Default)]
struct Choices {
    /// Of each row: query, key, weight.
    rows: Vec<(usize, usize, f32)>,
    /// Of each key: the query that gives it most, and the weight.
    keys: Vec<Option<(usize, f32)>>,
    mean: Mean,
}

impl Choices {
    fn add(&mut self, query: usize, visible: &Range<usize>, weights: &[f32]) {
        if self.keys.len() < visible.end {
            self.keys.resize(visible.end, None);
        }
        let (mut best, mut several) = (None::<(usize, f32)>, false);
        for (key, &weight) in visible.clone().zip(weights) {
            match best {
                Some((_, most)) if weight < most => {}
                Some((_, most)) if weight == most => several = true,
                _ => (best, several) = (Some((key, weight)), false),
            }
            if self.keys[key].is_none_or(|(_, most)| weight > most) {
                self.keys[key] = Some((query, weight));
            }
        }
        // A row without a largest weight chooses nothing.
        let (key, weight) = best.filter(|_| !several).unwrap_or((usize::MAX, 0.0));
        self.rows.push((query, key, weight));
    }

    /// Adds the weights of mutual choices, which are returned, queries ascending.
    fn end_sequence(&mut self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (query, key, weight) in std::mem::take(&mut self.rows) {
            let mutual = self.keys.get(key).copied().flatten().is_some_and(|(by, _)| by == query);
            self.mean.add(if mutual { weight.into() } else { 0.0 });
            if mutual {
                pairs.push((query, key));
            }
        }
        self.mean.end_sequence();
        self.keys.clear();
        pairs
    }
}

struct Pairs {
    own: Choices,
    /// The same with each row's weights in random order.
    shuffled: Choices,
    seed: u64,
    rows: usize,
    /// The row's choices of this sequence.
    cells: Vec<TopCell>,
    top: Option<TopCell>,
}

impl HeadTally for Pairs {
    fn add(&mut self, row: &Row<'_>, _: Option<&Targets>) {
        let mut shuffled = row.weights.to_owned();
        Rng::new(self.seed, &[row.sequence, row.query, 1]).shuffle(&mut shuffled);
        self.own.add(row.query, &row.visible, row.weights);
        self.shuffled.add(row.query, &row.visible, &shuffled);
        self.rows += 1;
        self.cells.push(row.top());
    }

    /// The example is a mutual choice, known when all rows are.
    fn end_sequence(&mut self) {
        let pairs = self.own.end_sequence();
        self.shuffled.end_sequence();
        for cell in self.cells.drain(..) {
            if pairs.binary_search(&(cell.query, cell.key)).is_ok() {
                cell.offer_to(&mut self.top);
            }
        }
    }

    fn finish(&self) -> Option<Measured> {
        (self.rows > 0).then(|| Measured {
            value: self.own.mean.value(),
            chance: 0.0,
            permuted: Some(self.shuffled.mean.value()),
            rows: self.rows,
            top: self.top,
        })
    }
}

/// Cross-attention along the diagonal.
#[derive(Debug, Clone, Copy)]
pub struct Aligned;

impl HeadScore for Aligned {
    fn id(&self) -> ScoreId {
        ScoreId::ALIGNED
    }

    fn name(&self) -> &str {
        "aligned"
    }

    fn counts(&self) -> &str {
        "the same relative place of the other side"
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        let (queries, keys) = (tokens.queries.len(), tokens.keys.len());
        if tokens.is_self_attention() || queries < 2 || keys < 2 {
            return Ok(None);
        }
        let around = |query: usize| {
            let place = (query as f64 * (keys - 1) as f64 / (queries - 1) as f64).round() as usize;
            (place.saturating_sub(1)..(place + 2).min(keys)).collect()
        };
        let groups = (0..queries).map(Some).collect();
        Ok(Some(Targets::grouped(groups, (0..queries).map(around).collect())))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::ALIGNED, self.id(), 0.4).unless(&[Role::DEAD])]
    }
}

/// Cross-attention in order.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic;

impl HeadScore for Monotonic {
    fn id(&self) -> ScoreId {
        ScoreId::MONOTONIC
    }

    fn name(&self) -> &str {
        "monotonic"
    }

    fn counts(&self) -> &str {
        "chance that a query's key lies behind that of the query before"
    }

    /// One group without meaning: it tells cross-attention from the others.
    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        Ok((!tokens.is_self_attention()).then(|| Targets::shared(tokens.queries.len(), vec![0])))
    }

    fn tally(&self, _: &HeadContext) -> Box<dyn HeadTally> {
        Box::new(Order::default())
    }

    /// Given to heads that advance without being at the same relative place.
    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::MONOTONIC, self.id(), 0.5).unless(&[Role::DEAD, Role::ALIGNED])]
    }

    fn reason(&self, score: &Score, _: &HeadScores) -> String {
        let (value, chance) = (score.value, score.chance);
        format!(
            "a query's key lies behind that of the query before in {value:.2} of draws (chance {chance:.2}{}",
            rows(score)
        )
    }
}

#[derive(Default)]
struct Order {
    /// The row before: its first key and its weights.
    before: Option<(usize, Vec<f32>)>,
    mean: Mean,
    rows: usize,
    top: Option<TopCell>,
}

impl HeadTally for Order {
    fn add(&mut self, row: &Row<'_>, targets: Option<&Targets>) {
        if targets.is_none() {
            return;
        }
        if let Some((start, before)) = &self.before {
            // Ties count half: a head that stays where it is has 0.5, as uniform attention has.
            let (mut behind, mut sum) = (0.0, 0.0);
            let mut old = (*start..).zip(before.iter().copied()).peekable();
            for (key, &weight) in row.visible.clone().zip(row.weights) {
                while let Some((_, passed)) = old.next_if(|(before, _)| *before < key) {
                    sum += f64::from(passed);
                }
                let tie = old
                    .peek()
                    .filter(|(before, _)| *before == key)
                    .map_or(0.0, |(_, tie)| f64::from(*tie));
                behind += f64::from(weight) * (sum + 0.5 * tie);
            }
            self.mean.add(behind);
            self.rows += 1;
            row.top().offer_to(&mut self.top);
        }
        self.before = Some((row.visible.start, row.weights.to_owned()));
    }

    fn end_sequence(&mut self) {
        self.before = None;
        self.mean.end_sequence();
    }

    fn finish(&self) -> Option<Measured> {
        (self.rows > 0).then(|| Measured {
            value: self.mean.value(),
            chance: 0.5,
            permuted: None,
            rows: self.rows,
            top: self.top,
        })
    }
}
