//! Checks of a capture's description: impossible values, and parts that contradict one another.

use super::{
    schema::{CaptureJson, has_segments, version},
    slot::stack_layers,
};
use crate::{
    Attention, Error, ModelInfo, Result, Sequence, Side, Token,
    model::AttentionInfo,
    scores::{RelativeBias, RelativeVectors},
};

/// Bounds of sizes that no tensor of a capture need confirm, far above those of any model: readers multiply by them.
const MAX_HIDDEN: usize = 1 << 20;
const MAX_VOCABULARY: usize = 1 << 28;
/// Bound of the rows of a table of relative offsets.
const MAX_BUCKETS: usize = 1 << 20;
/// Bound of an image's rows and columns of patches.
const MAX_GRID: usize = 1 << 16;

/// Checks a description; `place` is its name in errors.
pub(super) fn description(description: &CaptureJson, place: &str) -> Result<()> {
    let check = Check { place };
    let (model, sequences) = (&description.model, &description.sequences);
    if model.attentions.is_empty() {
        return Err(check.wrong("model.attentions", "at least one attention", "none"));
    }
    let options = description.options.unwrap_or_default();
    if !(options.attention || options.hidden || options.logits) {
        return Err(check.wrong("options", "`attention`, `hidden` or `logits`", "none of them"));
    }
    let needed = version(model, options, sequences);
    if description.version < needed {
        let expected = match options.attention {
            _ if sequences.iter().any(has_segments) => format!("{needed}, whose tokens have segments"),
            true => format!("{needed}, whose fields the model's facts have"),
            false => format!("{needed}, which may leave out attention"),
        };
        return Err(check.wrong("version", expected, description.version.to_string()));
    }
    for (index, info) in model.attentions.iter().enumerate() {
        check.attention(info, &format!("model.attentions[{index}]"))?;
        if model.attentions[..index]
            .iter()
            .any(|other| other.attention == info.attention)
        {
            let at = format!("model.attentions[{index}].attention");
            return Err(check.wrong(at, "every attention once", format!("{} twice", info.attention)));
        }
    }
    check.sizes(model)?;
    if let Some(name) = description.files.keys().find(|name| !is_file_name(name)) {
        return Err(check.wrong("files", "names of files in the folder of the capture", name));
    }
    if sequences.is_empty() {
        return Err(check.wrong("sequences", "at least one sequence", "none"));
    }
    for side in [Side::Encoder, Side::Decoder] {
        let readers = model.attentions.iter().map(|info| info.attention);
        check.side(side, readers.collect(), sequences)?;
    }
    for (index, sequence) in sequences.iter().enumerate() {
        check.spans(sequence, &format!("sequences[{index}]"))?;
        check.image(sequence, &format!("sequences[{index}]"))?;
    }
    if description.options.is_some_and(|options| options.hidden)
        && [Side::Encoder, Side::Decoder]
            .iter()
            .all(|&side| stack_layers(model, side).is_none())
    {
        return Err(check.wrong("options.hidden", "false for a model without self-attention", "true"));
    }
    Ok(())
}

/// Where a description comes from.
struct Check<'a> {
    place: &'a str,
}

