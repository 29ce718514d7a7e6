//! GGUF files that say less than the hub does, or more: a model in several files, GPT-OSS with experts in MXFP4, RoBERTa under
//! BERT's name, Falcon with several heads of keys.

use std::{collections::HashMap, fs, path::Path};

use attn_models::{
    Capturer, Checkpoint, Error, Model,
    candle::{Device, Tensor},
};
use serde_json::{Value, json};

use crate::{
    families::agree,
    gguf::{Said, Stored, file, hub, stored},
    gguf_families::{FAMILIES, Family, ROBERTA, XLM_ROBERTA, compute_the_same, configured},
    support::{expected, fixture, inputs},
};

/// The keys of the fixture's GPT-OSS.
pub(crate) fn gpt_oss_keys() -> Vec<(String, Said)> {
    let words = [
        ("block_count", 2),
        ("context_length", 128),
        ("embedding_length", 32),
        ("feed_forward_length", 20),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("attention.key_length", 8),
        ("attention.value_length", 8),
        ("attention.sliding_window", 6),
        ("expert_count", 4),
        ("expert_used_count", 2),
        ("expert_feed_forward_length", 20),
        ("rope.scaling.original_context_length", 16),
    ];
    let numbers = [
        ("attention.layer_norm_rms_epsilon", 1e-5),
        ("rope.freq_base", 150_000.0),
        ("rope.scaling.factor", 4.0),
    ];
    let mut keys = vec![
        ("general.architecture".to_owned(), Said::Text("gpt-oss")),
        ("gpt-oss.rope.scaling.type".to_owned(), Said::Text("yarn")),
    ];
    keys.extend(words.map(|(key, word)| (format!("gpt-oss.{key}"), Said::Word(word))));
    keys.extend(numbers.map(|(key, number)| (format!("gpt-oss.{key}"), Said::Number(number))));
    keys
}

/// Every second row of each matrix `[experts, 2 * rows, ..]`, or number of each vector.
fn second(tensor: &Tensor, at: usize) -> Tensor {
    let (experts, both) = (tensor.dims()[0], tensor.dims()[1]);
    let columns = tensor.elem_count() / experts / both;
    let pairs = tensor
        .contiguous()
        .unwrap()
        .reshape((experts, both / 2, 2, columns))
        .unwrap();
    let one = pairs.narrow(2, at, 1).unwrap().contiguous().unwrap();
    let mut shape = tensor.dims().to_vec();
    shape[1] /= 2;
    one.reshape(shape).unwrap()
}

/// The tensors of the fixture's GPT-OSS, with matrices of experts as the converter writes them.
pub(crate) fn gpt_oss_tensors() -> Vec<Stored> {
    let parts = [
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "post_attention_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.router", "ffn_gate_inp"),
    ];
    let mut tensors = Vec::new();
    for (name, tensor) in hub("gpt-oss") {
        let turned = || tensor.transpose(1, 2).unwrap().contiguous().unwrap();
        let Some(rest) = name.strip_prefix("model.layers.") else {
            let own = name
                .replace("model.embed_tokens", "token_embd")
                .replace("model.norm", "output_norm")
                .replace("lm_head", "output");
            tensors.push(stored(own, &tensor));
            continue;
        };
        let (layer, rest) = rest.split_once('.').unwrap();
        let own = |part: &str| format!("blk.{layer}.{part}");
        match rest {
            "self_attn.sinks" => tensors.push(stored(own("attn_sinks.weight"), &tensor)),
            "mlp.experts.down_proj" => tensors.push(stored(own("ffn_down_exps.weight"), &turned())),
            "mlp.experts.down_proj_bias" => tensors.push(stored(own("ffn_down_exps.bias"), &tensor)),
            "mlp.experts.gate_up_proj" => {
                tensors.push(stored(own("ffn_gate_exps.weight"), &second(&turned(), 0)));
                tensors.push(stored(own("ffn_up_exps.weight"), &second(&turned(), 1)));
            }
            "mlp.experts.gate_up_proj_bias" => {
                tensors.push(stored(own("ffn_gate_exps.bias"), &second(&tensor, 0)));
                tensors.push(stored(own("ffn_up_exps.bias"), &second(&tensor, 1)));
            }
            other => {
                let (part, last) = other.rsplit_once('.').unwrap();
                let (_, part) = parts.iter().find(|(hub, _)| *hub == part).unwrap();
                tensors.push(stored(own(&format!("{part}.{last}")), &tensor));
            }
        }
    }
    tensors.sort();
    tensors
}

