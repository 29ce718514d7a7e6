//! Encoders in GGUF files, and vocabularies of every kind there: both as on the hub.

use std::collections::BTreeMap;

use attn_models::{Capturer, Checkpoint, Model};
use serde_json::{Value, json};

use crate::{
    gguf::{Said, Stored, file, hub, stored},
    gguf_families::{BERT, FAMILIES, compute_the_same, configured},
    support::{expected, fixture, inputs},
};

/// The name in the file of one of T5's tensors.
pub(crate) fn t5_name(hub: &str) -> String {
    let inside = |stack: &str, part: &str| {
        let own = match part {
            "SelfAttention.relative_attention_bias" => "attn_rel_b",
            "SelfAttention.q" => "attn_q",
            "SelfAttention.k" => "attn_k",
            "SelfAttention.v" => "attn_v",
            "SelfAttention.o" => "attn_o",
            "EncDecAttention.q" => "cross_attn_q",
            "EncDecAttention.k" => "cross_attn_k",
            "EncDecAttention.v" => "cross_attn_v",
            "EncDecAttention.o" => "cross_attn_o",
            "DenseReluDense.wi_0" => "ffn_gate",
            "DenseReluDense.wi" | "DenseReluDense.wi_1" => "ffn_up",
            "DenseReluDense.wo" => "ffn_down",
            other => panic!("{stack} {other}"),
        };
        own.to_owned()
    };
    let place = hub.strip_suffix(".weight").unwrap();
    let own = match place {
        "shared" => "token_embd".to_owned(),
        "lm_head" => "output".to_owned(),
        "encoder.final_layer_norm" => "enc.output_norm".to_owned(),
        "decoder.final_layer_norm" => "dec.output_norm".to_owned(),
        _ => {
            let parts: Vec<&str> = place.splitn(6, '.').collect();
            let [stack, "block", layer, "layer", sublayer, part] = parts.as_slice() else {
                panic!("{hub}")
            };
            let own = match (*stack, *sublayer, *part) {
                (_, "0", "layer_norm") => "attn_norm".to_owned(),
                ("encoder", "1", "layer_norm") | ("decoder", "2", "layer_norm") => "ffn_norm".to_owned(),
                ("decoder", "1", "layer_norm") => "cross_attn_norm".to_owned(),
                (stack, _, part) => inside(stack, part),
            };
            format!("{}.blk.{layer}.{own}", &stack[..3])
        }
    };
    format!("{own}.weight")
}

/// The keys of T5, without its vocabulary.
pub(crate) fn t5_keys() -> Vec<(String, Said)> {
    let mut keys: Vec<(String, Said)> = [
        ("context_length", 512),
        ("embedding_length", 32),
        ("feed_forward_length", 64),
        ("block_count", 2),
        ("decoder_block_count", 2),
        ("attention.head_count", 4),
        ("attention.key_length", 8),
        ("attention.value_length", 8),
        ("attention.relative_buckets_count", 8),
        ("decoder_start_token_id", 0),
    ]
    .map(|(key, value)| (format!("t5.{key}"), Said::Word(value)))
    .into();
    for epsilon in ["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"] {
        keys.push((format!("t5.{epsilon}"), Said::Number(1e-6)));
    }
    keys.push(("general.architecture".to_owned(), Said::Text("t5")));
    keys
}

