//! The `config.json` that the keys of a GGUF file amount to.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    architectures::Architecture,
    header::{Header, Said},
    names::padding,
};
use crate::{Error, Result, config::Config, tensor_file::TensorFile};

/// llama.cpp's default base of rotary frequencies.
const THETA: f64 = 10_000.0;

/// The options of a configuration, and the keys they come from.
struct Options<'a> {
    path: &'a Path,
    header: &'a Header,
    map: Map<String, Value>,
    given: Vec<(String, String)>,
}

/// The configuration of a file. What changes numbers and has no name on the hub is refused.
pub(super) fn describe(
    path: &Path,
    header: &Header,
    architecture: &Architecture,
    weights: &mut [TensorFile],
) -> Result<Config> {
    let mut options = Options {
        path,
        header,
        map: Map::new(),
        given: Vec::new(),
    };
    let names = &architecture.options;
    let key = |key: &str| architecture.key(key);
    let none_of = [
        ("expert_count", "none: a model without experts"),
        ("expert_shared_count", "none"),
        ("attention.clamp_kqv", "none"),
        ("attention.scale", "none: 1 / sqrt(size of a head)"),
        ("logit_scale", "none"),
        ("attn_logit_softcapping", "none"),
        ("final_logit_softcapping", "none"),
        ("embedding_scale", "none"),
        ("residual_scale", "none"),
    ];
    if architecture.name != "mpt" {
        options.refuse(&key("attention.max_alibi_bias"), "none for this architecture")?;
    }
    let read = |name: &str| {
        let mut own = names.sizes.iter().chain(names.numbers);
        own.any(|(key, _)| *key == name)
    };
    for (name, supported) in none_of.into_iter().filter(|(name, _)| !read(name)) {
        options.refuse(&key(name), supported)?;
    }
    options.map.insert("model_type".to_owned(), json!(architecture.family));
    options
        .map
        .insert("architectures".to_owned(), json!([architecture.class]));
    let hidden = options.size(names.hidden, &key("embedding_length"))?;
    let heads = options.size(names.heads, &key("attention.head_count"))?;
    for (name, own) in [
        (names.layers, "block_count"),
        (names.kv_heads, "attention.head_count_kv"),
        (names.inner, "feed_forward_length"),
        (names.longest, "context_length"),
    ] {
        options.size(name, &key(own))?;
    }
    let epsilon = match names.layer_norms {
        true => "attention.layer_norm_epsilon",
        false => "attention.layer_norm_rms_epsilon",
    };
    options.number(names.epsilon, &key(epsilon), None)?;
    if !names.theta.is_empty() {
        let head = match heads {
            Some(heads) if heads > 0 => hidden.map(|hidden| hidden / heads),
            _ => None,
        };
        let head = options.head(architecture, head)?;
        options.number(names.theta, &key("rope.freq_base"), Some(THETA))?;
        options.rotated(architecture, head)?;
        options.scaling(architecture, weights)?;
    }
    match header.integer(&key("attention.sliding_window")) {
        Some(window) if window > 0 && !names.window.is_empty() => {
            options.size(names.window, &key("attention.sliding_window"))?;
        }
        _ => options.refuse(&key("attention.sliding_window"), "none for this architecture")?,
    }
    for (own, name) in names.sizes {
        options.size(name, &key(own))?;
    }
    for (own, name) in names.numbers {
        options.number(name, &key(own), None)?;
    }
    if let Some(parallel) = header.flag(&key("use_parallel_residual")) {
        options.map.insert("use_parallel_residual".to_owned(), json!(parallel));
    }
    let has = |name: &str| header.tensors.contains_key(name);
    if let Some(table) = header
        .tensors
        .get("token_embd.weight")
        .and_then(|table| table.shape.first())
    {
        options.map.insert("vocab_size".to_owned(), json!(table));
    }
    options
        .map
        .insert("tie_word_embeddings".to_owned(), json!(!has("output.weight")));
    options.map.insert(
        "attention_bias".to_owned(),
        json!(has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias")),
    );
    options.own(architecture, hidden.zip(heads))?;
    for (name, own) in [
        ("bos_token_id", "tokenizer.ggml.bos_token_id"),
        ("eos_token_id", "tokenizer.ggml.eos_token_id"),
        ("pad_token_id", "tokenizer.ggml.padding_token_id"),
    ] {
        options.size(name, own)?;
    }
    Ok(Config::from_parts(options.map, path, options.given))
}

impl Options<'_> {
    /// An option that is an integer, if it is said; its value.
    fn size(&mut self, name: &str, key: &str) -> Result<Option<u64>> {
        let size = match self.header.said.get(key) {
            _ if name.is_empty() => return Ok(None),
            None => None,
            Some(Said::Integer(number)) => Some(u64::try_from(*number).map_err(|_| self.wrong(key, "a size"))?),
            Some(Said::List(..)) => return Err(self.unsupported(key, "one number for all layers")),
            Some(_) => return Err(self.wrong(key, "an integer")),
        };
        self.given.push((name.to_owned(), key.to_owned()));
        if let Some(size) = size {
            self.map.insert(name.to_owned(), json!(size));
        }
        Ok(size)
    }

    /// An option that is a number, if it is said or has a default.
    fn number(&mut self, name: &str, key: &str, default: Option<f64>) -> Result<()> {
        let number = match self.header.said.get(key) {
            None => default,
            // 1e-5 in single precision is meant as 1e-5.
            Some(Said::Number(number)) => (*number as f32).to_string().parse().ok(),
            Some(Said::Integer(number)) => Some(*number as f64),
            Some(_) => return Err(self.wrong(key, "a number")),
        };
        self.given.push((name.to_owned(), key.to_owned()));
        if let Some(number) = number {
            self.map.insert(name.to_owned(), json!(number));
        }
        Ok(())
    }

    /// Refuses a key that is there, unless it is 0.
    fn refuse(&self, key: &str, supported: &str) -> Result<()> {
        match self.header.said.get(key) {
            None | Some(Said::Integer(0)) => Ok(()),
            Some(Said::Number(number)) if *number == 0.0 => Ok(()),
            Some(_) => Err(self.unsupported(key, supported)),
        }
    }

    /// What one architecture alone has, or what is not in its files because llama.cpp knows it.
    fn own(&mut self, architecture: &Architecture, sizes: Option<(u64, u64)>) -> Result<()> {
        let key = |key: &str| architecture.key(key);
        let has = |name: &str| self.header.tensors.contains_key(name);
        match architecture.name {
            "gemma2" | "gemma3" => {
                // The largest of each scales its scores by the width of the model for each head, not by that of its heads.
                let largest = if architecture.name == "gemma2" { 46 } else { 62 };
                let share = sizes.and_then(|(hidden, heads)| hidden.checked_div(heads));
                let head = match self.header.integer(&key("block_count")) {
                    Some(layers) if layers == largest => None,
                    _ => self.header.integer(&key("attention.key_length")),
                };
                if architecture.name == "gemma3" && self.header.integer(&key("attention.sliding_window")).is_none() {
                    // All its layers see everything.
                    self.map.insert("sliding_window_pattern".to_owned(), json!(1));
                }
                if let Some(scalar) = head.or(share.map(i128::from)) {
                    self.map
                        .insert("query_pre_attn_scalar".to_owned(), json!(scalar as f64));
                }
            }
            "qwen3moe" => {
                self.map.insert("norm_topk_prob".to_owned(), json!(true));
            }
            "starcoder2" => {
                let bias = has("blk.0.attn_output.bias");
                self.map.insert("use_bias".to_owned(), json!(bias));
            }
            "command-r" => {
                let norms = has("blk.0.attn_q_norm.weight");
                self.map.insert("use_qk_norm".to_owned(), json!(norms));
            }
            "falcon" => {
                let keys = self.header.integer(&key("attention.head_count_kv"));
                let norms = 1 + u8::from(has("blk.0.attn_norm_2.weight"));
                // The first models have one norm, and one key or as many as queries, which lie as in groups of one.
                let newer = norms == 2 || keys.is_some_and(|keys| keys != 1);
                for (name, value) in [
                    ("bias", json!(has("blk.0.attn_qkv.bias"))),
                    ("new_decoder_architecture", json!(newer)),
                    ("num_ln_in_parallel_attn", json!(norms)),
                ] {
                    self.map.insert(name.to_owned(), value);
                }
            }
            "gpt-oss" => {
                // Not said there: the model's own frequencies are not cut to whole dimensions.
                if let Some(scaling) = self.map.get_mut("rope_scaling") {
                    scaling["truncate"] = json!(false);
                }
            }
            "mpt" => {
                // Refused by the family where it is not 8, or where there is none.
                let most = self.header.number(&key("attention.max_alibi_bias")).unwrap_or(0.0);
                self.map.insert(
                    "attn_config".to_owned(),
                    json!({"alibi": most > 0.0, "alibi_bias_max": most as u64}),
                );
            }
            "t5" => {
                // UMT5 is T5 there, with a bias of its own in every layer.
                if has("enc.blk.1.attn_rel_b.weight") {
                    return Err(Error::Unsupported {
                        path: self.path.to_owned(),
                        key: "enc.blk.1.attn_rel_b.weight".to_owned(),
                        found: "a bias of distances in the second layer, as UMT5 has it".to_owned(),
                        supported: "one in the first layer, as T5 has it".to_owned(),
                    });
                }
                let gated = has("enc.blk.0.ffn_gate.weight");
                let kind = if gated { "gated-gelu" } else { "relu" };
                self.map.insert("feed_forward_proj".to_owned(), json!(kind));
                self.map.insert("is_encoder_decoder".to_owned(), json!(true));
            }
            "bert" | "nomic-bert" => {
                let model = "tokenizer.ggml.model";
                match self.header.text(model) {
                    Some("gpt2" | "t5") if architecture.family == "roberta" => {
                        let padding = padding(self.header);
                        let padding = padding.ok_or_else(|| self.wrong("tokenizer.ggml.padding_token_id", "an id"))?;
                        // Rows of the table that no token reads count on the hub.
                        if let Some(Value::Number(longest)) = self.map.get("max_position_embeddings") {
                            let longest = longest.as_u64().unwrap_or_default().saturating_add(padding as u64 + 1);
                            self.map.insert("max_position_embeddings".to_owned(), json!(longest));
                        }
                        self.map.insert("pad_token_id".to_owned(), json!(padding));
                    }
                    None | Some("bert") => {}
                    Some(_) => {
                        let supported = "bert, or for RoBERTa gpt2 and t5: the vocabulary of the model";
                        return Err(self.unsupported(model, supported));
                    }
                }
                let types = self.header.tensors.get("token_types.weight");
                if let Some(types) = types.and_then(|types| types.shape.first()) {
                    self.map.insert("type_vocab_size".to_owned(), json!(types));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The size of a head: as said, or the share of the width.
    fn head(&mut self, architecture: &Architecture, share: Option<u64>) -> Result<Option<u64>> {
        let (keys, values) = (
            architecture.key("attention.key_length"),
            architecture.key("attention.value_length"),
        );
        let said = self.size("head_dim", &keys)?;
        let of_values = self.header.integer(&values);
        if of_values.is_some() && of_values != said.or(share).map(i128::from) {
            return Err(self.unsupported(&values, "the same as the length of keys"));
        }
        Ok(said.or(share))
    }

    /// How much of a head is rotated: all of it, or a share where that is an option.
    fn rotated(&mut self, architecture: &Architecture, head: Option<u64>) -> Result<()> {
        let key = architecture.key("rope.dimension_count");
        let rotated = self.header.integer(&key);
        let (Some(rotated), Some(head)) = (rotated, head.filter(|&head| head > 0)) else {
            return Ok(());
        };
        let share = architecture.options.share;
        if !share.is_empty() {
            self.map.insert(share.to_owned(), json!(rotated as f64 / head as f64));
            self.given.push((share.to_owned(), key));
        } else if rotated != i128::from(head) {
            return Err(self.unsupported(&key, "the size of a head"));
        }
        Ok(())
    }

    /// How rotary frequencies are changed for longer contexts.
    fn scaling(&mut self, architecture: &Architecture, weights: &mut [TensorFile]) -> Result<()> {
        // Llama 3 and its like: a factor per pair, which the tensor holds.
        if let Some(factors) = take(weights, "rope_freqs.weight")? {
            self.map.insert(
                "rope_scaling".to_owned(),
                json!({"rope_type": "longrope", "short_factor": factors, "long_factor": factors,
                    "attention_factor": 1.0}),
            );
            return Ok(());
        }
        let key = |key: &str| architecture.key(&format!("rope.scaling.{key}"));
        let number = |name: &str| self.header.number(&key(name));
        // Phi-3 has two sets of factors: for texts up to the trained length, and for longer ones.
        let sets = ["rope_factors_short.weight", "rope_factors_long.weight"];
        if let (Some(short), Some(long)) = (take(weights, sets[0])?, take(weights, sets[1])?) {
            self.map.insert(
                "rope_scaling".to_owned(),
                json!({"rope_type": "longrope", "short_factor": short, "long_factor": long,
                    "attention_factor": number("attn_factor").unwrap_or(1.0)}),
            );
            return Ok(());
        }
        let older = architecture.key("rope.scale_linear");
        self.refuse(&older, "rope.scaling.type and rope.scaling.factor")?;
        let kind = match self.header.text(&key("type")) {
            None | Some("none") => return Ok(()),
            Some(kind @ ("linear" | "yarn")) => kind,
            Some(_) => return Err(self.unsupported(&key("type"), "none, linear, yarn")),
        };
        let mut scaling = json!({"rope_type": kind, "factor": number("factor")});
        if kind == "yarn" {
            for name in ["yarn_log_multiplier", "yarn_ext_factor", "yarn_attn_factor"] {
                self.refuse(&key(name), "none")?;
            }
            scaling["original_max_position_embeddings"] = json!(number("original_context_length"));
            // There it multiplies the usual factor, on the hub it takes its place.
            if number("attn_factor").is_some_and(|factor| factor != 1.0) {
                return Err(self.unsupported(&key("attn_factor"), "1"));
            }
            for (name, own) in [("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")] {
                if let Some(number) = number(own) {
                    scaling[name] = json!(number);
                }
            }
        }
        self.map.insert("rope_scaling".to_owned(), scaling);
        Ok(())
    }

    fn wrong(&self, key: &str, expected: &str) -> Error {
        Error::Config {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            found: self.found(key),
        }
    }

    fn unsupported(&self, key: &str, supported: &str) -> Error {
        Error::Unsupported {
            path: self.path.to_owned(),
            key: key.to_owned(),
            found: self.found(key),
            supported: supported.to_owned(),
        }
    }

    fn found(&self, key: &str) -> String {
        match self.header.said.get(key) {
            None => "nothing".to_owned(),
            Some(Said::Integer(number)) => number.to_string(),
            Some(Said::Number(number)) => number.to_string(),
            Some(Said::Flag(flag)) => flag.to_string(),
            Some(Said::Text(text)) => format!("{:?}", crate::error::excerpt(text, crate::error::SHORT)),
            Some(Said::List(_, count, _)) => format!("a list of {count}"),
        }
    }
}

/// The numbers of a tensor that is an option on the hub.
fn take(weights: &mut [TensorFile], name: &str) -> Result<Option<Vec<f32>>> {
    for file in weights {
        if let Some(entry) = file.entries.remove(name) {
            return file.read(name, &entry).map(Some);
        }
    }
    Ok(None)
}
