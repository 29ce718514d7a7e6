//! The score of token pairs, which [`content_scores`](crate::heads::content_scores) computes.

use crate::heads::{HeadScore, HeadScores, Reads, Role, Rule, Score, ScoreId, head_score::rows};

/// Share of what attention says beyond uniform that the classes of query and key predict, beyond what their offset does.
pub const CONTENT: TokenPairs = TokenPairs;

impl ScoreId {
    /// [`CONTENT`].
    pub const CONTENT: Self = Self::from_static("content");
}

impl Role {
    /// Attends by what tokens are rather than where they stand.
    pub const SEMANTIC: Self = Self::from_static("semantic", "semantic");
}

/// Share of attention that the classes of query and key predict beyond their offset, judged on sequences it was not
/// fitted on.
#[derive(Debug, Clone, Copy)]
pub struct TokenPairs;

impl HeadScore for TokenPairs {
    fn id(&self) -> ScoreId {
        ScoreId::CONTENT
    }

    fn name(&self) -> &str {
        "token pairs"
    }

    fn counts(&self) -> &str {
        "share of attention that the classes of query and key explain beyond their offset"
    }

    fn reads(&self) -> Reads {
        Reads::Elsewhere
    }

    fn explains(&self) -> bool {
        true
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(Role::SEMANTIC, self.id(), 0.2).unless(&[Role::DEAD])]
    }

    fn reason(&self, score: &Score, _: &HeadScores) -> String {
        let value = score.value;
        format!(
            "what query and key are explains {value:.2} of attention beyond their offset (chance 0.00{}",
            rows(score)
        )
    }
}