/// T5 with the distance at which its buckets end that llama.cpp knows, which is that of every published one; its MLP may be gated.
#[test]
fn t5_has_both_its_stacks() {
    let mut keys = t5_keys();
    // The vocabulary, and what fills it up.
    let json: Value = serde_json::from_slice(&std::fs::read(fixture("t5").join("tokenizer.json")).unwrap()).unwrap();
    let pieces = json["model"]["vocab"].as_array().unwrap();
    let mut tokens: Vec<String> = pieces
        .iter()
        .map(|piece| piece[0].as_str().unwrap().to_owned())
        .collect();
    let mut scores: Vec<f32> = pieces.iter().map(|piece| piece[1].as_f64().unwrap() as f32).collect();
    tokens.push("[PAD243]".to_owned());
    scores.push(-1000.0);
    let kinds = tokens.iter().map(|token| match token.as_str() {
        "<unk>" => 2,
        "<pad>" | "</s>" => 3,
        token if token.starts_with("<extra_id_") => 4,
        token if token.starts_with("[PAD") => 5,
        _ => 1,
    });
    let key = |key: &str| format!("tokenizer.ggml.{key}");
    keys.extend([
        (key("model"), Said::Text("t5")),
        (key("token_type"), Said::Words(kinds.collect())),
        (key("tokens"), Said::Texts(tokens)),
        (key("scores"), Said::Numbers(scores)),
        (key("eos_token_id"), Said::Word(1)),
        (key("unknown_token_id"), Said::Word(2)),
    ]);
    let plain = hub("t5");
    let mut gated = plain.clone();
    for (hub, tensor) in &plain {
        if let Some(before) = hub.strip_suffix("wi.weight") {
            gated.remove(hub);
            gated.insert(format!("{before}wi_1.weight"), tensor.clone());
            gated.insert(format!("{before}wi_0.weight"), (tensor * 0.7).unwrap());
        }
    }
    gated.insert("lm_head.weight".to_owned(), (&plain["shared.weight"] * 0.5).unwrap());
    for (weights, options) in [
        (plain, vec![]),
        (
            gated,
            vec![
                ("feed_forward_proj", json!("gated-gelu")),
                ("tie_word_embeddings", json!(false)),
            ],
        ),
    ] {
        let tensors: Vec<Stored> = weights
            .iter()
            .map(|(hub, tensor)| stored(t5_name(hub), tensor))
            .collect();
        let found = Checkpoint::from_gguf("t5", file(&keys, &tensors)).unwrap();
        assert_eq!(found.describe().unused, [""; 0]);
        // UMT5 goes by the same name there, and has a bias of distances in every layer.
        let mut every = tensors.clone();
        let bias = tensors.iter().find(|tensor| tensor.0 == "enc.blk.0.attn_rel_b.weight");
        every.push(bias.unwrap().clone());
        every.last_mut().unwrap().0 = "enc.blk.1.attn_rel_b.weight".to_owned();
        let refused = Checkpoint::from_gguf("umt5", file(&keys, &every)).and_then(|open| Model::load(&open));
        let refused = refused.err().unwrap().to_string();
        assert!(
            refused.contains("enc.blk.1.attn_rel_b.weight") && refused.contains("UMT5"),
            "{refused}"
        );
        let options: Vec<(&str, Value)> = options
            .into_iter()
            .chain([
                ("relative_attention_max_distance", json!(128)),
                ("scale_decoder_outputs", Value::Null),
            ])
            .collect();
        let folder = tempfile::tempdir().unwrap();
        attn_models::candle::safetensors::save(&weights, folder.path().join("w")).unwrap();
        let wanted = Checkpoint::from_bytes(
            "t5",
            configured("t5", &options),
            std::fs::read(folder.path().join("w")).unwrap(),
        );
        compute_the_same(&found, &wanted.unwrap(), &inputs(&expected("t5"), "pad"));
        let info = Model::load(&found).unwrap().info().clone();
        let [found, wanted] = [&found, &Checkpoint::open(fixture("t5")).unwrap()].map(|open| open.tokenizer().unwrap());
        for text in ["The cat sat on the mat.", "it is<extra_id_0> late", "Lamp, 42!"] {
            let [found, wanted] = [&found, &wanted].map(|tokenizer| tokenizer.encode(text, &info).unwrap().ids());
            assert_eq!(found, wanted, "{text:?}");
        }
    }
    keys.push((key("precompiled_charsmap"), Said::Words(vec![1, 2, 3])));
    let error = Checkpoint::from_gguf("t5", file(&keys, &[]))
        .unwrap()
        .tokenizer()
        .unwrap_err();
    assert!(error.to_string().contains("precompiled_charsmap"), "{error}");
}

