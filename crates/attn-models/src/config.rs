//! Reading `config.json`: every value is checked, and every refusal names the option.
//!
//! A configuration is read option by option instead of into one struct per family, because the defaults of a
//! missing option belong to the family and because a value of the wrong kind has to be named.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    Error, Result, Weights,
    error::{SHORT, excerpt},
    json,
};

/// Sizes beyond this are taken for a corrupt file: no vocabulary, width or position table comes near it.
const LARGEST_SIZE: u64 = 1 << 28;

/// Likewise for layers: something is allocated for each before its weights are looked for.
const MOST_LAYERS: usize = 1 << 12;

/// Options whose `null` is a value: the reference then makes them from others, while one that is absent has the
/// family's default.
const DERIVED: [&str; 2] = ["num_key_value_heads", "head_dim"];

/// Classes beyond this are a corrupt number, not a head.
const MOST_LABELS: usize = 1 << 20;

/// A parsed `config.json` (or a part of one) and the file it came from.
///
/// Families read it option by option. An option that is `null` counts as absent: its default is the family's, or, for
/// `num_key_value_heads` and `head_dim`, what the other options make it (as many as there are heads; the width they
/// share). Every error names the file, the option, what it may be and what it is.
///
/// What Python writes is read as Python reads it: `NaN`, `Infinity` and `-Infinity` are values, which no option that
/// needs a number takes.
///
/// ```
/// use attn_models::families::Config;
///
/// let config = Config::parse(br#"{"n_embd": 64, "n_head": 4, "eps": null}"#, "config.json".as_ref())?;
/// let hidden = config.size("n_embd")?;
/// assert_eq!(config.divide("n_embd", hidden, "n_head", config.size_or("n_head", 12)?)?, 16);
/// assert_eq!(config.positive_or("eps", 1e-5)?, 1e-5);
/// assert!(config.size("n_layer").is_err());
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    value: Value,
    path: PathBuf,
    /// Names that are read, and those that the file has instead.
    given: Vec<(String, String)>,
}

