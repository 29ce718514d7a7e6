//! What can be found wrong with an edit before a model runs: heads, layers and numbers that do not exist.

use attn_core::{
    ModelInfo,
    model::{AttentionInfo, Positions},
};

use super::{Edit, Heads, Intervention, Selection};
use crate::{Error, Point, Result, Site};

/// Names one intervention of a list in messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) index: usize,
    pub(super) edit: &'a Edit,
}

impl Place<'_> {
    pub(super) fn wrong(self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Intervention {
            place: format!("intervention {} ({})", self.index, self.edit.name()),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// Refuses a selection that reaches beyond `count` of `what` ("head").
    pub(super) fn within(self, selection: &Selection, count: usize, what: &str) -> Result<()> {
        match selection {
            Selection::All => Ok(()),
            Selection::Only(some) => match some.iter().find(|&&index| index >= count) {
                None => Ok(()),
                Some(index) => Err(self.wrong(
                    format!("{what}s from 0 to {}", count.saturating_sub(1)),
                    format!("{what} {index}"),
                )),
            },
        }
    }

    fn finite(self, what: &str, number: f32) -> Result<()> {
        if number.is_finite() {
            Ok(())
        } else {
            Err(self.wrong(format!("a finite {what}"), number.to_string()))
        }
    }

    /// The attention a site belongs to, which must have its layer.
    fn attention(self, info: &ModelInfo, site: Site) -> Result<&AttentionInfo> {
        let Some(attention) = info.attention(site.attention) else {
            let there: Vec<_> = info.attentions.iter().map(|info| info.attention.name()).collect();
            return Err(self.wrong(there.join(" or "), site.attention.name()));
        };
        let last = match site.point {
            Point::Hidden => attention.layers.len(),
            Point::Embedding | Point::Positions => 0,
            _ => attention.layers.len().saturating_sub(1),
        };
        if site.layer > last {
            return Err(self.wrong(
                format!("a layer from 0 to {last} for the {}", site.point.name()),
                format!("layer {}", site.layer),
            ));
        }
        if is_inside(site.point) && attention.heads_of(site.layer) == 0 {
            return Err(self.wrong("a layer with attention", format!("the {site}, which has none")));
        }
        Ok(attention)
    }

    /// Checks the heads of a site that may have none.
    fn heads_at(self, info: &ModelInfo, site: Site, heads: &Selection) -> Result<()> {
        let attention = self.attention(info, site)?;
        match site.point {
            Point::QueryBeforeRotation | Point::KeyBeforeRotation if info.positions != Positions::Rotary => {
                let found = format!("the {} of a model that does not rotate", site.point.name());
                Err(self.wrong("a point that the model has", found))
            }
            Point::OffsetKey | Point::OffsetQuery => {
                let found = format!("the {}, which has no tokens", site.point.name());
                Err(self.wrong("a point with tokens", found))
            }
            Point::Key | Point::Value | Point::KeyBeforeRotation => {
                self.within(heads, attention.kv_heads_of(site.layer), "key/value head")
            }
            Point::Query | Point::QueryBeforeRotation | Point::Scores | Point::Attention | Point::HeadOutput => {
                self.within(heads, attention.heads_of(site.layer), "head")
            }
            _ if *heads == Selection::All => Ok(()),
            point => Err(self.wrong(format!("all heads: the {} has none", point.name()), "some heads")),
        }
    }

    /// Checks a site whose last axis has to be a vector.
    fn vectors(self, info: &ModelInfo, site: Site, heads: &Selection) -> Result<()> {
        match site.point {
            Point::Scores | Point::Attention | Point::Positions => Err(self.wrong(
                "a point that is a vector per token",
                format!("the {}", site.point.name()),
            )),
            _ => self.heads_at(info, site, heads),
        }
    }

    fn heads(self, info: &ModelInfo, heads: &Heads, point: Point) -> Result<()> {
        let attention = self.attention(info, heads.site(point))?;
        self.within(&heads.heads, attention.heads_of(heads.layer), "head")
    }
}

/// Whether a point is inside of an attention.
fn is_inside(point: Point) -> bool {
    !matches!(
        point,
        Point::Embedding | Point::Positions | Point::Router | Point::Mlp | Point::Hidden
    )
}

/// Checks one intervention against the sizes of a model.
pub(super) fn check(info: &ModelInfo, index: usize, intervention: &Intervention) -> Result<()> {
    let edit = &intervention.edit;
    let place = Place { index, edit };
    match edit {
        Edit::HeadMask { heads, factor } => {
            place.heads(info, heads, Point::HeadOutput)?;
            place.finite("factor", *factor)
        }
        Edit::AttentionRow { heads, weights, .. } => {
            place.heads(info, heads, Point::Attention)?;
            weights.iter().try_for_each(|&weight| place.finite("weight", weight))
        }
        Edit::AttentionCells { heads, weight, .. } => {
            place.heads(info, heads, Point::Attention)?;
            place.finite("weight", *weight)
        }
        Edit::AttentionFactor { heads, factor, .. } => {
            place.heads(info, heads, Point::Attention)?;
            place.finite("factor", *factor)
        }
        Edit::KnockOut { heads, .. } | Edit::KnockOutEdges { heads, .. } => place.heads(info, heads, Point::Scores),
        Edit::Patch {
            site,
            heads,
            tokens,
            donor_tokens,
            ..
        } => {
            if site.point == Point::Positions {
                return Err(place.wrong("a point other than the positions", "the positions"));
            }
            place.heads_at(info, *site, heads)?;
            match (tokens, donor_tokens) {
                (Selection::Only(tokens), Some(donor)) if tokens.len() != donor.len() => Err(place.wrong(
                    format!("{} donor tokens, one per token", tokens.len()),
                    donor.len().to_string(),
                )),
                _ => Ok(()),
            }
        }
        Edit::Add {
            site,
            heads,
            vector,
            scale,
            ..
        } => {
            place.vectors(info, *site, heads)?;
            place.finite("scale", *scale)?;
            vector.iter().try_for_each(|&number| place.finite("vector", number))
        }
        Edit::Mean {
            site, heads, vector, ..
        } => {
            place.vectors(info, *site, heads)?;
            vector.iter().try_for_each(|&number| place.finite("vector", number))
        }
        Edit::Noise { site, heads, scale, .. } => {
            place.vectors(info, *site, heads)?;
            place.finite("scale", *scale)
        }
        Edit::Scale {
            site, heads, factor, ..
        } => {
            place.vectors(info, *site, heads)?;
            place.finite("factor", *factor)
        }
        Edit::RemovePositions { side } => positions(place, info, *side),
        Edit::ShufflePositions { side, order } => {
            positions(place, info, *side)?;
            if info.positions == attn_core::model::Positions::RelativeVectors {
                return Err(place.wrong(
                    "a model that gives every token its position",
                    "one with vectors of the offsets between tokens",
                ));
            }
            let mut seen = vec![false; order.len()];
            for &from in order {
                match seen.get_mut(from) {
                    Some(seen) if !*seen => *seen = true,
                    _ => {
                        return Err(place.wrong(
                            format!("a permutation of 0 to {}", order.len().saturating_sub(1)),
                            format!("{from} twice or out of range"),
                        ));
                    }
                }
            }
            Ok(())
        }
    }
}

fn positions(place: Place<'_>, info: &ModelInfo, side: attn_core::Side) -> Result<()> {
    if info.positions == attn_core::model::Positions::None {
        return Err(place.wrong("a model that is told positions", "one that is not"));
    }
    place.attention(info, Site::positions(side)).map(|_| ())
}
