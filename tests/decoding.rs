//! Decodings against what the model itself gives: scores of the search, attention that taps see during it, planted faults.

#![cfg(feature = "study")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::collections::BTreeMap;

use attn_sdk::{
    core::{Attention, Rng},
    embedded,
    models::{
        Checkpoint, Gradients, Inputs, Model, Point, Result, Site, Tap, Tokenizer, Weights,
        candle::Tensor,
        generate::{GenerationParams, Generator},
        intervene::{Edit, Heads, Selection},
    },
    study::decoding::{
        Blame, BlameKind, BlameParams, Comparison, DecodedStep, Decoder, Decoding, Fault, HeadChoice, NearWord, Shift,
        Stage, TokenClass, Unit, alignment_heads,
    },
};

const BEAMS: usize = 4;

fn dates() -> Decoder {
    Decoder::load(&embedded::DATES.checkpoint().unwrap()).unwrap()
}

fn decoded(decoder: &Decoder, source: &str, beams: usize) -> Decoding {
    let mut params = decoder.params();
    params.generation.beams = beams;
    decoder.decode(source, &params, &()).unwrap()
}

#[test]
fn scores_and_probabilities_are_those_of_the_search() {
    let decoder = dates();
    for source in ["May 21, 2000", "14.02.98", "2011/07/03"] {
        let decoding = decoded(&decoder, source, BEAMS);
        let ids = decoder.tokenizer().prompt(source, decoder.model().info()).unwrap();
        let generation = &decoding.params.generation;
        let generator = Generator::new(decoder.model(), generation).unwrap();
        let generated = generator
            .run(&Inputs::from_ids(&[ids], 0).unwrap(), &mut (), &())
            .unwrap();
        assert_eq!(decoding.hypotheses.len(), generated[0].hypotheses.len());
        for (found, own) in decoding.hypotheses.iter().zip(&generated[0].hypotheses) {
            assert_eq!(found.row.ids, own.tokens);
            assert_eq!(found.score, own.score);
            let sum: f32 = found.steps.iter().map(|step| step.model_log_probability).sum();
            let score = sum / (own.tokens.len() as f32).powf(generation.length_penalty as f32);
            assert!((score - own.score).abs() < 1e-4, "{source}: {score} {}", own.score);
            for (step, log_probability) in found.steps.iter().zip(&own.log_probabilities) {
                assert!((step.model_log_probability - log_probability).abs() < 1e-4);
                let best = &step.top[0];
                assert!(step.rank > 1 || best.id == step.id);
                assert!(step.entropy >= 0.0 && best.log_probability >= step.model_log_probability);
            }
        }
    }
}

#[test]
fn the_tree_leads_to_every_hypothesis() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", BEAMS);
    for entry in &decoding.beam {
        let before = entry.parent.map_or(0.0, |parent| decoding.beam[parent].total);
        assert!((before + entry.log_probability - entry.total).abs() < 1e-4);
    }
    for found in &decoding.hypotheses {
        let last = *found.nodes.last().unwrap();
        assert_eq!(decoding.path(last).unwrap(), found.row.ids);
        let penalty = decoding.params.generation.length_penalty;
        assert!((decoding.rescored(last, penalty) - found.score).abs() < 1e-4);
    }
    let (joined, entries) = decoding.beam_tree(1.0, true);
    let (whole, _) = decoding.beam_tree(1.0, false);
    assert!(joined.nodes.len() <= whole.nodes.len() && whole.nodes.len() == decoding.beam.len());
    assert_eq!(entries.iter().map(Vec::len).sum::<usize>(), decoding.beam.len());
}

/// The rows of cross-attention that a search computes, step by step.
#[derive(Default)]
struct Rows(BTreeMap<usize, Vec<Vec<f32>>>);

impl Tap for Rows {
    fn wants(&self, site: Site) -> bool {
        site.attention == Attention::Cross && site.point == Point::Attention
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let last = tensor.dim(2)? - 1;
        let row = tensor.narrow(2, last, 1)?.flatten_all()?.to_vec1()?;
        self.0.entry(site.layer).or_default().push(row);
        Ok(tensor)
    }
}