impl Config {
    /// Parses the text of a file; `path` is what errors name.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Config`] for JSON that is no object.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let config = Self {
            value: json::parse(bytes, path)?,
            path: path.to_owned(),
            given: Vec::new(),
        };
        if !config.value.is_object() {
            return Err(config.wrong("(whole file)", "a JSON object"));
        }
        Ok(config)
    }

    /// A configuration that another file amounts to: its options, and the keys of that file they come from, for errors.
    pub(crate) fn from_parts(
        options: serde_json::Map<String, Value>,
        path: &Path,
        given: Vec<(String, String)>,
    ) -> Self {
        Self {
            value: Value::Object(options),
            path: path.to_owned(),
            given,
        }
    }

    /// The file, for errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same with another value of an option.
    pub(crate) fn with(&self, key: &str, value: Value) -> Self {
        let mut config = self.clone();
        if let Some(options) = config.value.as_object_mut() {
            options.insert(key.to_owned(), value);
        }
        config
    }

    /// The text of a file that holds it.
    pub(crate) fn to_json(&self) -> String {
        // Keys of an object are texts and numbers are finite: this cannot fail.
        serde_json::to_string_pretty(&self.value).unwrap_or_default()
    }

    /// Heads that the checkpoint lacks, by their layers: `pruned_heads`, as `{"0": [1, 3]}`.
    ///
    /// # Errors
    /// [`Error::Config`] for another form, a layer or a head that the model does not have, and for a layer without heads.
    pub(crate) fn pruned_heads(&self, layers: usize, heads: usize) -> Result<BTreeMap<usize, BTreeSet<usize>>> {
        let key = "pruned_heads";
        let Some(given) = self.object(key)? else {
            return Ok(BTreeMap::new());
        };
        let mut pruned = BTreeMap::new();
        for (layer, list) in given.entries() {
            let number = layer.parse::<usize>().ok().filter(|&layer| layer < layers);
            let number = number.ok_or_else(|| self.wrong(key, format!("layers below {layers}, not `{layer}`")))?;
            let list = list.as_array().map(|list| list.iter().map(Value::as_u64));
            let list: Option<BTreeSet<u64>> = list.and_then(Iterator::collect);
            let list = list.filter(|list| list.iter().all(|&head| head < heads as u64) && list.len() < heads);
            let list = list.ok_or_else(|| {
                self.wrong(
                    key,
                    format!("lists of fewer than {heads} heads, each below {heads}, for layer {layer}"),
                )
            })?;
            pruned.insert(number, list.into_iter().map(|head| head as usize).collect());
        }
        Ok(pruned)
    }

    /// The value of an option; `null` counts as absent, as in the reference.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    /// Whether an option is there and `null`, which some families tell from absence.
    pub fn is_null(&self, key: &str) -> bool {
        self.value.get(key).is_some_and(Value::is_null)
    }

    /// The error for an option that is not what it should be.
    pub fn wrong(&self, key: &str, expected: impl Into<String>) -> Error {
        let found = if key == "(whole file)" {
            Some(&self.value)
        } else {
            self.value.get(key)
        };
        Error::Config {
            path: self.path.clone(),
            key: excerpt(self.given(key), SHORT),
            expected: expected.into(),
            found: found.map_or_else(|| "nothing".to_owned(), short),
        }
    }

    /// The error for an option that is valid but not implemented.
    pub fn unsupported(&self, key: &str, supported: impl Into<String>) -> Error {
        Error::Unsupported {
            path: self.path.clone(),
            key: excerpt(self.given(key), SHORT),
            found: self.value.get(key).map_or_else(|| "nothing".to_owned(), short),
            supported: supported.into(),
        }
    }

    /// The name that the file has for an option.
    fn given<'a>(&'a self, key: &'a str) -> &'a str {
        let given = self.given.iter().find(|(own, _)| own == key);
        given.map_or(key, |(_, common)| common)
    }

    /// A positive integer that must be there.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?
            .ok_or_else(|| self.wrong(key, "a positive integer"))
    }

    /// A positive integer, or the family's default.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.optional_size(key)?.unwrap_or(default))
    }

    /// A number of layers, or the family's default.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn layers_or(&self, key: &str, default: usize) -> Result<usize> {
        let layers = self.size_or(key, default)?;
        if layers <= MOST_LAYERS {
            Ok(layers)
        } else {
            Err(self.wrong(key, format!("an integer from 1 to {MOST_LAYERS}")))
        }
    }

    /// A number of layers, or the family's default if the files agree with it: `weights` are those below which each
    /// layer has its number. A model whose configuration leaves the number out is not run without its upper layers.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn layers_in(&self, key: &str, default: usize, weights: &Weights) -> Result<usize> {
        let layers = self.layers_or(key, default)?;
        if self.get(key).is_none() && weights.stores_below(&layers.to_string()) {
            let expected =
                format!("the number of layers: the weights have more than the {default} that are the default");
            return Err(self.wrong(key, expected));
        }
        Ok(layers)
    }

    /// A positive integer, if the option is there.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value
            .as_u64()
            .filter(|size| (1..=LARGEST_SIZE).contains(size))
            .map(usize::try_from)
        {
            Some(Ok(size)) => Ok(Some(size)),
            _ => Err(self.wrong(key, format!("an integer from 1 to {LARGEST_SIZE}"))),
        }
    }

    /// The id of a token, or the family's default.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn id_or(&self, key: &str, default: u32) -> Result<u32> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let id = value.as_u64().filter(|&id| id <= LARGEST_SIZE).map(u32::try_from);
        match id {
            Some(Ok(id)) => Ok(id),
            _ => Err(self.wrong(key, format!("an integer from 0 to {LARGEST_SIZE}"))),
        }
    }

    /// The same configuration with sizes filled in where it has none: families that share code differ in them.
    pub fn with_defaults(&self, defaults: &[(&str, usize)]) -> Self {
        let mut filled = self.clone();
        if let Some(map) = filled.value.as_object_mut() {
            for &(key, default) in defaults {
                match map.get(key) {
                    Some(Value::Null) if DERIVED.contains(&key) => {}
                    Some(Value::Null) | None => drop(map.insert(key.to_owned(), default.into())),
                    Some(_) => {}
                }
            }
        }
        filled
    }

    /// The same configuration under a family's own names: pairs of a name that all families have in common
    /// (`num_attention_heads`) and the family's own (`n_head`). The reference reads and writes either.
    ///
    /// # Errors
    /// [`Error::Config`] if both are there with different values.
    pub fn with_names(&self, names: &[(&str, &str)]) -> Result<Self> {
        let mut named = self.clone();
        for &(common, own) in names {
            let Some(value) = self.get(common) else { continue };
            match self.get(own) {
                Some(given) if given != value => {
                    let expected = format!(
                        "the same as `{own}`, which is {}: two names of one option",
                        short(given)
                    );
                    return Err(self.wrong(common, expected));
                }
                Some(_) => {}
                None => {
                    if let Some(map) = named.value.as_object_mut() {
                        map.insert(own.to_owned(), value.clone());
                        named.given.push((own.to_owned(), common.to_owned()));
                    }
                }
            }
        }
        Ok(named)
    }

    /// A token id, if the option is there. Some configurations say -1, which no token has, for none.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn id(&self, key: &str) -> Result<Option<u32>> {
        let value = self.get(key).filter(|value| value.as_i64() != Some(-1));
        let Some(value) = value else { return Ok(None) };
        value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .map(Some)
            .ok_or_else(|| self.wrong(key, "a token id"))
    }

    /// A finite number, or the family's default.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value
            .as_f64()
            .filter(|number| number.is_finite())
            .ok_or_else(|| self.wrong(key, "a finite number"))
    }

    /// A number above zero, or the family's default.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn positive_or(&self, key: &str, default: f64) -> Result<f64> {
        let number = self.number_or(key, default)?;
        if number > 0.0 {
            Ok(number)
        } else {
            Err(self.wrong(key, "a number above 0"))
        }
    }

    /// A truth value, or the family's default.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(key, "true or false"))
    }

    /// A string, if the option is there.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, "a string"))
    }

    /// Height and width: one number for both, or a list of two.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn height_width(&self, key: &str, default: usize) -> Result<(usize, usize)> {
        match self.get(key) {
            Some(Value::Array(list)) => {
                let size = |value: &Value| {
                    value
                        .as_u64()
                        .filter(|size| (1..=LARGEST_SIZE).contains(size))
                        .and_then(|size| usize::try_from(size).ok())
                };
                match list.as_slice() {
                    [height, width] => size(height).zip(size(width)),
                    _ => None,
                }
                .ok_or_else(|| self.wrong(key, "a size or a list of height and width"))
            }
            _ => self.size_or(key, default).map(|size| (size, size)),
        }
    }

    /// A nested object, if the option is there. Its own options are then read like those of a file.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn object(&self, key: &str) -> Result<Option<Config>> {
        match self.get(key) {
            None => Ok(None),
            Some(value) if value.is_object() => Ok(Some(Config {
                value: value.clone(),
                path: self.path.clone(),
                given: Vec::new(),
            })),
            Some(_) => Err(self.wrong(key, "an object")),
        }
    }

    /// A configuration in which nothing is given.
    pub fn empty(&self) -> Self {
        Self {
            value: Value::Object(serde_json::Map::new()),
            path: self.path.clone(),
            given: Vec::new(),
        }
    }

    /// Refuses an option that is not implemented unless it is absent or `false`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is `true`, [`Error::Config`] if it is no truth value.
    pub fn refuse_flag(&self, key: &str) -> Result<()> {
        if self.flag_or(key, false)? {
            Err(self.unsupported(key, "false"))
        } else {
            Ok(())
        }
    }

    /// Every option and its value.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.value.as_object().into_iter().flatten()
    }

    /// The first entry of `architectures`: the class that wrote the checkpoint.
    pub fn architecture(&self) -> Option<&str> {
        self.get("architectures")?.as_array()?.first()?.as_str()
    }

    /// `size / parts`, which must be whole.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn divide(&self, size_key: &str, size: usize, parts_key: &str, parts: usize) -> Result<usize> {
        if size.is_multiple_of(parts) {
            Ok(size / parts)
        } else {
            Err(Error::Config {
                path: self.path.clone(),
                key: self.given(parts_key).to_owned(),
                expected: format!("a divisor of `{}` = {size}", self.given(size_key)),
                found: match self.get(parts_key) {
                    Some(_) => parts.to_string(),
                    None => format!("nothing, which stands for {parts}"),
                },
            })
        }
    }

    /// Names of the classes a classification head tells apart, and how many there are.
    ///
    /// As in the reference there are as many as `id2label` has entries, or `num_labels` without it, or two. A class
    /// that `id2label` does not name, or names `null`, is `LABEL_` and its number; names that are numbers or truth
    /// values are their text.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn labels(&self) -> Result<Vec<String>> {
        let key = match self.get("id2label") {
            Some(_) => "id2label",
            None => "num_labels",
        };
        let (count, name): (usize, Box<dyn Fn(usize) -> Option<Value>>) = match self.get("id2label") {
            Some(Value::Object(labels)) => (labels.len(), Box::new(|id| labels.get(&id.to_string()).cloned())),
            Some(Value::Array(labels)) => (labels.len(), Box::new(|id| labels.get(id).cloned())),
            Some(_) => return Err(self.wrong("id2label", "an object from ids to names")),
            None => (self.size_or("num_labels", 2)?, Box::new(|_| None)),
        };
        if count == 0 {
            return Err(self.wrong("id2label", "at least one class"));
        }
        if count > MOST_LABELS {
            return Err(self.wrong(key, format!("at most {MOST_LABELS} classes")));
        }
        let label = |id: usize| match name(id) {
            None | Some(Value::Null) => format!("LABEL_{id}"),
            Some(Value::String(name)) => name,
            Some(other) => short(&other),
        };
        Ok((0..count).map(label).collect())
    }
}

/// A JSON value, cut to what fits a message.
fn short(value: &Value) -> String {
    match value {
        // Not printed whole first: it may be megabytes.
        Value::String(text) => Value::String(excerpt(text, SHORT)).to_string(),
        other => excerpt(&other.to_string(), SHORT),
    }
}
