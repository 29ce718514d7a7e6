//! Every family that writes, and decoders alone.

use attn_sdk::{
    core::Attention,
    embedded,
    models::{
        Checkpoint, Inputs, Model, Point, Site, Tokenizer,
        candle::{DType, Tensor},
        generate::GenerationParams,
        record::Recorder,
    },
    study::decoding::{
        AttentionScale, BlameKind, BlameParams, Decoder, Decoding, FlowParams, HeadChoice, Shift, TokenClass, TokenRow,
    },
};

#[test]
fn a_decoder_alone_continues_its_prompt() {
    let decoder = Decoder::load(&embedded::TEXT_DECODER.checkpoint().unwrap()).unwrap();
    let mut params = decoder.params();
    params.generation.beams = 2;
    params.generation.max_new_tokens = Some(6);
    let decoding = decoder.decode("the old man", &params, &()).unwrap();
    assert!(!decoding.encoder_decoder && decoding.encoder_self.is_none());
    let found = &decoding.hypotheses[0];
    assert!(found.cross.is_none() && found.steps.len() == found.row.len());
    let weights = decoding.attention(0, &HeadChoice::All, Shift::Predicted).unwrap();
    assert_eq!(weights.len(), found.row.len() * decoding.source.len());
    assert!((weights[..decoding.source.len()].iter().sum::<f32>() - 1.0).abs() < 1e-4);
    assert!(
        found
            .steps
            .iter()
            .all(|step| (0.0..=1.0).contains(&step.source_share.unwrap()))
    );
    assert!(
        found.steps[0].source_share.unwrap() > 0.99,
        "the first token rests on the prompt alone"
    );
    // As a file and back.
    let saved = serde_json::to_string(&decoding).unwrap();
    let read: Decoding = serde_json::from_str(&saved).unwrap();
    assert_eq!(read.hypotheses, decoding.hypotheses);
}

/// The lengths of what every head writes for every value, by the product of each value and the head's output matrix.
fn check_output_norms(decoder: &Decoder, decoding: &Decoding) {
    let (model, found) = (decoder.model(), &decoding.hypotheses[0]);
    let ids = |ids: &[u32]| Inputs::from_ids(&[ids.to_vec()], 0).unwrap();
    let mut inputs = ids(&decoding.source.ids);
    let own = if decoding.encoder_decoder {
        inputs.decoder_input_ids = ids(&decoding.start.ids).input_ids;
        Attention::Cross
    } else {
        inputs = ids(&[&decoding.source.ids[..], &found.row.ids].concat());
        Attention::DecoderSelf
    };
    let mut seen = Recorder::of(&[Point::Value]);
    model.forward(&inputs, &mut seen).unwrap();
    let weights = found.cross.as_ref().unwrap_or(&found.decoder_self);
    assert_eq!(
        weights.output_norms.len(),
        weights.layers * weights.heads * weights.keys
    );
    for head in model.head_weights().unwrap() {
        let (layer, at) = (head.head.layer, head.head.head);
        if head.head.attention != own {
            continue;
        }
        let values: &Tensor = &seen.tensors[&Site::new(own, layer, Point::Value)];
        let values = values.to_dtype(DType::F32).unwrap().get(0).unwrap();
        let shared = at / (weights.heads / values.dim(0).unwrap());
        let values: Vec<Vec<f32>> = values.get(shared).unwrap().to_vec2().unwrap();
        for (key, value) in values.iter().enumerate() {
            let written = head.output.columns().into_iter().map(|column| {
                let terms = column.iter().zip(value).map(|(&o, &v)| f64::from(o) * f64::from(v));
                terms.sum::<f64>()
            });
            let expected = written.map(|x| x * x).sum::<f64>().sqrt() as f32;
            let norm = weights.output_norms[(layer * weights.heads + at) * weights.keys + key];
            let apart = (norm - expected).abs();
            assert!(
                apart < 1e-4 * (1.0 + expected),
                "L{layer} H{at} key {key}: {norm} {expected}"
            );
        }
    }
}

#[test]
fn lengths_of_what_heads_write_weigh_attention() {
    let decoder = Decoder::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
    let decoding = decoder.decode("May 21, 2000", &decoder.params(), &()).unwrap();
    check_output_norms(&decoder, &decoding);
    let heads = HeadChoice::Some(vec![(1, 2)]);
    let plain = decoding.attention(0, &heads, Shift::Predicted).unwrap();
    let scaled = decoding
        .scaled_attention(0, &heads, Shift::Predicted, AttentionScale::OutputNorms)
        .unwrap();
    let cross = decoding.hypotheses[0].cross.as_ref().unwrap();
    let keys = cross.keys;
    let norms = &cross.output_norms[(cross.heads + 2) * keys..][..keys];
    for (row, own) in plain.chunks(keys).zip(scaled.chunks(keys)) {
        let products: Vec<f32> = row.iter().zip(norms).map(|(weight, norm)| weight * norm).collect();
        let sum: f32 = products.iter().sum();
        for (own, product) in own.iter().zip(products) {
            assert!((own - product / sum).abs() < 1e-5);
        }
    }
}