/// Without a head, which the converter drops, and with its vocabulary in llama.cpp's spelling.
#[test]
fn bert_reads_text_as_on_the_hub() {
    let hub = Checkpoint::open(fixture("bert")).unwrap();
    let words: Value = serde_json::from_slice(&std::fs::read(fixture("bert").join("tokenizer.json")).unwrap()).unwrap();
    let mut words: Vec<(u64, String)> = words["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(word, id)| (id.as_u64().unwrap(), word.clone()))
        .collect();
    words.sort();
    let special = |word: &str| word.starts_with('[') && word.ends_with(']');
    let spelt = |word: &str| match word.strip_prefix("##") {
        _ if special(word) => word.to_owned(),
        Some(rest) => rest.to_owned(),
        None => format!("\u{2581}{word}"),
    };
    let kinds = words
        .iter()
        .map(|(_, word)| if special(word) { 3 } else { 1 })
        .collect();
    let mut keys = BERT.keys();
    keys.push(("tokenizer.ggml.model".to_owned(), Said::Text("bert")));
    keys.push(("tokenizer.ggml.token_type".to_owned(), Said::Words(kinds)));
    keys.push((
        "tokenizer.ggml.tokens".to_owned(),
        Said::Texts(words.iter().map(|(_, word)| spelt(word)).collect()),
    ));
    let found = Checkpoint::from_gguf("bert", file(&keys, &BERT.tensors())).unwrap();
    assert_eq!(found.describe().unused, [""; 0]);
    compute_the_same(&found, &hub, &inputs(&expected("bert"), "pad"));
    let lines = ["The cat sat on the mat.", "unbelievable, isn't it", "Crème brûlée"];
    let [found, wanted] = [&found, &hub].map(|checkpoint| {
        let capture = Capturer::load(checkpoint).unwrap().capture_lines(lines).unwrap();
        let ids = capture.sequences().iter().map(|sequence| {
            let ids = sequence.encoder.iter().map(|token| token.id);
            ids.collect::<Vec<_>>()
        });
        ids.collect::<Vec<_>>()
    });
    assert_eq!(found, wanted);
    // Whose vocabulary that is cannot be known.
    keys.retain(|(key, _)| key != "tokenizer.ggml.model");
    keys.push(("tokenizer.ggml.model".to_owned(), Said::Text("llama")));
    let error = Checkpoint::from_gguf("bert", file(&keys, &[])).unwrap_err().to_string();
    assert!(error.contains("tokenizer.ggml.model"), "{error}");
}

/// Vocabularies in llama.cpp's lists: byte pairs of bytes, and pieces whose merges are made of their scores.
#[test]
fn other_vocabularies_read_text_as_on_the_hub() {
    let text_of = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(fixture(name).join("tokenizer.json")).unwrap()).unwrap()
    };
    for (name, kind, words) in [
        ("starcoder2", "gpt2", "starcoder"),
        ("phi", "gpt2", "phi-2"),
        ("gemma", "llama", "default"),
    ] {
        let json = text_of(name);
        let vocabulary = json["model"]["vocab"].as_object().unwrap();
        let mut tokens: Vec<(u64, &String)> = vocabulary
            .iter()
            .map(|(token, id)| (id.as_u64().unwrap(), token))
            .collect();
        tokens.sort();
        let added = json["added_tokens"].as_array().unwrap();
        let control: Vec<&str> = added.iter().filter_map(|token| token["content"].as_str()).collect();
        let kinds = tokens.iter().map(|(_, token)| match token.as_str() {
            "<unk>" => 2,
            token if control.contains(&token) => 3,
            token if token.starts_with("<0x") && token.len() == 6 => 6,
            _ => 1,
        });
        let merges: Vec<String> = json["model"]["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let made: BTreeMap<String, usize> = merges.iter().map(|merge| merge.replace(' ', "")).zip(0..).collect();
        let score = |token: &String| made.get(token).map_or(-1e6, |&place| -(place as f32));
        let id = |token: &str| Said::Word(tokens.iter().position(|(_, own)| *own == token).unwrap() as u32);
        let key = |key: &str| format!("tokenizer.ggml.{key}");
        let family = FAMILIES.iter().find(|family| family.fixture == name).unwrap();
        let mut keys = family.keys();
        keys.extend([
            (key("model"), Said::Text(kind)),
            (key("pre"), Said::Text(words)),
            (
                key("tokens"),
                Said::Texts(tokens.iter().map(|(_, token)| (*token).clone()).collect()),
            ),
            (key("token_type"), Said::Words(kinds.collect())),
        ]);
        match kind {
            "llama" => keys.extend([
                (
                    key("scores"),
                    Said::Numbers(tokens.iter().map(|(_, token)| score(token)).collect()),
                ),
                (key("bos_token_id"), id("<bos>")),
                (key("eos_token_id"), id("<eos>")),
                (key("unknown_token_id"), id("<unk>")),
                (key("add_space_prefix"), Said::Flag(false)),
            ]),
            _ => keys.push((key("merges"), Said::Texts(merges))),
        }
        let checkpoint = Checkpoint::from_gguf(name, file(&keys, &family.tensors())).unwrap();
        let info = Model::load(&checkpoint).unwrap().info().clone();
        let [found, wanted] =
            [&checkpoint, &Checkpoint::open(fixture(name)).unwrap()].map(|open| open.tokenizer().unwrap());
        for text in [
            "The cat sat on the mat.",
            " in 2024, isn't it?",
            "Crème brûlée\n\n  def f(x):",
            "日本 42",
        ] {
            let [found, wanted] = [&found, &wanted].map(|tokenizer| {
                let ids = tokenizer.encode(text, &info).unwrap().ids();
                let back = tokenizer.decode(&ids).unwrap();
                (ids, back)
            });
            assert_eq!(found, wanted, "{name}: {text:?}");
        }
    }
}