#[test]
fn attention_of_the_pass_is_that_of_the_search() {
    let decoder = dates();
    let source = "3. June, 2004";
    let decoding = decoded(&decoder, source, 1);
    let ids = decoder.tokenizer().prompt(source, decoder.model().info()).unwrap();
    let mut seen = Rows::default();
    let generator = Generator::new(decoder.model(), &decoding.params.generation).unwrap();
    generator
        .run(&Inputs::from_ids(&[ids], 0).unwrap(), &mut seen, &())
        .unwrap();
    let cross = decoding.hypotheses[0].cross.as_ref().unwrap();
    let first = decoding.prompt_tokens() - 1;
    for (layer, steps) in &seen.0 {
        assert_eq!(steps.len(), decoding.hypotheses[0].row.len());
        for (step, row) in steps.iter().enumerate() {
            for (head, weights) in row.chunks(cross.keys).enumerate() {
                let own = &cross.head(*layer, head)[(first + step) * cross.keys..][..cross.keys];
                let apart = own.iter().zip(weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-5, "L{layer} H{head} step {step}: {apart}");
            }
        }
    }
    // What is shown of a target token is the row that predicts it, or the one that reads it.
    let shown = decoding
        .attention(0, &HeadChoice::Some(vec![(1, 2)]), Shift::Read)
        .unwrap();
    assert_eq!(
        shown[..cross.keys],
        cross.head(1, 2)[(first + 1) * cross.keys..][..cross.keys]
    );
    assert!(decoding.attention(0, &HeadChoice::Layer(7), Shift::Read).is_err());
}

#[test]
fn words_keep_the_sums_of_attention() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let options = attn_sdk::study::decoding::FlowOptions {
        unit: Unit::Words,
        ..Default::default()
    };
    let units = decoding.flow_units(0, &options).unwrap();
    assert!(units.source.len() < decoding.source.len());
    for row in units.weights.chunks(units.source.len()) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
    assert_eq!(decoding.hypotheses[0].row.classes.last(), Some(&TokenClass::Special));
}

#[test]
fn any_token_has_a_rank_and_any_node_goes_on() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let steps = &decoding.hypotheses[0].steps;
    let top = &steps[6].top[1];
    let rank = decoder.rank(&decoding, 0, 6, top.id).unwrap();
    assert_eq!(rank.rank, 2);
    assert!((rank.log_probability - top.log_probability).abs() < 1e-5);
    let forced = decoder.rank_text(&decoding, 0, 5, "03-21").unwrap();
    assert_eq!(forced.len(), 5);
    assert!(forced[1].rank > 1);
    let other = decoder.replaced(&decoding, 0, 6, forced[1].id, &()).unwrap();
    assert!(
        other.hypotheses[0].row.text.starts_with("2000-03"),
        "{}",
        other.hypotheses[0].row.text
    );
    let entry = decoding.hypotheses[0].nodes[3];
    let same = decoder.continued(&decoding, entry, &()).unwrap();
    assert_eq!(same.hypotheses[0].row.ids, decoding.hypotheses[0].row.ids);
    let comparison = Comparison::new((&decoding, 0), (&other, 0), &HeadChoice::All, Shift::Predicted).unwrap();
    assert!(!comparison.same_target());
    assert!(
        comparison.attention[0].unwrap() < 1e-5,
        "before the change nothing differs"
    );
    assert!(decoder.rank(&decoding, 0, 99, 0).is_err() && decoder.rank(&decoding, 0, 0, 9_999).is_err());
}

#[test]
fn edited_attention_is_what_the_model_uses() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let mut weights = vec![0.0; decoding.source.len()];
    (weights[4], weights[5]) = (1.0, 3.0);
    let edits = decoding.attention_edits(6, &HeadChoice::Layer(1), &weights).unwrap();
    let edited = decoder.edited(&decoding, 0, 6, &edits, &()).unwrap();
    assert_eq!(edited.hypotheses[0].row.ids[..6], decoding.hypotheses[0].row.ids[..6]);
    let keys = weights.len();
    for (layer, expected) in [(1, true), (0, false)] {
        let rows = edited
            .attention(0, &HeadChoice::Layer(layer), Shift::Predicted)
            .unwrap();
        let row = &rows[6 * keys..7 * keys];
        assert_eq!((row[4] - 0.25).abs() < 1e-5 && (row[5] - 0.75).abs() < 1e-5, expected);
    }
}

