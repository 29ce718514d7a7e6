//! Every family that writes, and decoders alone.

use attn_sdk::{
    embedded,
    models::{Checkpoint, Model, Tokenizer, generate::GenerationParams},
    study::decoding::{BlameKind, BlameParams, Decoder, Decoding, HeadChoice, Shift},
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
        let other = decoder.replaced(&decoding, 0, 1, 12, &()).unwrap();
        assert_eq!(other.hypotheses[0].row.ids[1], 12, "{family}");
        let blame = decoder
            .blame("w5 w9 w11 w7", "w6 w8", &params, &BlameParams::default(), &())
            .unwrap();
        assert!(blame.kind != BlameKind::None, "{family}");
    }
}
