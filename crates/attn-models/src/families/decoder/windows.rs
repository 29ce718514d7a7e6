//! Layers whose queries see the last tokens only.

use attn_core::model::Mask;
use serde_json::Value;

use super::Config;
use crate::Result;

/// The kinds of `layer_types`.
pub(super) const FULL: &str = "full_attention";
pub(super) const SLIDING: &str = "sliding_attention";

/// A window of `sliding_window` tokens; all before it where the option is null, or absent without a default.
pub(super) fn window(config: &Config, default: Option<usize>) -> Result<Mask> {
    if config.is_null("sliding_window") {
        return Ok(Mask::Causal);
    }
    let width = config.optional_size("sliding_window")?.or(default);
    Ok(width.map_or(Mask::Causal, |width| Mask::Window { width }))
}

/// `window` in the layers that `layer_types` calls sliding, or `by_default` picks without it, and all tokens in others.
pub(super) fn by_layer(
    config: &Config,
    layers: usize,
    window: Mask,
    by_default: impl Fn(usize) -> bool,
) -> Result<Vec<Mask>> {
    let Some(types) = config.get("layer_types") else {
        let mask = |layer| if by_default(layer) { window } else { Mask::Causal };
        return Ok((0..layers).map(mask).collect());
    };
    let types = types.as_array().filter(|types| types.len() == layers);
    let types = types.ok_or_else(|| config.wrong("layer_types", format!("a list of {layers} names")))?;
    let mask = |kind: &Value| match kind.as_str() {
        Some(FULL) => Ok(Mask::Causal),
        Some(SLIDING) if window != Mask::Causal => Ok(window),
        Some(SLIDING) => Err(config.wrong("sliding_window", "a width: `layer_types` has sliding attention")),
        _ => Err(config.unsupported("layer_types", "full_attention, sliding_attention")),
    };
    types.iter().map(mask).collect()
}
