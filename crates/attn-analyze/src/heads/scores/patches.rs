//! Attention of patches of an image along their row, along their column, and to their neighbors.

use std::collections::HashMap;

use crate::{
    Error, Rng,
    heads::{HeadScore, Role, Rule, ScoreId, SequenceTokens, Targets},
};

/// Attention to the other patches of the query's row.
pub const SAME_ROW: PatchScore = PatchScore {
    id: ScoreId::SAME_ROW,
    name: "same row",
    counts: "patches of the same row",
    role: Role::SAME_ROW,
    targets: |tokens| along(tokens, |(row, _)| row),
};

/// Attention to the other patches of the query's column.
pub const SAME_COLUMN: PatchScore = PatchScore {
    id: ScoreId::SAME_COLUMN,
    name: "same column",
    counts: "patches of the same column",
    role: Role::SAME_COLUMN,
    targets: |tokens| along(tokens, |(_, column)| column),
};

/// Attention to the at most eight patches around the query.
pub const NEIGHBOR: PatchScore = PatchScore {
    id: ScoreId::NEIGHBOR,
    name: "neighboring patches",
    counts: "the patches around",
    role: Role::NEIGHBOR,
    targets: around,
};

impl ScoreId {
    /// [`SAME_ROW`].
    pub const SAME_ROW: Self = Self::from_static("same_row");
    /// [`SAME_COLUMN`].
    pub const SAME_COLUMN: Self = Self::from_static("same_column");
    /// [`NEIGHBOR`].
    pub const NEIGHBOR: Self = Self::from_static("neighbor");
}

impl Role {
    /// Attends along the row of patches.
    pub const SAME_ROW: Self = Self::from_static("same_row", "same row");
    /// Attends along the column of patches.
    pub const SAME_COLUMN: Self = Self::from_static("same_column", "same column");
    /// Attends to the patches around.
    pub const NEIGHBOR: Self = Self::from_static("neighbor", "neighboring patches");
}

/// Attention to patches in a certain place relative to the query's.
#[derive(Debug)]
pub struct PatchScore {
    id: ScoreId,
    name: &'static str,
    counts: &'static str,
    role: Role,
    targets: fn(&SequenceTokens<'_>) -> Targets,
}

impl HeadScore for PatchScore {
    fn id(&self) -> ScoreId {
        self.id.clone()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn counts(&self) -> &str {
        self.counts
    }

    fn targets(&self, tokens: &SequenceTokens<'_>, _: &mut Rng) -> Result<Option<Targets>, Error> {
        let is_image = tokens.queries.iter().any(|token| token.patch.is_some());
        Ok((tokens.is_self_attention() && is_image).then(|| (self.targets)(tokens).except_self()))
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::new(self.role.clone(), self.id(), 0.2).unless(&[Role::DEAD])]
    }
}

/// Patches with the same coordinate.
fn along(tokens: &SequenceTokens<'_>, coordinate: fn((usize, usize)) -> usize) -> Targets {
    let of = |at: usize| tokens.queries.get(at)?.patch.map(coordinate);
    Targets::same((tokens.queries.len(), tokens.queries.len()), of, of)
}

/// The patches that touch the query's, corners included.
fn around(tokens: &SequenceTokens<'_>) -> Targets {
    let patches = tokens.queries.iter().enumerate();
    let places: HashMap<(usize, usize), usize> = patches
        .filter_map(|(index, token)| Some((token.patch?, index)))
        .collect();
    let mut keys: Vec<Vec<usize>> = Vec::new();
    let mut group = Vec::with_capacity(tokens.queries.len());
    for token in tokens.queries {
        group.push(token.patch.map(|(row, column)| {
            let near = |x: usize| x.saturating_sub(1)..=x.saturating_add(1);
            let around = near(row).flat_map(|row| near(column).map(move |column| (row, column)));
            keys.push(around.filter_map(|place| places.get(&place).copied()).collect());
            keys.len() - 1
        }));
    }
    Targets::grouped(group, keys)
}