#[test]
fn gpt_oss_agrees_with_the_reference() {
    let found = Checkpoint::from_gguf("gpt-oss", file(&gpt_oss_keys(), &gpt_oss_tensors())).unwrap();
    assert_eq!(found.describe().unused, [""; 0]);
    let model = Model::load(&found).unwrap();
    assert_eq!(model.info().family, "gpt_oss");
    assert!(agree("gpt-oss", &model) >= 14);
}

/// The same bits in both layouts: on the hub a pair of numbers in each byte, here the numbers 16 apart.
#[test]
fn experts_in_mxfp4_are_those_of_the_hub() {
    let mut state = 12_345_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut weights = hub("gpt-oss");
    let mut tensors = gpt_oss_tensors();
    for layer in 0..2 {
        let name = format!("model.layers.{layer}.mlp.experts.gate_up_proj");
        weights.remove(&name).unwrap();
        let nibbles: Vec<u8> = (0..4 * 40 * 32).map(|_| random() & 15).collect();
        let scales: Vec<u8> = (0..4 * 40).map(|_| 120 + random() % 5).collect();
        let pairs: Vec<u8> = nibbles.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect();
        let tensor = |values: &[u8], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        weights.insert(format!("{name}_blocks"), tensor(&pairs, &[4, 40, 1, 16]));
        weights.insert(format!("{name}_scales"), tensor(&scales, &[4, 40, 1]));
        for (at, part) in ["ffn_gate_exps", "ffn_up_exps"].into_iter().enumerate() {
            let rows = (0..4 * 40).filter(|row| row % 2 == at);
            let block = |row: usize| {
                let numbers = &nibbles[32 * row..32 * (row + 1)];
                let bytes = (0..16).map(|place| numbers[place] | numbers[16 + place] << 4);
                std::iter::once(scales[row]).chain(bytes).collect::<Vec<u8>>()
            };
            let own = format!("blk.{layer}.{part}.weight");
            let stored = tensors.iter_mut().find(|stored| stored.0 == own).unwrap();
            *stored = (own, vec![32, 20, 4], 39, rows.flat_map(block).collect());
        }
    }
    let found = Checkpoint::from_gguf("gpt-oss", file(&gpt_oss_keys(), &tensors)).unwrap();
    let wanted = of_weights("gpt-oss", &[], &weights);
    compute_the_same(&found, &wanted, &inputs(&expected("gpt-oss"), "pad"));
    // A scale that is no number is refused by the name of its expert.
    let broken = tensors.iter_mut().find(|stored| stored.2 == 39).unwrap();
    broken.3[17 * 21] = 255;
    let broken = Checkpoint::from_gguf("gpt-oss", file(&gpt_oss_keys(), &tensors)).unwrap();
    let error = Model::load(&broken).unwrap_err();
    assert!(
        matches!(&error, Error::NotFinite { tensor, .. } if tensor.contains("experts.1.gate_proj.weight")),
        "{error}"
    );
}

/// The checkpoint of a fixture's configuration, some options changed, with these weights.
fn of_weights(name: &str, options: &[(&str, Value)], weights: &HashMap<String, Tensor>) -> Checkpoint {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    attn_models::candle::safetensors::save(weights, &path).unwrap();
    Checkpoint::from_bytes(name, configured(name, options), fs::read(path).unwrap()).unwrap()
}