#[test]
fn what_rests_on_no_source_says_so() {
    let decoder = dates();
    let healthy = decoded(&decoder, "May 21, 2000", 1);
    let least = |decoding: &Decoding| {
        let shares = decoding.hypotheses[0]
            .steps
            .iter()
            .take(10)
            .map(|step| step.source_share.unwrap());
        shares.fold(1.0, f32::min)
    };
    // Cross-attention gives nothing: whatever is written is made up.
    let edits = (0..2).map(|layer| {
        let heads = Heads::all(Attention::Cross, layer);
        Edit::HeadMask { heads, factor: 0.0 }.into()
    });
    let fault = Fault {
        edits: edits.collect(),
        ..Fault::default()
    };
    let blind = decoded(&decoder.with_fault(fault).unwrap(), "May 21, 2000", 1);
    assert!(least(&healthy) > 0.1, "{}", least(&healthy));
    assert!(
        blind.hypotheses[0]
            .steps
            .iter()
            .all(|step| step.source_share.unwrap() < 1e-6)
    );
    let coverage = |decoding: &Decoding| decoding.hypotheses[0].coverage.clone().unwrap();
    assert!(coverage(&blind).iter().all(|cover| *cover < 1e-6));
    assert!(coverage(&healthy).iter().sum::<f32>() > 1.0);
}

