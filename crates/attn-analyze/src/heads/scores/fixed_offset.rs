//! Attention to the token a fixed number of places away, other than the next and the previous one.

use crate::{
    Error, Rng,
    heads::{
        HeadContext, HeadScore, HeadScores, HeadTally, Mean, Measured, Role, Row, Rule, Score, ScoreId, SequenceTokens,
        Targets, TopCell, head_score::rows,
    },
};

/// Attention to the token at the offset, from 2 to 8 places before or after the query, that gets most of it. Text only. The chance
/// level is that of one offset: the best of 14 is above it by accident too, though far below the half that gives a role.
pub const OFFSET: FixedOffset = FixedOffset;

/// Farthest offset that is looked at; farther ones are seldom and found by [`POSITIONAL`](super::POSITIONAL).
const FARTHEST: isize = 8;

impl ScoreId {
    /// [`OFFSET`].
    pub const OFFSET: Self = Self::from_static("offset");
}

impl Role {
    /// Attends to the token a fixed number of places before or after: two, three, ... The example says which.
    pub const OFFSET: Self = Self::from_static("offset", "fixed offset");
}

/// Attention to the token at one fixed offset, in self-attention.
#[derive(Debug, Clone, Copy)]
pub struct FixedOffset;

impl HeadScore for FixedOffset {
    fn id(&self) -> ScoreId {
        ScoreId::OFFSET
    }

    fn name(&self) -> &str {
        "fixed offset"
    }

    fn counts(&self) -> &str {
        "the token at a fixed offset of 2 to 8"
    }

    /// One group without meaning: it tells sequences of text from those of patches, where before and after are no words.
    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        let text = tokens.is_self_attention() && tokens.keys.iter().all(|token| token.patch.is_none());
        Ok(text.then(|| Targets::shared(tokens.queries.len(), vec![0])))
    }

    fn tally(&self, _: &HeadContext) -> Box<dyn HeadTally> {
        let offsets = (2..=FARTHEST).flat_map(|offset| [-offset, offset]);
        Box::new(Tally(offsets.map(AtOffset::new).collect()))
    }

    /// Half of the attention: with less, the offsets around it are as good a name.
    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::OFFSET, self.id(), 0.5).unless(&[Role::DEAD])]
    }

    fn reason(&self, score: &Score, _: &HeadScores) -> String {
        let (value, chance) = (score.value, score.chance);
        let what = match score
            .example
            .as_ref()
            .map(|example| example.key.cast_signed() - example.query.cast_signed())
        {
            Some(offset) if offset < 0 => format!("the token {} before", -offset),
            Some(offset) => format!("the token {offset} after"),
            None => self.counts().to_owned(),
        };
        // The best of several numbers is above the chance level of each.
        let offsets = 2 * (FARTHEST - 1);
        format!(
            "{value:.2} of attention goes to {what}, the best of {offsets} offsets (chance {chance:.2} for one{}",
            rows(score)
        )
    }
}

struct Tally(Vec<AtOffset>);

/// The sums of one offset.
struct AtOffset {
    offset: isize,
    value: Mean,
    chance: Mean,
    rows: usize,
    top: Option<TopCell>,
}

impl AtOffset {
    fn new(offset: isize) -> Self {
        Self {
            offset,
            value: Mean::default(),
            chance: Mean::default(),
            rows: 0,
            top: None,
        }
    }
}

impl HeadTally for Tally {
    fn add(&mut self, row: &Row<'_>, targets: Option<&Targets>) {
        if targets.is_none() {
            return;
        }
        for at in &mut self.0 {
            let key = row.query.checked_add_signed(at.offset);
            if let Some(key) = key.filter(|key| row.visible.contains(key)) {
                at.value.add(row.weight(key).into());
                at.chance.add(1.0 / row.weights.len() as f64);
                at.rows += 1;
                // The first token often is a sink.
                if key > 0 {
                    row.cell(key).offer_to(&mut at.top);
                }
            }
        }
    }

    fn end_sequence(&mut self) {
        for at in &mut self.0 {
            at.value.end_sequence();
            at.chance.end_sequence();
        }
    }

    /// The best of the offsets that enough rows have: a few long sequences tell nothing of the others.
    fn finish(&self) -> Option<Measured> {
        let most = self.0.iter().map(|at| at.rows).max()?;
        let known = self.0.iter().filter(|at| at.rows > 0 && 4 * at.rows >= most);
        let above = |at: &AtOffset| at.value.value() - at.chance.value();
        let best = known.max_by(|a, b| above(a).total_cmp(&above(b)).then(b.offset.abs().cmp(&a.offset.abs())))?;
        Some(Measured {
            value: best.value.value(),
            chance: best.chance.value(),
            permuted: None,
            rows: best.rows,
            top: best.top,
        })
    }
}