/// On the hub each head of keys stands behind the queries that read it; here all queries come first.
#[test]
fn falcon_may_have_several_heads_of_keys() {
    let head = |of: &Tensor, at: usize| of.narrow(0, 8 * at, 8).unwrap();
    for norms in [1, 2] {
        let (mut weights, mut tensors) = (HashMap::new(), Vec::new());
        for (name, tensor) in hub("falcon") {
            if name.ends_with("query_key_value.weight") {
                // Four queries, and two keys and values that differ.
                let [keys, values] = [4, 5].map(|at| head(&tensor, at));
                let [keys, values] = [keys, values].map(|one| [one.clone(), (one * -0.5).unwrap()]);
                let queries: Vec<Tensor> = (0..4).map(|at| head(&tensor, at)).collect();
                let groups: Vec<&Tensor> = (0..2)
                    .flat_map(|group| {
                        [
                            &queries[2 * group],
                            &queries[2 * group + 1],
                            &keys[group],
                            &values[group],
                        ]
                    })
                    .collect();
                weights.insert(name.clone(), Tensor::cat(&groups, 0).unwrap());
                let joint: Vec<&Tensor> = queries.iter().chain(&keys).chain(&values).collect();
                let layer = name.split('.').nth(2).unwrap();
                tensors.push(stored(
                    format!("blk.{layer}.attn_qkv.weight"),
                    &Tensor::cat(&joint, 0).unwrap(),
                ));
            } else if let (Some((before, last)), 2) = (name.split_once("input_layernorm."), norms) {
                let layer = name.split('.').nth(2).unwrap();
                let second = (&tensor * 1.5).unwrap();
                tensors.push(stored(format!("blk.{layer}.attn_norm.{last}"), &tensor));
                tensors.push(stored(format!("blk.{layer}.attn_norm_2.{last}"), &second));
                weights.insert(format!("{before}ln_mlp.{last}"), tensor);
                weights.insert(format!("{before}ln_attn.{last}"), second);
            } else {
                let own = name
                    .replace("transformer.h.", "blk.")
                    .replace("transformer.word_embeddings", "token_embd")
                    .replace("transformer.ln_f", "output_norm")
                    .replace("input_layernorm", "attn_norm")
                    .replace("self_attention.dense", "attn_output")
                    .replace("mlp.dense_h_to_4h", "ffn_up")
                    .replace("mlp.dense_4h_to_h", "ffn_down");
                tensors.push(stored(own, &tensor));
                weights.insert(name, tensor);
            }
        }
        let mut keys = falcon().keys();
        keys.retain(|(key, _)| key != "falcon.attention.head_count_kv");
        keys.push(("falcon.attention.head_count_kv".to_owned(), Said::Word(2)));
        let found = Checkpoint::from_gguf("falcon", file(&keys, &tensors)).unwrap();
        assert_eq!(found.describe().unused, [""; 0]);
        let options = [
            ("new_decoder_architecture", json!(true)),
            ("num_kv_heads", json!(2)),
            ("num_ln_in_parallel_attn", json!(norms)),
        ];
        let wanted = of_weights("falcon", &options, &weights);
        compute_the_same(&found, &wanted, &inputs(&expected("falcon"), "pad"));
        assert_eq!(Model::load(&found).unwrap().info().attentions[0].kv_heads, 2);
    }
}

/// Rows without columns take no bytes: their number is no reason to make a list of them.
#[test]
fn tensors_of_nothing_are_refused() {
    let place = |tensors: &mut Vec<Stored>, name: &str| {
        let stored = tensors.iter_mut().find(|stored| stored.0 == name).unwrap();
        *stored = (name.to_owned(), vec![0, 1 << 31], 0, Vec::new());
    };
    let mut tensors = falcon().tensors();
    place(&mut tensors, "blk.0.attn_qkv.weight");
    let mut keys = falcon().keys();
    keys.retain(|(key, _)| !key.contains("head_count"));
    for (key, count) in [("head_count", 1 << 30), ("head_count_kv", 1 << 29)] {
        keys.push((format!("falcon.attention.{key}"), Said::Word(count)));
    }
    let error = Checkpoint::from_gguf("falcon", file(&keys, &tensors))
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not fit the number of heads"), "{error}");
    let mut tensors = ROBERTA.tensors();
    place(&mut tensors, "position_embd.weight");
    let error = Checkpoint::from_gguf("roberta", file(&roberta_keys(), &tensors))
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not fit the number of padding"), "{error}");
    let mut tensors = gpt_oss_tensors();
    place(&mut tensors, "blk.0.ffn_gate_exps.bias");
    let error = Checkpoint::from_gguf("gpt-oss", file(&gpt_oss_keys(), &tensors))
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not fit the number of experts"), "{error}");
}

fn falcon() -> &'static Family {
    FAMILIES.iter().find(|family| family.fixture == "falcon").unwrap()
}