impl Check<'_> {
    fn wrong(&self, at: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Description {
            place: self.place.to_owned(),
            at: at.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    fn sizes(&self, model: &ModelInfo) -> Result<()> {
        for (at, size, bound) in [
            ("model.hidden_size", Some(model.hidden_size), MAX_HIDDEN),
            ("model.vocab_size", model.vocab_size, MAX_VOCABULARY),
        ] {
            if let Some(size) = size.filter(|size| !(1..=bound).contains(size)) {
                return Err(self.wrong(at, format!("a number from 1 to {bound}"), size.to_string()));
            }
        }
        Ok(())
    }

    /// Patches lie within the grid of their image.
    fn image(&self, sequence: &Sequence, at: &str) -> Result<()> {
        let grid = sequence.image.as_ref().map(|image| (image.rows, image.columns));
        if let Some((rows, columns)) = grid
            && !((1..=MAX_GRID).contains(&rows) && (1..=MAX_GRID).contains(&columns))
        {
            let expected = format!("from 1 to {MAX_GRID} rows and columns of patches");
            return Err(self.wrong(format!("{at}.image"), expected, format!("{rows} x {columns}")));
        }
        // Patches without an image have no grid to lie in.
        let (rows, columns) = grid.unwrap_or((MAX_GRID, MAX_GRID));
        for side in [Side::Encoder, Side::Decoder] {
            let patches = sequence.tokens(side).iter().map(|token| token.patch);
            let outside = |&(_, patch): &(usize, Option<(usize, usize)>)| {
                patch.is_some_and(|(row, column)| row >= rows || column >= columns)
            };
            if let Some((index, Some((row, column)))) = patches.enumerate().find(outside) {
                return Err(self.wrong(
                    format!("{at}.{}.patch[{index}]", side_name(side)),
                    format!("[row, column] within {rows} x {columns} patches"),
                    format!("[{row}, {column}]"),
                ));
            }
        }
        Ok(())
    }

    fn attention(&self, info: &AttentionInfo, at: &str) -> Result<()> {
        if info.heads == 0 || info.kv_heads == 0 || !info.heads.is_multiple_of(info.kv_heads) || info.head_dim == 0 {
            return Err(self.wrong(
                at,
                "heads a multiple of kv_heads, none of them zero",
                format!(
                    "heads {}, kv_heads {}, head_dim {}",
                    info.heads, info.kv_heads, info.head_dim
                ),
            ));
        }
        if info.layers.is_empty() {
            return Err(self.wrong(format!("{at}.layers"), "at least one layer", "none"));
        }
        for (index, layer) in info.layers.iter().enumerate() {
            if !(layer.scale.is_finite() && layer.scale > 0.0) {
                let at = format!("{at}.layers[{index}].scale");
                return Err(self.wrong(at, "a finite number above 0", layer.scale.to_string()));
            }
            if let Some(cap) = layer.soft_cap.filter(|cap| !(cap.is_finite() && *cap > 0.0)) {
                let at = format!("{at}.layers[{index}].soft_cap");
                return Err(self.wrong(at, "a finite number above 0", cap.to_string()));
            }
            if let Some(sinks) = &layer.sinks {
                self.per_head(sinks, info.heads_of(index), &format!("{at}.layers[{index}].sinks"))?;
            }
            self.heads_of(info, index, &format!("{at}.layers[{index}]"))?;
        }
        if (0..info.layers.len()).all(|layer| info.heads_of(layer) == 0) {
            return Err(self.wrong(format!("{at}.layers"), "at least one layer with heads", "none"));
        }
        if let Some(bias) = &info.relative_bias {
            self.bias(bias, info.heads, &format!("{at}.relative_bias"))?;
        }
        if let Some(alibi) = &info.alibi {
            self.per_head(&alibi.slopes, info.heads, &format!("{at}.alibi.slopes"))?;
            if !alibi.factor.is_finite() {
                let at = format!("{at}.alibi.factor");
                return Err(self.wrong(at, "a finite number", alibi.factor.to_string()));
            }
        }
        match &info.relative_vectors {
            Some(vectors) => self.vectors(vectors, &format!("{at}.relative_vectors")),
            None => Ok(()),
        }
    }

    /// A layer may have fewer heads than its attention, and none at all.
    fn heads_of(&self, info: &AttentionInfo, layer: usize, at: &str) -> Result<()> {
        let (heads, kv_heads) = (info.heads_of(layer), info.kv_heads_of(layer));
        let fits = heads <= info.heads
            && kv_heads <= info.kv_heads
            && match kv_heads {
                0 => heads == 0,
                some => heads > 0 && heads.is_multiple_of(some),
            };
        if fits {
            return Ok(());
        }
        let expected = format!(
            "heads a multiple of kv_heads, at most {} and {}, or none of both",
            info.heads, info.kv_heads
        );
        Err(self.wrong(at, expected, format!("heads {heads}, kv_heads {kv_heads}")))
    }

    /// One finite number per head.
    fn per_head(&self, numbers: &[f32], heads: usize, at: &str) -> Result<()> {
        if numbers.len() != heads {
            let found = format!("{} numbers", numbers.len());
            return Err(self.wrong(at, format!("{heads} numbers, one per head"), found));
        }
        match numbers.iter().position(|number| !number.is_finite()) {
            Some(head) => Err(self.wrong(format!("{at}[{head}]"), "a finite number", numbers[head].to_string())),
            None => Ok(()),
        }
    }

    fn vectors(&self, vectors: &RelativeVectors, at: &str) -> Result<()> {
        let RelativeVectors { buckets, exact, .. } = *vectors;
        if !((2..=MAX_BUCKETS).contains(&buckets) && buckets.is_multiple_of(2)) {
            let expected = format!("an even number from 2 to {MAX_BUCKETS}");
            return Err(self.wrong(format!("{at}.buckets"), expected, buckets.to_string()));
        }
        if !(1..=buckets / 2).contains(&exact) {
            let expected = format!("a number from 1 to {}, half of the buckets", buckets / 2);
            return Err(self.wrong(format!("{at}.exact"), expected, exact.to_string()));
        }
        if !(vectors.keys || vectors.queries) {
            return Err(self.wrong(at, "`keys` or `queries`, or both", "neither"));
        }
        Ok(())
    }

    fn bias(&self, bias: &RelativeBias, heads: usize, at: &str) -> Result<()> {
        let at = format!("{at}.table");
        if bias.table.len() != heads {
            let found = format!("{} rows", bias.table.len());
            return Err(self.wrong(at, format!("{heads} rows, one per head"), found));
        }
        let buckets = bias.table.first().map_or(0, Vec::len);
        for (head, row) in bias.table.iter().enumerate() {
            if row.len() != buckets || buckets == 0 {
                let expected = format!("{} numbers, as in every row", buckets.max(1));
                return Err(self.wrong(format!("{at}[{head}]"), expected, row.len().to_string()));
            }
            if let Some(bucket) = row.iter().position(|value| !value.is_finite()) {
                let found = row[bucket].to_string();
                return Err(self.wrong(format!("{at}[{head}][{bucket}]"), "a finite number", found));
            }
        }
        Ok(())
    }

    /// A side has tokens exactly if one of the model's attentions reads it.
    fn side(&self, side: Side, attentions: Vec<Attention>, sequences: &[Sequence]) -> Result<()> {
        let name = side_name(side);
        let reader = attentions
            .into_iter()
            .find(|attention| attention.query_side() == side || attention.key_side() == side);
        let with_tokens = sequences.iter().position(|sequence| !sequence.tokens(side).is_empty());
        match (reader, with_tokens) {
            (Some(attention), None) => Err(self.wrong(
                format!("sequences[0].{name}"),
                format!("tokens, which the attention `{attention}` reads"),
                "none in any sequence",
            )),
            (None, Some(index)) => Err(self.wrong(
                format!("sequences[{index}].{name}"),
                format!("no tokens, because no attention of the model reads the {name} side"),
                format!("{} tokens", sequences[index].tokens(side).len()),
            )),
            _ => Ok(()),
        }
    }

    fn spans(&self, sequence: &Sequence, at: &str) -> Result<()> {
        let Some(text) = &sequence.text else { return Ok(()) };
        for side in [Side::Encoder, Side::Decoder] {
            let outside = |token: &Token| token.span.is_some_and(|(start, end)| start > end || end > text.len());
            let tokens = sequence.tokens(side);
            if let Some(index) = tokens.iter().position(outside) {
                let found = tokens[index]
                    .span
                    .map_or_else(String::new, |(start, end)| format!("[{start}, {end}]"));
                return Err(self.wrong(
                    format!("{at}.{}.span[{index}]", side_name(side)),
                    format!("[start, end] within the {} bytes of the text, start first", text.len()),
                    found,
                ));
            }
        }
        Ok(())
    }
}

/// Whether a name cannot lead out of a folder, on any system.
fn is_file_name(name: &str) -> bool {
    !name.contains(['/', '\\', ':', '\0']) && !["", ".", ".."].contains(&name)
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Encoder => "encoder",
        Side::Decoder => "decoder",
    }
}
