//! Induction and duplicate-token scores, on random tokens repeated twice.

use crate::{
    Error, Rng,
    heads::{
        HeadScore, Reads, Role, Rule, ScoreId, SequenceTokens, Targets,
        induction::{repeat_targets, repeated},
    },
};

/// Attention to the token after the first occurrence of the query's token (Olsson et al. 2022).
pub const INDUCTION: RepeatScore = RepeatScore {
    id: ScoreId::INDUCTION,
    name: "induction",
    counts: "the token after the first occurrence, on repeated random tokens,",
    after: 1,
    role: Role::INDUCTION,
};

/// Attention to the first occurrence of the query's token (Wang et al. 2022).
pub const DUPLICATE: RepeatScore = RepeatScore {
    id: ScoreId::DUPLICATE,
    name: "duplicate token",
    counts: "the first occurrence, on repeated random tokens,",
    after: 0,
    role: Role::DUPLICATE,
};

impl ScoreId {
    /// [`INDUCTION`].
    pub const INDUCTION: Self = Self::from_static("induction");
    /// [`DUPLICATE`].
    pub const DUPLICATE: Self = Self::from_static("duplicate");
}

impl Role {
    /// Continues what followed an earlier occurrence.
    pub const INDUCTION: Self = Self::from_static("induction", "induction");
    /// Finds the earlier occurrence.
    pub const DUPLICATE: Self = Self::from_static("duplicate", "duplicate token");
}

/// Attention of the second copy of a repeated text to its first copy.
#[derive(Debug)]
pub struct RepeatScore {
    id: ScoreId,
    name: &'static str,
    counts: &'static str,
    after: usize,
    role: Role,
}

impl HeadScore for RepeatScore {
    fn id(&self) -> ScoreId {
        self.id.clone()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn counts(&self) -> &str {
        self.counts
    }

    fn reads(&self) -> Reads {
        Reads::RepeatedTokens
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        if tokens.queries.is_empty() {
            return Ok(None);
        }
        let range = repeated(tokens.queries, tokens.name)?;
        Ok(Some(repeat_targets(tokens.queries.len(), &range, self.after)))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(self.role.clone(), self.id(), 0.3).unless(&[Role::DEAD])]
    }
}
