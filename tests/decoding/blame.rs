//! Blame on planted faults of every kind, and on nothing.

use attn_sdk::{
    core::Rng,
    embedded,
    models::{
        Checkpoint, Site,
        intervene::{Edit, Selection},
    },
    study::decoding::{Blame, BlameKind, BlameParams, Decoder, Decoding, Fault, HeadChoice, Shift, Stage},
};

use crate::{dates, decoded, pairs, random};

/// Faults of each kind. `ATTN_FAULTS=100` plants more, which takes a quarter of an hour without optimization.
fn faults() -> usize {
    let asked = std::env::var("ATTN_FAULTS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(12)
}

/// The seed of the faults; `ATTN_FAULTS_SEED` names another, with other dates.
fn seed() -> u64 {
    let asked = std::env::var("ATTN_FAULTS_SEED").ok();
    asked.and_then(|seed| seed.parse().ok()).unwrap_or(7)
}

/// Dates from one that another seed does not begin with, again and again: each time with another fault.
fn fresh_pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all: Vec<_> = pairs().collect();
    let first = usize::try_from(seed()).unwrap().saturating_sub(7) * 61 % all.len();
    (first..first + 20 * faults().max(all.len())).map(move |at| all[at % all.len()])
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
    for (at, (source, expected)) in fresh_pairs().enumerate() {
        if all == faults() {
            break;
        }
        let mut rng = Rng::new(seed(), &[at]);
        let Some(decoder) = faulty(at, source, &mut rng) else {
            continue;
        };
        let blame = blame(&decoder, &healthy, source, expected);
        if blame.kind == BlameKind::None {
            // The fault changed nothing that matters here.
            continue;
        }
        all += 1;
        right += usize::from(blame.kind == BlameKind::Model && blame.stage == Some(stage));
        found.push((source, blame.found, blame.stage, blame.stages));
    }
    println!("{stage:?}: {right} of {all}");
    assert!(
        all == faults() && enough(right, all),
        "{right} of {all} {stage:?}: {found:#?}"
    );
}

/// 95 of 100; of a few, all but one.
fn enough(right: usize, all: usize) -> bool {
    all - right <= (all / 20).max(1)
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
            edits.extend(decoding.attention_edits(0, step, &heads, &row).ok()?);
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
    let blamed = fresh_pairs().take(3 * faults()).filter(|(source, expected)| {
        let blame = blame(&healthy, &healthy, source, expected);
        blame.kind != BlameKind::None
    });
    let (blamed, all) = (blamed.count(), 3 * faults());
    println!("nothing: {} of {all}", all - blamed);
    assert!(blamed * 20 <= all);
}

#[test]
fn a_search_of_one_beam_is_blamed_on_the_search() {
    let (mut all, mut right) = (0, 0);
    // The search misses the best output of some of them.
    for seed in (1000 * seed()..).take(60 * faults()) {
        if all == faults() {
            break;
        }
        let decoder = random(seed);
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
    println!("search: {right} of {all}");
    assert!(all == faults() && enough(right, all), "{right} of {all}");
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

#[test]
fn impossible_entries_open_again() {
    let decoder = dates();
    let mut decoding = decoded(&decoder, "May 21, 2000", 2);
    (decoding.beam[1].log_probability, decoding.beam[1].total) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    let step = &mut decoding.hypotheses[1].steps[0];
    (step.log_probability, step.top[0].log_probability) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    let saved = serde_json::to_string(&decoding).unwrap();
    assert!(saved.contains("\"total\":null"));
    assert_eq!(serde_json::from_str::<Decoding>(&saved).unwrap(), decoding);
}

#[test]
fn a_clean_run_may_have_another_length() {
    let decoder = dates();
    // The model's own error; references have other lengths.
    let run = decoded(&decoder, "June 3, 2001", 1);
    assert_eq!(run.hypotheses[0].row.text, "2001-06-30");
    let references: Vec<String> = pairs().map(|(source, _)| source.to_owned()).take(400).collect();
    let other = |source: &String| {
        decoder
            .tokenizer()
            .prompt(source, decoder.model().info())
            .unwrap()
            .len()
            != run.source.len()
    };
    let settings = BlameParams {
        references: references.into_iter().filter(other).collect(),
        ..BlameParams::default()
    };
    let blame = decoder
        .blame("June 3, 2001", "2001-06-03", &decoder.params(), &settings, &())
        .unwrap();
    assert!(blame.note.contains("Clean run: the source"), "{}", blame.note);
    // Repaired stages add up to the whole difference.
    let whole: f32 = blame.stages.iter().map(|share| share.recovered).sum();
    assert!((whole - 1.0).abs() < 1e-3, "{:?}", blame.stages);
    let sweep = blame.sweep.unwrap();
    assert!(sweep.cells.iter().all(|cell| cell.recovered.is_finite()));
    // The last state of the step is all that the prediction sees.
    let last = sweep.cells.iter().map(|cell| cell.recovered).fold(0.0, f32::max);
    assert!((last - 1.0).abs() < 0.05, "{last}");
}