#[test]
fn heads_that_align_beat_permuted_targets() {
    let decoder = dates();
    let sources = [
        "May 21, 2000",
        "14.02.1998",
        "2011/07/03",
        "March 3, 2009",
        "11/30/2005",
    ];
    let decodings: Vec<Decoding> = sources.iter().map(|source| decoded(&decoder, source, 1)).collect();
    let all: Vec<&Decoding> = decodings.iter().collect();
    let heads = alignment_heads(&all, None, Shift::Predicted, 0).unwrap();
    assert_eq!(heads.len(), 8);
    assert!(heads[0].aligns && heads[0].score > 2.0 * heads[0].chance, "{heads:?}");
    assert!(heads.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(alignment_heads(&all, Some(&[]), Shift::Predicted, 0).is_err());
}

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

#[test]
fn bad_sources_are_refused() {
    let decoder = dates();
    let params = decoder.params();
    for (source, words) in [
        ("", "nothing to run"),
        ("   ", "nothing to run"),
        (&*"1".repeat(300), "at most 32"),
    ] {
        let error = decoder.decode(source, &params, &()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let patch = Edit::Patch {
        site: Site::hidden(attn_sdk::core::Side::Encoder, 2),
        heads: Selection::All,
        tokens: Selection::All,
        donor: 0,
        donor_tokens: None,
    };
    let fault = Fault {
        edits: vec![patch.into()],
        ..Fault::default()
    };
    let error = decoder.with_fault(fault).unwrap_err().to_string();
    assert!(error.contains("one of 0 donor texts"), "{error}");
    assert!(Decoder::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).is_err());
    assert!(decoder.language("__de__").is_err());
}

/// Faults of each kind. `ATTN_FAULTS=100` plants more, which takes a quarter of an hour without optimization.
fn faults() -> usize {
    let asked = std::env::var("ATTN_FAULTS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(12)
}

/// Source and target of embedded dates.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    embedded::dates().filter_map(|line| line.split_once('\t'))
}

fn blame(decoder: &Decoder, healthy: &Decoder, source: &str, expected: &str) -> Blame {
    let settings = BlameParams {
        healthy: Some(healthy.clone()),
        ..BlameParams::default()
    };
    decoder
        .blame(source, expected, &decoder.params(), &settings, &())
        .unwrap()
}

/// Counts the model errors among the runs of a faulty decoder that blame `stage`, over pairs until there are enough.
fn check(stage: Stage, mut faulty: impl FnMut(usize, &str, &mut Rng) -> Option<Decoder>) {
    let healthy = dates();
    let (mut right, mut all) = (0, 0);
    let mut found = Vec::new();
    for (at, (source, expected)) in pairs().enumerate() {
        if all == faults() {
            break;
        }
        let mut rng = Rng::new(7, &[at]);
        let Some(decoder) = faulty(at, source, &mut rng) else {
            continue;
        };
        let blame = blame(&decoder, &healthy, source, expected);
        if blame.kind != BlameKind::Model {
            // The fault changed nothing that matters here.
            continue;
        }
        all += 1;
        right += usize::from(blame.stage == Some(stage));
        found.push((source, blame.found, blame.stage, blame.stages));
    }
    let share = right as f64 / all.max(1) as f64;
    assert!(
        all == faults() && share >= 0.9,
        "{right} of {all} {stage:?}: {found:#?}"
    );
}

#[test]
fn a_replaced_encoder_state_is_blamed_on_the_encoder() {
    let healthy = dates();
    let sources: Vec<&str> = pairs().map(|(source, _)| source).collect();
    check(Stage::Encoder, |at, source, rng| {
        let tokens = healthy.tokenizer().prompt(source, healthy.model().info()).ok()?.len();
        let count = 1 + rng.below(3);
        let chosen: Vec<usize> = rng.sample(tokens - 1, count.min(tokens - 1));
        let edit = Edit::Patch {
            site: Site::hidden(attn_sdk::core::Side::Encoder, 2),
            heads: Selection::All,
            tokens: chosen.into(),
            donor: 0,
            donor_tokens: None,
        };
        let donor = sources[(at + 1 + rng.below(100)) % sources.len()];
        let fault = Fault {
            donors: vec![donor.to_owned()],
            edits: vec![edit.into()],
        };
        healthy.with_fault(fault).ok()
    });
}

#[test]
fn a_shifted_row_of_attention_is_blamed_on_attention() {
    let healthy = dates();
    check(Stage::Attention, |_, source, rng| {
        let decoding = decoded(&healthy, source, 1);
        let (step, keys) = (rng.below(10), decoding.source.len());
        let shift = 1 + rng.below(keys - 1);
        let mut edits = Vec::new();
        for (layer, head) in decoding.hypotheses[0].cross.as_ref()?.every_head() {
            let heads = HeadChoice::Some(vec![(layer, head)]);
            let rows = decoding.attention(0, &heads, Shift::Predicted).ok()?;
            let mut row = rows[step * keys..(step + 1) * keys].to_vec();
            row.rotate_right(shift);
            edits.extend(decoding.attention_edits(step, &heads, &row).ok()?);
        }
        healthy
            .with_fault(Fault {
                edits,
                ..Fault::default()
            })
            .ok()
    });
}

/// The date model with other numbers in one of its tensors.
fn with_tensor(name: &str, bits: impl Fn(usize) -> u16) -> Decoder {
    let mut bytes = embedded::DATES.weights.to_vec();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let entries: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let offsets = &entries[name]["data_offsets"];
    let (from, to) = (
        offsets[0].as_u64().unwrap() as usize,
        offsets[1].as_u64().unwrap() as usize,
    );
    for (at, place) in (8 + header + from..8 + header + to).step_by(2).enumerate() {
        bytes[place..place + 2].copy_from_slice(&bits(at).to_le_bytes());
    }
    let checkpoint = Checkpoint::from_bytes("faulty dates", embedded::DATES.config, bytes).unwrap();
    let checkpoint = checkpoint.with_tokenizer(embedded::DATES.tokenizer.unwrap());
    Decoder::load(&checkpoint).unwrap()
}

/// 3 and -3 in half precision.
const THREE: [u16; 2] = [0x4200, 0xc200];

#[test]
fn a_bias_in_the_decoder_is_blamed_on_the_decoder() {
    check(Stage::Decoder, |at, _, rng| {
        let layer = at % 2;
        let signs: Vec<usize> = (0..64).map(|_| rng.below(2)).collect();
        Some(with_tensor(&format!("model.decoder.layers.{layer}.fc2.bias"), |at| {
            THREE[signs[at]]
        }))
    });
}

#[test]
fn a_bias_of_the_output_is_blamed_on_the_prediction() {
    let healthy = dates();
    check(Stage::Prediction, |_, _, rng| {
        let digit = healthy.tokenizer().id(&rng.below(10).to_string())? as usize;
        // 20 in half precision.
        Some(with_tensor(
            "final_logits_bias",
            |at| if at == digit { 0x4d00 } else { 0 },
        ))
    });
}

#[test]
fn what_is_right_is_blamed_on_nothing() {
    let healthy = dates();
    let blamed = pairs().take(3 * faults()).filter(|(source, expected)| {
        let blame = blame(&healthy, &healthy, source, expected);
        blame.kind != BlameKind::None
    });
    assert!(blamed.count() * 20 <= 3 * faults());
}

#[test]
fn a_search_of_one_beam_is_blamed_on_the_search() {
    let words: Vec<String> = (0..8).map(|at| format!("\"w{at}\": {at}")).collect();
    let vocabulary = format!(
        r#"{{"model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "w3"}}, "pre_tokenizer": {{"type": "Whitespace"}}}}"#,
        words.join(", ")
    );
    let config = r#"{"model_type": "bart", "vocab_size": 8, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 32, "init_std": 1.0, "architectures": ["BartForConditionalGeneration"]}"#;
    let (mut all, mut right) = (0, 0);
    for seed in 0..60 {
        let model = Model::build("random", config, &Weights::initialize(seed), Gradients::Off).unwrap();
        let tokenizer = Tokenizer::from_bytes(vocabulary.as_bytes(), "tokenizer.json".as_ref()).unwrap();
        let generation = GenerationParams {
            decoder_start: Some(2),
            end: vec![2],
            max_new_tokens: Some(8),
            min_new_tokens: 2,
            // Without a penalty short outputs are best, which a single beam passes by.
            length_penalty: 0.0,
            ..GenerationParams::default()
        };
        let decoder = Decoder::new(model, tokenizer, generation).unwrap();
        let wide = decoded(&decoder, "w5 w6 w7", 8);
        let narrow = decoded(&decoder, "w5 w6 w7", 1);
        let (wide, narrow) = (&wide.hypotheses[0], &narrow.hypotheses[0]);
        if !wide.ended || wide.score <= narrow.score + 1e-4 {
            continue;
        }
        all += 1;
        // The end is no special token of this vocabulary.
        let expected = decoder.tokenizer().decode(&wide.row.ids[..wide.row.len() - 1]).unwrap();
        let blame = blame(&decoder, &decoder, "w5 w6 w7", &expected);
        let search = blame
            .search
            .is_some_and(|lost| lost.width.is_some_and(|width| width <= 8));
        right += usize::from(blame.kind == BlameKind::Search && search);
    }
    assert!(all >= 5 && right * 20 >= 19 * all, "{right} of {all}");
}

#[test]
fn what_the_rules_forbid_has_no_score_and_opens_again() {
    let decoder = dates();
    let mut params = decoder.params();
    params.generation.prefix = decoder.target_ids("19").unwrap();
    let mut decoding = decoder.decode("May 21, 2000", &params, &()).unwrap();
    assert!(decoding.hypotheses[0].row.text.starts_with("19"));
    let settings = BlameParams::default();
    // The model itself writes a 2: there is no difference that a repair could bring back.
    let blame = decoder
        .blame("May 21, 2000", "2000-05-21", &params, &settings, &())
        .unwrap();
    assert_eq!((blame.kind, blame.stage), (BlameKind::Model, Some(Stage::Undetermined)));
    assert!(blame.scores.found.is_some() && blame.scores.expected.is_none());
    assert!(
        blame.note.contains("forbid") && blame.note.contains("already prefers"),
        "{}",
        blame.note
    );
    decoding.blame = Some(blame);
    let saved = serde_json::to_string(&decoding).unwrap();
    assert_eq!(serde_json::from_str::<Decoding>(&saved).unwrap(), decoding);

    // Of an output that is allowed, the score is that of the search.
    let plain = decoder.params();
    let blame = decoder
        .blame("May 21, 2000", "2000-05-21", &plain, &settings, &())
        .unwrap();
    let score = decoded(&decoder, "May 21, 2000", plain.generation.beams).hypotheses[0].score;
    assert!((blame.scores.expected.unwrap() - score).abs() < 1e-4);
    assert_eq!(blame.scores.expected, blame.scores.found);
}

/// A SentencePiece model with only those of its pieces that have one character or are no text.
fn letters_of(model: &[u8]) -> Vec<u8> {
    let number = |at: &mut usize| {
        let (mut value, mut shift) = (0_usize, 0);
        loop {
            let byte = model[*at];
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < model.len() {
        let start = at;
        let tag = number(&mut at);
        assert_eq!(tag & 7, 2, "messages only");
        at += number(&mut at);
        let message = &model[start..at];
        // Field 1 is a piece; its first field is the text.
        let text = (tag == 0x0a).then(|| {
            let length = usize::from(message[3]);
            String::from_utf8_lossy(&message[4..4 + length]).into_owned()
        });
        if text.is_none_or(|text| text.starts_with('<') || text.chars().count() == 1) {
            kept.extend(message);
        }
    }
    kept
}

#[test]
fn targets_are_read_by_the_tokenizer_of_targets() {
    let marian = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marian");
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.spm",
        "tokenizer_config.json",
        "vocab.json",
    ] {
        std::fs::copy(marian.join(file), folder.path().join(file)).unwrap();
    }
    let pieces = letters_of(&std::fs::read(marian.join("source.spm")).unwrap());
    std::fs::write(folder.path().join("target.spm"), pieces).unwrap();
    let decoder = Decoder::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
    let text = "She sells sea shells";
    let as_source = decoder.tokenizer().plain_ids(text, decoder.model().info()).unwrap();
    let as_target = decoder.target_ids(text).unwrap();
    assert!(
        as_target.len() > as_source.len(),
        "{as_target:?} is spelled, {as_source:?} is not"
    );
    // What is forced and what is expected are targets.
    let params = decoder.params();
    let decoding = decoder.decode(text, &params, &()).unwrap();
    let ranks = decoder.rank_text(&decoding, 0, 0, text).unwrap();
    let ids: Vec<u32> = ranks.iter().map(|rank| rank.id).collect();
    assert_eq!(ids, as_target);
}

#[test]
fn edits_are_about_the_tokens_of_one_sequence_in_every_pass() {
    let decoder = dates();
    let source = "May 21, 2000";
    let plain = decoded(&decoder, source, 2);
    let with = |edits: Vec<Edit>, donors: &[&str]| {
        let fault = Fault {
            donors: donors.iter().map(|donor| (*donor).to_owned()).collect(),
            edits: edits.into_iter().map(Into::into).collect(),
        };
        let mut params = decoder.params();
        params.generation.beams = 2;
        decoder.with_fault(fault).unwrap().decode(source, &params, &())
    };
    let states = Site::hidden(attn_sdk::core::Side::Decoder, 1);
    let (heads, tokens) = (Selection::All, Selection::from([6, 30]));
    let of = |point| Site::new(Attention::DecoderSelf, 1, point);
    // Token 6 is not in the first steps, and token 30 in none.
    for edit in [
        Edit::Add {
            site: states,
            heads: heads.clone(),
            tokens: tokens.clone(),
            vector: (0..64_u8).map(|at| f32::from(at) / 32.0).collect(),
            scale: 1.0,
        },
        Edit::Mean {
            site: states,
            heads: heads.clone(),
            tokens: tokens.clone(),
            vector: vec![0.0; 64],
        },
        Edit::Noise {
            site: states,
            heads: heads.clone(),
            tokens: tokens.clone(),
            scale: 1.0,
            seed: 3,
        },
        Edit::Scale {
            site: of(Point::HeadOutput),
            heads: heads.clone(),
            tokens: tokens.clone(),
            factor: 0.0,
        },
    ] {
        let name = edit.name();
        let changed = with(vec![edit], &[]).unwrap();
        let (a, b) = (&plain.hypotheses[0].steps, &changed.hypotheses[0].steps);
        // The state of token 6, the start being token 0, predicts the token of step 6.
        let same = a.iter().zip(b).take(6).take_while(|(a, b)| a.id == b.id);
        for (a, b) in same {
            let apart = (a.model_log_probability - b.model_log_probability).abs();
            assert!(apart < 1e-5, "{name}: {apart}");
        }
        let at = |steps: &[DecodedStep]| steps.get(6).map(|step| step.model_log_probability);
        assert_ne!(at(a), at(b), "{name}");
        // What the search counts is what the pass says.
        for step in b {
            assert!(
                (step.log_probability - step.model_log_probability).abs() < 1e-3,
                "{name}"
            );
        }
    }

    // Rows of the decoder's own attention, from a run of other tokens.
    for point in [Point::Attention, Point::Scores] {
        let patch = Edit::Patch {
            site: of(point),
            heads: heads.clone(),
            tokens: tokens.clone(),
            donor: 0,
            donor_tokens: None,
        };
        let changed = with(vec![patch], &["July 14, 2011"]).unwrap();
        for step in &changed.hypotheses[0].steps {
            assert!((step.log_probability - step.model_log_probability).abs() < 1e-3);
        }
    }

    // A change of a second sequence changes nothing: there is one.
    let off = |layer| Edit::HeadMask {
        heads: Heads::all(Attention::Cross, layer),
        factor: 0.0,
    };
    let mut params = plain.params.clone();
    params.interventions = vec![off(0).in_sequences(1)];
    let same = decoder.decode(source, &params, &()).unwrap();
    let (same, own) = (&same.hypotheses[0], &plain.hypotheses[0]);
    assert!(same.row == own.row && (same.score - own.score).abs() < 1e-4);
    // One of the first is of every beam and of every copy.
    params.interventions = vec![off(0).in_sequences(0), off(1).in_sequences(0)];
    let blind = decoder.decode(source, &params, &()).unwrap();
    for step in &blind.hypotheses[0].steps {
        assert!(step.source_share.unwrap() < 1e-6);
    }

    // Errors name the edit by its place in the list.
    let cross = Edit::Patch {
        site: Site::new(Attention::Cross, 1, Point::Attention),
        heads: heads.clone(),
        tokens: Selection::All,
        donor: 0,
        donor_tokens: None,
    };
    let error = with(vec![off(0), cross], &["July 14, 2011"]).unwrap_err().to_string();
    assert!(
        error.contains("intervention 1 (patch)") && error.contains("as many as the source has"),
        "{error}"
    );
}

#[test]
fn a_word_takes_the_place_of_a_token_and_leaves_its_space() {
    let word = |text: &str| NearWord {
        token: text.to_owned(),
        text: Some(text.to_owned()),
        id: 0,
        cosine: 1.0,
    };
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let with = |token: usize, text: &str| decoder.source_with(&decoding, token, &word(text)).unwrap();
    assert_eq!(with(3, "-").as_deref(), Some("May-21, 2000"));
    assert_eq!(with(4, "1").as_deref(), Some("May 11, 2000"));
    assert_eq!(with(99, "1"), None);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marian");
    let decoder = Decoder::load(&Checkpoint::open(folder).unwrap()).unwrap();
    let source = "She sells sea shells";
    let decoding = decoder.decode(source, &decoder.params(), &()).unwrap();
    for (token, text) in decoding.source.tokens.iter().enumerate() {
        if !decoding.source.is_text(token) || text == "␣" {
            continue;
        }
        let replaced = decoder.source_with(&decoding, token, &word("X")).unwrap().unwrap();
        assert_eq!(replaced.matches(' ').count(), 3, "{replaced}");
        assert!(replaced.contains('X'));
    }
}