/// The keys of the fixture's RoBERTa, with its vocabulary.
pub(crate) fn roberta_keys() -> Vec<(String, Said)> {
    let json: Value = serde_json::from_slice(&fs::read(fixture("roberta").join("tokenizer.json")).unwrap()).unwrap();
    let mut tokens: Vec<(u64, String)> = json["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (id.as_u64().unwrap(), token.clone()))
        .collect();
    tokens.sort();
    let merge = |pair: &Value| match pair.as_str() {
        Some(pair) => pair.to_owned(),
        None => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
    };
    let merges = json["model"]["merges"].as_array().unwrap().iter().map(merge).collect();
    let tokens: Vec<String> = tokens.into_iter().map(|(_, token)| token).collect();
    let special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
    let kinds = tokens
        .iter()
        .map(|token| if special.contains(&token.as_str()) { 3 } else { 1 });
    let mut keys = ROBERTA.keys();
    let key = |key: &str| format!("tokenizer.ggml.{key}");
    keys.extend([
        (key("model"), Said::Text("gpt2")),
        (key("pre"), Said::Text("roberta-bpe")),
        (key("token_type"), Said::Words(kinds.collect())),
        (key("tokens"), Said::Texts(tokens)),
        (key("merges"), Said::Texts(merges)),
        (key("bos_token_id"), Said::Word(0)),
        (key("padding_token_id"), Said::Word(1)),
        (key("eos_token_id"), Said::Word(2)),
        (key("unknown_token_id"), Said::Word(3)),
        (key("add_bos_token"), Said::Flag(true)),
        (key("add_eos_token"), Said::Flag(true)),
    ]);
    keys
}

/// The same of XLM-RoBERTa, whose vocabulary is of another kind.
fn xlm_roberta_keys() -> Vec<(String, Said)> {
    let json: Value =
        serde_json::from_slice(&fs::read(fixture("xlm-roberta").join("tokenizer.json")).unwrap()).unwrap();
    let pieces = json["model"]["vocab"].as_array().unwrap();
    let tokens: Vec<String> = pieces
        .iter()
        .map(|piece| piece[0].as_str().unwrap().to_owned())
        .collect();
    let kinds = tokens.iter().map(|token| match token.as_str() {
        "<unk>" => 2,
        "<s>" | "<pad>" | "</s>" | "<mask>" => 3,
        _ => 1,
    });
    let mut keys = ROBERTA.keys();
    let key = |key: &str| format!("tokenizer.ggml.{key}");
    keys.extend([
        (key("model"), Said::Text("t5")),
        (key("token_type"), Said::Words(kinds.collect())),
        (
            key("scores"),
            Said::Numbers(pieces.iter().map(|piece| piece[1].as_f64().unwrap() as f32).collect()),
        ),
        (key("tokens"), Said::Texts(tokens)),
        (key("bos_token_id"), Said::Word(0)),
        (key("padding_token_id"), Said::Word(1)),
        (key("eos_token_id"), Said::Word(2)),
        (key("unknown_token_id"), Said::Word(3)),
        (key("add_bos_token"), Said::Flag(true)),
        (key("add_eos_token"), Said::Flag(true)),
    ]);
    keys
}

/// It goes by BERT's name there; positions, padding and what stands around texts are as on the hub.
#[test]
fn roberta_is_told_from_bert_by_its_vocabulary() {
    for (family, keys) in [(ROBERTA, roberta_keys()), (XLM_ROBERTA, xlm_roberta_keys())] {
        let name = family.fixture;
        let found = Checkpoint::from_gguf(name, file(&keys, &family.tensors())).unwrap();
        assert_eq!(found.describe().unused, [""; 0], "{name}");
        let hub = Checkpoint::open(fixture(name)).unwrap();
        compute_the_same(&found, &hub, &inputs(&expected(name), "one"));
        let [found, wanted] = [&found, &hub].map(|open| {
            let lines = ["The cat sat on the mat.", "Lamp, 42!", "so it is"];
            let capture = Capturer::load(open).unwrap().capture_lines(lines).unwrap();
            let tokenizer = open.tokenizer().unwrap();
            let pair = tokenizer
                .encode_pair("The cat", "sat on", capture.model())
                .unwrap()
                .ids();
            (capture, pair)
        });
        assert_eq!(found.1, wanted.1, "{name}");
        let (found, wanted) = (found.0, wanted.0);
        assert_eq!(found.model().max_tokens, wanted.model().max_tokens, "{name}");
        for (sequence, (a, b)) in found.sequences().iter().zip(wanted.sequences()).enumerate() {
            let ids = |sequence: &attn_core::Sequence| {
                sequence
                    .encoder
                    .iter()
                    .map(|token| (token.id, token.text.clone()))
                    .collect::<Vec<_>>()
            };
            assert_eq!(ids(a), ids(b), "{name}");
            for head in found.model().heads() {
                let [a, b] = [&found, &wanted].map(|capture| capture.attention(head, sequence).unwrap());
                let gap = a.iter().zip(b.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(gap <= 1e-5, "{name} {head}: {gap}");
            }
        }
    }
}

/// A model in three files: what is said is in the first, which has no tensor.
fn split(folder: &Path) -> Vec<std::path::PathBuf> {
    let family = &FAMILIES[0];
    let mut tensors = family.tensors();
    let rest = tensors.split_off(tensors.len() / 2);
    let count = tensors.len() + rest.len();
    let mut first = family.keys();
    first.push(("split.tensors.count".to_owned(), Said::Word(count as u32)));
    let parts = [(first, Vec::new()), (Vec::new(), tensors), (Vec::new(), rest)];
    let written = parts.into_iter().zip(0..).map(|((mut keys, tensors), number)| {
        keys.push(("split.no".to_owned(), Said::Word(number)));
        keys.push(("split.count".to_owned(), Said::Word(3)));
        let path = folder.join(format!("tiny-{:05}-of-00003.gguf", number + 1));
        fs::write(&path, file(&keys, &tensors)).unwrap();
        path
    });
    written.collect()
}

#[test]
fn a_model_in_several_files_is_opened_from_any() {
    let folder = tempfile::tempdir().unwrap();
    let parts = split(folder.path());
    let name = FAMILIES[0].fixture;
    let mut prints = Vec::new();
    for path in parts.iter().map(|part| &**part).chain([folder.path()]) {
        let found = Checkpoint::open(path).unwrap();
        assert_eq!(found.describe().unused, [""; 0]);
        assert!(agree(name, &Model::load(&found).unwrap()) >= 14);
        if path.is_file() {
            assert_eq!(found.name(), "tiny");
        }
        assert_eq!(found.describe().files.len(), 3);
        prints.push(found.fingerprint());
    }
    prints.dedup();
    assert_eq!(prints.len(), 1);
}

#[test]
fn a_part_that_is_not_there_or_another_is_named() {
    let broken = |change: fn(&[std::path::PathBuf])| {
        let folder = tempfile::tempdir().unwrap();
        let parts = split(folder.path());
        change(&parts);
        Checkpoint::open(&parts[0]).unwrap_err()
    };
    let missing = broken(|parts| fs::remove_file(&parts[2]).unwrap());
    assert!(
        matches!(&missing, Error::WrongFile { path, expected, found, .. }
            if path.ends_with("tiny-00003-of-00003.gguf") && expected == "part 3 of 3 of the model" && found == "nothing"),
        "{missing}"
    );
    let twice = broken(|parts| fs::copy(&parts[1], &parts[2]).map(|_| ()).unwrap());
    assert!(
        matches!(&twice, Error::WrongFile { path, found, .. }
            if path.ends_with("tiny-00003-of-00003.gguf") && found == "part 2 of 3"),
        "{twice}"
    );
    let other = broken(|parts| {
        fs::copy(fixture("gpt2-gguf").join(GGUF), &parts[1])
            .map(|_| ())
            .unwrap()
    });
    assert!(
        matches!(&other, Error::WrongFile { found, .. } if found.contains("says of no part")),
        "{other}"
    );
    let cut = broken(|parts| {
        let bytes = fs::read(&parts[1]).unwrap();
        fs::write(&parts[1], &bytes[..bytes.len() - 64]).unwrap();
    });
    assert!(
        matches!(&cut, Error::Tensor { path, .. } if path.ends_with("tiny-00002-of-00003.gguf")),
        "{cut}"
    );

    let folder = tempfile::tempdir().unwrap();
    let parts = split(folder.path());
    let renamed = folder.path().join("renamed.gguf");
    fs::rename(&parts[1], &renamed).unwrap();
    let error = Checkpoint::open(&renamed).unwrap_err().to_string();
    assert!(error.contains("a name that ends in -00002-of-00003.gguf"), "{error}");
    // Of bytes no other file is known.
    let error = Checkpoint::from_gguf("tiny", fs::read(&parts[0]).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("`split.count` = 3"), "{error}");
    for (key, value, words) in [
        ("split.no", 3, "`split.no`: expected a number below 3"),
        ("split.tensors.count", 7, "expected 7 tensors in all parts, found"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let parts = split(folder.path());
        let mut keys = FAMILIES[0].keys();
        let own = [("split.no", 0), ("split.count", 3), (key, value)];
        keys.extend(own.map(|(key, value)| (key.to_owned(), Said::Word(value))));
        fs::write(&parts[0], file(&keys, &[])).unwrap();
        let error = Checkpoint::open(&parts[0]).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// The file of the fixture.
const GGUF: &str = "tiny-gpt2-f16.gguf";
