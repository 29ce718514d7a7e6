//! Options and heads of text encoders, against the same sums by hand.

use attn_core::{
    Attention, Side,
    model::{Mask, Positions},
};
use attn_models::{
    Checkpoint, Gradients, Inputs, Model, Point, Site, Weights,
    candle::{Device, Tensor, safetensors},
    record::Recorder,
};
use serde_json::{Value, json};

use crate::{
    by_hand::{close, dot, gelu, ids, loud, rows, run, silu},
    support::{difference, expected, fixture, inputs, largest, open},
};

fn tiny(family: &str, options: Value) -> Value {
    let mut config = match family {
        "distilbert" => json!({"vocab_size": 30, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 12,
            "max_position_embeddings": 16}),
        _ => json!({"vocab_size": 30, "hidden_size": 8, "embedding_size": 6, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16}),
    };
    config["model_type"] = family.into();
    for (key, value) in options.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn map(x: Vec<f64>, f: impl Fn(f64) -> f64) -> Vec<f64> {
    x.into_iter().map(f).collect()
}

#[test]
fn classifiers_read_the_first_token() {
    for (family, class, transform, output, activation) in [
        (
            "roberta",
            "RobertaForSequenceClassification",
            "classifier.dense",
            "classifier.out_proj",
            f64::tanh as fn(f64) -> f64,
        ),
        (
            "camembert",
            "CamembertForSequenceClassification",
            "classifier.dense",
            "classifier.out_proj",
            f64::tanh,
        ),
        (
            "xlm-roberta",
            "XLMRobertaForSequenceClassification",
            "classifier.dense",
            "classifier.out_proj",
            f64::tanh,
        ),
        (
            "electra",
            "ElectraForSequenceClassification",
            "classifier.dense",
            "classifier.out_proj",
            gelu,
        ),
        (
            "distilbert",
            "DistilBertForSequenceClassification",
            "pre_classifier",
            "classifier",
            |x| x.max(0.0),
        ),
        (
            "albert",
            "AlbertForSequenceClassification",
            "albert.pooler",
            "classifier",
            f64::tanh,
        ),
        (
            "bert",
            "BertForSequenceClassification",
            "bert.pooler.dense",
            "classifier",
            f64::tanh,
        ),
        (
            "mpnet",
            "MPNetForSequenceClassification",
            "classifier.dense",
            "classifier.out_proj",
            f64::tanh,
        ),
        (
            "deberta-v2",
            "DebertaV2ForSequenceClassification",
            "pooler.dense",
            "classifier",
            gelu,
        ),
        (
            "nomic_bert",
            "NomicBertForSequenceClassification",
            "nomic_bert.pooler.dense",
            "classifier",
            f64::tanh,
        ),
    ] {
        let mut options = json!({"architectures": [class], "id2label": {"0": "a", "1": "b", "2": "c"}});
        if family == "deberta-v2" {
            options["embedding_size"] = 8.into();
        }
        let loud = loud(&tiny(family, options));
        assert_eq!(loud.model.labels(), ["a", "b", "c"]);
        let (output_of, _) = run(&loud.model, &ids(&[&[3, 2, 4]]));
        let first = &rows(&output_of.last_hidden)[0];
        let expected = loud.affine(output, &map(loud.affine(transform, first), activation));
        close(&rows(&output_of.logits.unwrap())[0], &expected);
    }
}

#[test]
fn classifiers_of_tokens_read_each_last_state() {
    for (family, class) in [
        ("bert", "BertForTokenClassification"),
        ("roberta", "RobertaForTokenClassification"),
        ("xlm-roberta", "XLMRobertaForTokenClassification"),
        ("electra", "ElectraForTokenClassification"),
        ("distilbert", "DistilBertForTokenClassification"),
        ("albert", "AlbertForTokenClassification"),
        ("mpnet", "MPNetForTokenClassification"),
        ("deberta-v2", "DebertaV2ForTokenClassification"),
        ("nomic_bert", "NomicBertForTokenClassification"),
    ] {
        let mut options = json!({"architectures": [class], "id2label": {"0": "O", "1": "PER", "2": "LOC"}});
        if family == "deberta-v2" {
            options["embedding_size"] = 8.into();
        }
        let loud = loud(&tiny(family, options));
        assert_eq!(loud.model.token_labels(), ["O", "PER", "LOC"], "{family}");
        assert!(
            loud.model.labels().is_empty() && loud.model.problem().is_none(),
            "{family}"
        );
        let (output, _) = run(&loud.model, &ids(&[&[3, 2, 4]]));
        let logits = output.logits.unwrap();
        assert_eq!(logits.dims(), [1, 3, 3], "{family}");
        for (state, found) in rows(&output.last_hidden).iter().zip(rows(&logits)) {
            close(&found, &loud.affine("classifier", state));
        }
    }
}

/// ModernBERT has one more layer between the states and the classes, with the norm of the model.
#[test]
fn a_modern_classifier_of_tokens_has_a_layer_of_its_own() {
    let options = json!({"architectures": ["ModernBertForTokenClassification"],
        "id2label": {"0": "O", "1": "PER", "2": "LOC"}, "norm_eps": 1e-3});
    let loud = loud(&tiny("modernbert", options));
    assert_eq!(loud.model.token_labels(), ["O", "PER", "LOC"]);
    assert!(loud.model.labels().is_empty());
    let (output, _) = run(&loud.model, &ids(&[&[3, 2, 4]]));
    let table = rows(loud.variable("head.dense.weight"));
    for (state, found) in rows(&output.last_hidden).iter().zip(rows(&output.logits.unwrap())) {
        let dense: Vec<f64> = table.iter().map(|row| dot(row, state)).collect();
        let inner = loud.layer_norm("head.norm", &map(dense, gelu), 1e-3);
        close(&found, &loud.affine("classifier", &inner));
    }
}

#[test]
fn a_generator_reads_words_and_a_discriminator_one_number() {
    // The generator's activation is fixed; the discriminator's is the configuration's.
    let options = json!({"architectures": ["ElectraForMaskedLM"], "hidden_act": "relu"});
    let generator = loud(&tiny("electra", options));
    let (output, _) = run(&generator.model, &ids(&[&[3, 2, 4]]));
    let x = &rows(&output.last_hidden)[1];
    let inner = map(generator.affine("generator_predictions.dense", x), gelu);
    let inner = generator.layer_norm("generator_predictions.LayerNorm", &inner, 1e-12);
    let table = rows(generator.variable("electra.embeddings.word_embeddings.weight"));
    let words = table.iter().map(|row| dot(row, &inner)).collect();
    let logits = output.logits.unwrap();
    assert_eq!(logits.dims(), [1, 3, 30]);
    close(&rows(&logits)[1], &generator.biased("generator_lm_head", words));

    let options = json!({"architectures": ["ElectraForPreTraining"], "hidden_act": "relu"});
    let discriminator = loud(&tiny("electra", options));
    let (output, _) = run(&discriminator.model, &ids(&[&[3, 2, 4]]));
    let hidden = rows(&output.last_hidden);
    let score = |x: &Vec<f64>| {
        let inner = map(discriminator.affine("discriminator_predictions.dense", x), |x| {
            x.max(0.0)
        });
        discriminator.affine("discriminator_predictions.dense_prediction", &inner)[0]
    };
    let expected: Vec<f64> = hidden.iter().map(score).collect();
    close(&rows(&output.logits.unwrap())[0], &expected);
}

#[test]
fn untied_words_have_a_map_of_their_own() {
    for (family, class, map) in [
        ("bert", "BertForMaskedLM", "cls.predictions.decoder"),
        ("roberta", "RobertaForMaskedLM", "lm_head.decoder"),
        ("albert", "AlbertForMaskedLM", "predictions.decoder"),
        ("electra", "ElectraForMaskedLM", "generator_lm_head"),
        ("distilbert", "DistilBertForMaskedLM", "vocab_projector"),
        ("mpnet", "MPNetForMaskedLM", "lm_head.decoder"),
        ("deberta-v2", "DebertaV2ForMaskedLM", "cls.predictions.decoder"),
        ("modernbert", "ModernBertForMaskedLM", "decoder"),
        ("nomic_bert", "NomicBertForMaskedLM", "cls.predictions.decoder"),
    ] {
        for tied in [true, false] {
            let mut options = json!({"architectures": [class], "tie_word_embeddings": tied});
            if family == "deberta-v2" {
                options["embedding_size"] = 8.into();
            }
            let names = loud(&tiny(family, options)).variables;
            assert_eq!(names.contains_key(&format!("{map}.weight")), !tied, "{family}");
        }
    }
}

#[test]
fn narrow_embeddings_are_widened_where_they_are_narrow() {
    for (family, map, always) in [
        ("electra", "electra.embeddings_project", false),
        ("albert", "albert.encoder.embedding_hidden_mapping_in", true),
    ] {
        for width in [6, 8] {
            let loud = loud(&tiny(family, json!({"embedding_size": width})));
            let mapped = width < 8 || always;
            assert_eq!(loud.variables.contains_key(&format!("{map}.weight")), mapped);
            let (_, recorder) = run(&loud.model, &ids(&[&[3, 2, 4]]));
            let table = |name: &str| rows(loud.variable(&format!("{family}.embeddings.{name}_embeddings.weight")));
            let (words, positions, types) = (table("word"), table("position"), table("token_type"));
            let sum = |at: usize| words[4][at] + positions[2][at] + types[0][at];
            let sum: Vec<f64> = (0..width).map(sum).collect();
            let normed = loud.layer_norm(&format!("{family}.embeddings.LayerNorm"), &sum, 1e-12);
            let expected = if mapped { loud.affine(map, &normed) } else { normed };
            close(&rows(&recorder.tensors[&Site::hidden(Side::Encoder, 0)])[2], &expected);
        }
    }
}

#[test]
fn passes_share_the_layer_of_their_group() {
    let loud = loud(&tiny("albert", json!({"num_hidden_layers": 6, "num_hidden_groups": 2})));
    let (_, recorder) = run(&loud.model, &ids(&[&[3, 2, 4]]));
    assert_eq!(loud.model.info().attentions[0].layers.len(), 6);
    for layer in 0..6 {
        let x = rows(&recorder.tensors[&Site::hidden(Side::Encoder, layer)]);
        let group = format!("albert.encoder.albert_layer_groups.{}.albert_layers.0", layer / 3);
        let query = rows(&recorder.tensors[&Site::new(Attention::EncoderSelf, layer, Point::Query)]);
        let expected = loud.affine(&format!("{group}.attention.query"), &x[1]);
        // Token 1 of both heads.
        close(&[&query[1][..], &query[3 + 1]].concat(), &expected);
    }
}

#[test]
fn roberta_counts_positions_from_behind_padding_and_skips_it() {
    let model = |padding: u32| {
        let config = tiny("roberta", json!({"pad_token_id": padding, "type_vocab_size": 1}));
        Model::build("tiny", &config.to_string(), &Weights::initialize(5), Gradients::Off).unwrap()
    };
    let forward = |model: &Model, positions: Option<&[u32]>| {
        let mut inputs: Inputs = ids(&[&[0, 7, 1, 8, 2]]);
        let tensor = |positions: &[u32]| Tensor::new(positions, model.device()).unwrap().unsqueeze(0).unwrap();
        inputs.position_ids = positions.map(tensor);
        model.forward(&inputs, &mut ()).unwrap().last_hidden
    };
    let own = model(1);
    assert_eq!(own.info().max_tokens, Some(14));
    assert_eq!(
        difference(&forward(&own, None), &forward(&own, Some(&[2, 3, 1, 4, 5])), None),
        0.0
    );
    let other = model(8);
    assert_eq!(other.info().max_tokens, Some(7));
    assert_eq!(
        difference(
            &forward(&other, None),
            &forward(&other, Some(&[9, 10, 11, 8, 12])),
            None
        ),
        0.0
    );
}

#[test]
fn positions_are_tapped_before_they_are_added() {
    for (family, prefix) in [
        ("roberta", "roberta"),
        ("electra", "electra"),
        ("albert", "albert"),
        ("distilbert", "distilbert"),
    ] {
        let loud = loud(&tiny(family, json!({"pad_token_id": 0})));
        let (_, recorder) = run(&loud.model, &ids(&[&[3, 2, 4]]));
        let tapped = &recorder.tensors[&Site::positions(Side::Encoder)];
        let table = rows(loud.variable(&format!("{prefix}.embeddings.position_embeddings.weight")));
        let first = usize::from(family == "roberta");
        for (at, position) in rows(tapped).iter().enumerate() {
            close(position, &table[first + at]);
        }
    }
}

/// The reference ties the two biases of a head, and a file may hold either.
#[test]
fn the_bias_of_words_has_two_names() {
    for (name, bias, other) in [
        ("bert", "cls.predictions.bias", "cls.predictions.decoder.bias"),
        ("roberta", "lm_head.bias", "lm_head.decoder.bias"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(fixture(name).join("config.json"), folder.path().join("config.json")).unwrap();
        let mut tensors = safetensors::load(fixture(name).join("model.safetensors"), &Device::Cpu).unwrap();
        let moved = tensors.remove(bias).unwrap();
        tensors.insert(other.to_owned(), moved);
        safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
        let logits = |checkpoint: &Checkpoint| {
            let model = Model::load(checkpoint).unwrap();
            model.forward(&ids(&[&[3, 2, 4]]), &mut ()).unwrap().logits.unwrap()
        };
        let (own, renamed) = (logits(&open(name)), logits(&Checkpoint::open(folder.path()).unwrap()));
        assert_eq!(difference(&own, &renamed, None), 0.0, "{name}");
    }
}

/// What DeBERTa adds to its scores, layer by layer, is the reference's.
#[test]
fn products_with_offsets_agree_with_the_reference() {
    let expected = expected("deberta-v2");
    let model = Model::load(&open("deberta-v2")).unwrap();
    let mut recorder = Recorder::of(&[Point::Query, Point::Key, Point::Scores]);
    model.forward(&inputs(&expected, "one"), &mut recorder).unwrap();
    for layer in 0..2 {
        let of = |point| &recorder.tensors[&Site::new(Attention::EncoderSelf, layer, point)];
        let keys = of(Point::Key).transpose(2, 3).unwrap().contiguous().unwrap();
        let products = (of(Point::Query).matmul(&keys).unwrap() * (1.0 / 24_f64.sqrt())).unwrap();
        let added = (of(Point::Scores) - products).unwrap();
        let wanted = &expected[&format!("one.x.{layer}.self.bias")];
        assert!(difference(&added, wanted, None) < 2e-4 * largest(wanted), "{layer}");
    }
}

/// Offsets with maps of their own, each kind of product alone, with buckets and without.
#[test]
fn offsets_of_deberta_are_those_of_its_options() {
    for (kinds, buckets) in [(json!(["c2p"]), -1), (json!("p2c"), -1), (json!("p2c|c2p"), 4)] {
        let options = json!({"embedding_size": 8, "relative_attention": true, "pos_att_type": kinds, "position_buckets": buckets,
            "max_relative_positions": 6, "position_biased_input": false, "norm_rel_ebd": "none"});
        let loud = loud(&tiny("deberta-v2", options));
        let tokens: &[u32] = &[3, 2, 4, 9, 9, 1, 7, 8, 20];
        let (_, recorder) = run(&loud.model, &ids(&[tokens]));
        let at = |layer, point| rows(&recorder.tensors[&Site::new(Attention::EncoderSelf, layer, point)]);
        let table = rows(loud.variable("deberta.encoder.rel_embeddings.weight"));
        let half = table.len() / 2;
        assert_eq!(half, if buckets > 0 { 4 } else { 6 });
        let [c2p, p2c] = ["c2p", "p2c"].map(|kind| kinds.to_string().contains(kind));
        let scale = 1.0 / (4.0 * (1 + usize::from(c2p) + usize::from(p2c)) as f64).sqrt();
        let info = loud.model.info();
        assert_eq!(info.positions, Positions::RelativeVectors);
        assert!((f64::from(info.attentions[0].layers[1].scale) - scale).abs() < 1e-6);
        for layer in 0..2 {
            let name = |map: &str| format!("deberta.encoder.layer.{layer}.attention.self.{map}");
            let (queries, keys) = (at(layer, Point::Query), at(layer, Point::Key));
            let attention = at(layer, Point::Attention);
            for head in 0..2 {
                let of_head = |x: Vec<f64>| x[head * 4..][..4].to_vec();
                for query in 0..tokens.len() {
                    let score = |key: usize| {
                        let (q, k) = (&queries[head * tokens.len() + query], &keys[head * tokens.len() + key]);
                        let distance = query.abs_diff(key);
                        let steps = match distance {
                            // 2 + ceil(ln(d / 2) / ln(5 / 2)).
                            3..=5 if buckets > 0 => 3,
                            6.. if buckets > 0 => 4,
                            _ => distance,
                        };
                        let row = if query < key {
                            half.saturating_sub(steps)
                        } else {
                            (half + steps).min(2 * half - 1)
                        };
                        let mut sum = dot(q, k);
                        if c2p {
                            sum += dot(q, &of_head(loud.affine(&name("pos_key_proj"), &table[row])));
                        }
                        if p2c {
                            sum += dot(k, &of_head(loud.affine(&name("pos_query_proj"), &table[row])));
                        }
                        (sum * scale).exp()
                    };
                    let powers: Vec<f64> = (0..tokens.len()).map(score).collect();
                    let whole: f64 = powers.iter().sum();
                    let expected: Vec<f64> = powers.iter().map(|power| power / whole).collect();
                    close(&attention[head * tokens.len() + query], &expected);
                }
            }
        }
    }
}

#[test]
fn options_of_deberta_that_are_not_implemented_are_refused() {
    for (key, value) in [
        ("conv_kernel_size", json!(2)),
        ("conv_groups", json!(2)),
        ("embedding_size", json!(6)),
        ("pos_att_type", json!(["p2p"])),
        ("norm_rel_ebd", json!("batch_norm")),
        ("position_buckets", json!(1)),
    ] {
        let mut config = tiny(
            "deberta-v2",
            json!({"embedding_size": 8, "relative_attention": true, "pos_att_type": ["c2p"]}),
        );
        if key == "conv_groups" {
            config["conv_kernel_size"] = 3.into();
        }
        config[key] = value;
        let error = Model::build("tiny", &config.to_string(), &Weights::initialize(1), Gradients::Off).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn modernbert_classifies_the_first_token_or_the_mean_of_real_ones() {
    for pooling in ["cls", "mean"] {
        let loud = loud(&tiny(
            "modernbert",
            json!({"architectures": ["ModernBertForSequenceClassification"], "classifier_pooling": pooling, "num_labels": 3,
                "norm_bias": true, "mlp_bias": true, "attention_bias": true, "classifier_bias": true,
                "classifier_activation": "silu", "local_attention": 2, "global_attn_every_n_layers": 2}),
        ));
        let attention = &loud.model.info().attentions[0];
        assert_eq!(
            [0, 1].map(|layer| attention.layers[layer].mask),
            [Mask::Full, Mask::Local { width: 1 }]
        );
        let (output, _) = run(&loud.model, &ids(&[&[3, 2, 4], &[5, 6, 7, 8, 9]]));
        let hidden = rows(&output.last_hidden.narrow(0, 0, 1).unwrap());
        let pooled: Vec<f64> = match pooling {
            "cls" => hidden[0].clone(),
            _ => (0..8)
                .map(|at| hidden[..3].iter().map(|row| row[at]).sum::<f64>() / 3.0)
                .collect(),
        };
        let inner = map(loud.affine("head.dense", &pooled), silu);
        let expected = loud.affine("classifier", &loud.layer_norm("head.norm", &inner, 1e-5));
        close(&rows(&output.logits.unwrap())[0], &expected);
    }
}

/// DeBERTa's first layer with the convolution beside it, alone and beside a longer sequence.
#[test]
fn a_convolution_adds_neighbors_of_the_input() {
    let loud = loud(&tiny(
        "deberta-v2",
        json!({"embedding_size": 8, "conv_kernel_size": 3, "conv_act": "gelu"}),
    ));
    let tokens: &[u32] = &[3, 2, 4, 9];
    let (_, recorder) = run(&loud.model, &ids(&[tokens]));
    let of = |point, layer| rows(&recorder.tensors[&Site::new(Attention::EncoderSelf, layer, point)]);
    let (input, attended, inner) = (of(Point::Hidden, 0), of(Point::AttentionOutput, 0), of(Point::Mlp, 0));
    let layer = "deberta.encoder.layer.0";
    let sum = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let kernel = loud.vector("deberta.encoder.conv.conv.weight");
    for at in 0..tokens.len() {
        let after = sum(&attended[at], &input[at]);
        let after = loud.layer_norm(&format!("{layer}.attention.output.LayerNorm"), &after, 1e-12);
        let output = loud.layer_norm(&format!("{layer}.output.LayerNorm"), &sum(&inner[at], &after), 1e-12);
        let convolved = (0..8).map(|out| {
            let neighbors = (0..3).filter_map(|offset| Some((offset, input.get((at + offset).checked_sub(1)?)?)));
            neighbors
                .map(|(offset, row)| {
                    (0..8)
                        .map(|own| kernel[(out * 8 + own) * 3 + offset] * row[own])
                        .sum::<f64>()
                })
                .sum()
        });
        let convolved = loud.biased("deberta.encoder.conv.conv", convolved.collect());
        let expected = sum(&output, &map(convolved, gelu));
        let expected = loud.layer_norm("deberta.encoder.conv.LayerNorm", &expected, 1e-12);
        close(&of(Point::Hidden, 1)[at], &expected);
    }
    let (_, padded) = run(&loud.model, &ids(&[tokens, &[5, 6, 7, 8, 9, 10]]));
    let last = Site::hidden(Side::Encoder, 2);
    let padded = rows(&padded.tensors[&last].narrow(0, 0, 1).unwrap());
    for (at, alone) in rows(&recorder.tensors[&last]).iter().enumerate() {
        close(&padded[at], alone);
    }
}
