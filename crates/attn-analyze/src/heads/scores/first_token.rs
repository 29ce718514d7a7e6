//! Attention to the first token, often a sink.

use crate::{
    Error, Rng,
    heads::{HeadContext, HeadScore, HeadTally, Role, Rule, ScoreId, SequenceTokens, TargetTally, Targets},
};

/// Attention of later queries to the first token (`[CLS]`, `<s>`, the class token of an image).
pub const FIRST_TOKEN: FirstToken = FirstToken;

impl ScoreId {
    /// [`FIRST_TOKEN`].
    pub const FIRST_TOKEN: Self = Self::from_static("first_token");
}

impl Role {
    /// Attends to the first token; often a sink, where attention rests that has nothing to do.
    pub const FIRST_TOKEN: Self = Self::from_static("first_token", "first token");
}

/// Attention of later queries to the first token.
#[derive(Debug, Clone, Copy)]
pub struct FirstToken;

impl HeadScore for FirstToken {
    fn id(&self) -> ScoreId {
        ScoreId::FIRST_TOKEN
    }

    fn name(&self) -> &str {
        "first token"
    }

    fn counts(&self) -> &str {
        "the first token"
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        // The first token's own row is a row about itself.
        let cross = !tokens.is_self_attention();
        let first = |query: usize| (cross || query > 0).then_some(0);
        Ok(Some(Targets::single(tokens.queries.len(), first)))
    }

    fn tally(&self, _: &HeadContext) -> Box<dyn HeadTally> {
        Box::new(TargetTally::with_first_token())
    }

    /// Sinks need half of the attention: they take a good share in many heads of trained models.
    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::FIRST_TOKEN, self.id(), 0.5).unless(&[Role::DEAD])]
    }
}