#[test]
fn languages_are_chosen_on_both_sides() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (family, from, into) in [
        ("m2m100-spm", "en", ["de", "fr"]),
        ("mbart50", "en_XX", ["de_DE", "fr_XX"]),
        ("nllb", "eng_Latn", ["deu_Latn", "fra_Latn"]),
    ] {
        let decoder = Decoder::load(&Checkpoint::open(folder.join(family)).unwrap()).unwrap();
        assert!(decoder.languages().len() > 50, "{family}");
        let mut params = decoder.params();
        params.generation.beams = 2;
        params.generation.max_new_tokens = Some(6);
        params.source_language = Some(decoder.language(from).unwrap());
        for name in into {
            decoder.set_target_language(&mut params.generation, name).unwrap();
            let decoding = decoder.decode("Hello, world!", &params, &()).unwrap();
            let (source, found) = (&decoding.source, &decoding.hypotheses[0]);
            // The language is the first token that is written, and one of the source.
            assert_eq!(found.row.ids[0], decoder.language(name).unwrap(), "{family}");
            assert_eq!(found.row.classes[0], TokenClass::Language, "{family}");
            let marks = (0..source.len()).filter(|&at| source.classes[at] == TokenClass::Language);
            let marks: Vec<u32> = marks.map(|at| source.ids[at]).collect();
            assert_eq!(marks, [decoder.language(from).unwrap()], "{family}");
            // Neither is text.
            let options = FlowParams {
                text_only: true,
                ..FlowParams::default()
            };
            let units = decoding.flow_units(0, &options).unwrap();
            let text = |row: &TokenRow, groups: &[(String, Vec<usize>)]| {
                groups
                    .iter()
                    .all(|(_, members)| members.iter().all(|&at| row.is_text(at)))
            };
            assert!(
                text(source, &units.source) && text(&found.row, &units.target),
                "{family}"
            );
            // A token is replaced after the language, which stays.
            let other = decoder.replaced(&decoding, 0, 1, source.ids[1], &()).unwrap();
            assert_eq!(
                other.hypotheses[0].row.ids[..2],
                [found.row.ids[0], source.ids[1]],
                "{family}"
            );
        }
        assert!(decoder.language("xx").is_err(), "{family}");
    }
}

#[test]
fn every_family_that_writes_is_shown() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (family, translates) in [
        ("bart", true),
        ("marian", true),
        ("t5", true),
        ("m2m100", true),
        ("mbart", true),
        ("pegasus", true),
        ("gpt2", false),
        ("gpt-neox", false),
        ("llama", false),
        ("qwen3", false),
    ] {
        let checkpoint = Checkpoint::open(folder.join(family)).unwrap();
        let model = Model::load(&checkpoint).unwrap();
        let generation = GenerationParams::read(&checkpoint).unwrap();
        // Tokenizers are not the point here: every family reads the same words.
        let words: Vec<String> = (0..model.info().vocab_size.unwrap())
            .map(|at| format!("\"w{at}\": {at}"))
            .collect();
        let vocabulary = format!(
            r#"{{"model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "w3"}}, "pre_tokenizer": {{"type": "Whitespace"}}}}"#,
            words.join(", ")
        );
        let tokenizer = Tokenizer::from_bytes(vocabulary.as_bytes(), "tokenizer.json".as_ref()).unwrap();
        let decoder = Decoder::new(model, tokenizer, generation).unwrap();
        let mut params = decoder.params();
        params.generation.beams = 3;
        params.generation.sampling = None;
        params.generation.max_new_tokens = Some(6);
        let decoding = decoder.decode("w5 w9 w11 w7", &params, &()).unwrap();
        assert_eq!(decoding.encoder_decoder, translates, "{family}");
        decoding.check().unwrap();
        let best = &decoding.hypotheses[0];
        assert_eq!(best.cross.is_some(), translates, "{family}");
        assert_eq!(best.nodes.len(), best.row.len(), "{family}");
        for step in &best.steps {
            assert!((0.0..=1.0).contains(&step.source_share.unwrap()), "{family}");
            let apart = (step.log_probability - step.model_log_probability).abs();
            assert!(apart < 1e-3 || step.log_probability == 0.0, "{family}: {apart}");
        }
        assert!(decoding.trajectories(0, &()).unwrap().is_some(), "{family}");
        decoding.flow(0, &Default::default()).unwrap();
        check_output_norms(&decoder, &decoding);
        let other = decoder.replaced(&decoding, 0, 1, 12, &()).unwrap();
        assert_eq!(other.hypotheses[0].row.ids[1], 12, "{family}");
        let blame = decoder
            .blame("w5 w9 w11 w7", "w6 w8", &params, &BlameParams::default(), &())
            .unwrap();
        assert!(blame.kind != BlameKind::None, "{family}");
    }
}
