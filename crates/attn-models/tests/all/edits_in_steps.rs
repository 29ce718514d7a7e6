//! Edits that act in every step of a generation: against the reference's edited runs, and against one pass over what was
//! generated.

use std::collections::BTreeMap;

use attn_core::{Attention, Side};
use attn_models::{
    Checkpoint, Inputs, Model, Point, Result, Site, Tap,
    candle::Tensor,
    generate::{Generated, GenerationParams, Generator},
    intervene::{Edit, Heads, Intervention, Interventions, Selection},
    layout::Layout,
    record::Recorder,
};
use serde_json::Value;

use crate::{
    edits::edits,
    generation::{families, params, settings},
    support::{Tensors, difference, expected, fixture, inputs, largest, open, values},
};

/// The experiments of a fixture, by name.
fn experiments(name: &str) -> Vec<(String, Vec<Value>)> {
    let bytes = std::fs::read(fixture(name).join("expected.json")).unwrap();
    let all: Value = serde_json::from_slice(&bytes).unwrap();
    let edits = all["edits"].as_object().unwrap();
    let list = |edits: &Value| edits.as_array().unwrap().clone();
    edits.iter().map(|(name, edits)| (name.clone(), list(edits))).collect()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// An edit of the reference, whose vectors are tensors of the fixture. Vectors of another run are taken from that run where
/// `donor` says so.
fn translated(edit: &Value, expected: &Tensors, donor: bool) -> Edit {
    let attention = match (edit["stack"].as_str().unwrap(), edit["attn"].as_str()) {
        ("enc", _) => Attention::EncoderSelf,
        (_, Some("cross")) => Attention::Cross,
        _ => Attention::DecoderSelf,
    };
    let layer = number(&edit["layer"]);
    let heads = edit["head"]
        .as_u64()
        .map_or(Selection::All, |head| Selection::from(usize::try_from(head).unwrap()));
    let tokens = match edit["positions"].as_array() {
        Some(positions) => Selection::Only(positions.iter().map(number).collect()),
        None => Selection::All,
    };
    let vector = edit["value"].as_str().map(|name| values(&expected[name]));
    let residual = Site::hidden(attention.query_side(), layer);
    let output = Site::new(attention, layer, Point::HeadOutput);
    let kind = edit["kind"].as_str().unwrap();
    let site = match kind {
        "add_resid" | "patch_resid" => residual,
        "patch_mlp" => Site::mlp(attention.query_side(), layer),
        _ => output,
    };
    match kind {
        "zero_head" if tokens == Selection::All => Edit::HeadMask {
            heads: Heads::new(attention, layer, heads),
            factor: 0.0,
        },
        "zero_head" => Edit::Scale {
            site,
            heads,
            tokens,
            factor: 0.0,
        },
        "attn_row" => Edit::AttentionRow {
            heads: Heads::new(attention, layer, heads),
            query: number(&edit["position"]),
            weights: edit["row"]
                .as_array()
                .unwrap()
                .iter()
                .map(|weight| weight.as_f64().unwrap() as f32)
                .collect(),
            renormalize: false,
        },
        "add_resid" => Edit::Add {
            site,
            heads,
            tokens,
            vector: vector.unwrap(),
            scale: 1.0,
        },
        "patch_head" | "patch_resid" | "patch_mlp" if donor => {
            let source = edit["source"].as_str().unwrap();
            let last = expected["int.other.input_ids"].dim(1).unwrap() - 1;
            let token = source.rsplit(' ').next().unwrap().parse().unwrap_or(last);
            Edit::Patch {
                site,
                heads,
                tokens,
                donor: 0,
                donor_tokens: Some(vec![token]),
            }
        }
        "mean_head" | "patch_head" | "patch_resid" | "patch_mlp" => Edit::Mean {
            site,
            heads,
            tokens,
            vector: vector.unwrap(),
        },
        other => panic!("{other}"),
    }
}

/// Settings as the reference had them.
fn edited_params(name: &str) -> GenerationParams {
    match name {
        "gpt2-edit" => GenerationParams {
            max_new_tokens: Some(12),
            end: vec![0],
            ..GenerationParams::default()
        },
        _ => GenerationParams {
            max_length: Some(16),
            end: vec![0],
            decoder_start: Some(149),
            forbidden: vec![vec![149]],
            ..GenerationParams::default()
        },
    }
}

/// Sequences up to the first end, with the prompt.
fn wanted(expected: &Tensors, key: &str, prompt: usize, end: u32) -> Vec<Vec<u32>> {
    let rows: Vec<Vec<i64>> = expected[key].to_vec2().unwrap();
    rows.into_iter()
        .map(|row| {
            let row: Vec<u32> = row.into_iter().map(|id| u32::try_from(id).unwrap()).collect();
            let length = row[prompt..].iter().position(|&id| id == end);
            row[..length.map_or(row.len(), |at| prompt + at + 1)].to_vec()
        })
        .collect()
}

fn whole(generated: &Generated) -> Vec<Vec<u32>> {
    let all = generated.hypotheses.iter();
    all.map(|hypothesis| [generated.prompt.as_slice(), &hypothesis.tokens].concat())
        .collect()
}

#[test]
fn edited_runs_are_the_references() {
    for (name, model, prompt) in [
        ("gpt2-edit", "gpt2", "int.prompt"),
        ("marian-edit", "marian", "int.in.input_ids"),
    ] {
        let (model, expected) = (Model::load(&open(model)).unwrap(), expected(name));
        let start = Inputs {
            input_ids: Some(expected[prompt].clone()),
            ..Inputs::default()
        };
        let greedy = edited_params(name);
        let length = match name {
            "gpt2-edit" => expected[prompt].dim(1).unwrap(),
            _ => 1,
        };
        let run = |case: &str| Inputs {
            input_ids: expected.get(&format!("int.{case}.input_ids")).cloned(),
            decoder_input_ids: expected.get(&format!("int.{case}.decoder_input_ids")).cloned(),
            ..Inputs::default()
        };
        for (key, list) in experiments(name) {
            for donor in [false, true] {
                let edits = list.iter().map(|edit| translated(edit, &expected, donor).into());
                let tap = Interventions::new(model.info(), edits.collect::<Vec<Intervention>>()).unwrap();
                if donor && tap.donor_points().is_empty() {
                    continue;
                }
                let mut other = Recorder::of(&tap.donor_points());
                model.forward(&run("other"), &mut other).unwrap();
                let mut tap = tap.with_donor(other);
                let place = format!("{name} {key}");
                let found = model.forward(&run("in"), &mut tap).unwrap().logits.unwrap();
                let gap = difference(&found, &expected[&format!("int.{key}.logits")], None);
                assert!(gap < 5e-4, "{place}: {gap}");
                for (tag, beams, cache) in [("greedy", 1, true), ("beam4", 4, true), ("beam4", 4, false)] {
                    let params = GenerationParams {
                        beams,
                        cache,
                        ..greedy.clone()
                    };
                    let generator = Generator::new(&model, &params).unwrap();
                    let found = &generator.run(&start, &mut tap, &()).unwrap()[0];
                    let wanted = wanted(&expected, &format!("int.{key}.{tag}"), length, 0);
                    assert_eq!(whole(found), wanted, "{place} {tag}");
                    if beams > 1 {
                        let scores = values(&expected[&format!("int.{key}.beam4_scores")]);
                        for (hypothesis, score) in found.hypotheses.iter().zip(scores) {
                            assert!((hypothesis.score - score).abs() < 1e-4, "{place} {tag}");
                        }
                    }
                }
            }
        }
    }
}

/// In a batch of prompts of other lengths, padded on the left, an edit of one sequence is an edit of that one.
#[test]
fn sequences_of_an_edit_are_those_that_were_given() {
    let (model, expected) = (Model::load(&open("gpt2")).unwrap(), expected("gpt2-edit"));
    let own: Vec<Vec<u32>> = wanted(&expected, "int.prompt", 0, u32::MAX);
    let prompts = [
        vec![33, 84, 84, 269],
        own[0].clone(),
        (40..50).collect(),
        own[0].clone(),
    ];
    let longest = prompts.iter().map(Vec::len).max().unwrap();
    let padded = |value: &dyn Fn(Option<u32>) -> u32| {
        let row = |prompt: &Vec<u32>| {
            let padding = longest - prompt.len();
            (0..longest)
                .map(|at| value(at.checked_sub(padding).map(|at| prompt[at])))
                .collect::<Vec<u32>>()
        };
        Inputs::from_ids(&prompts.iter().map(row).collect::<Vec<_>>(), 0)
            .unwrap()
            .input_ids
    };
    let batch = Inputs {
        input_ids: padded(&|id| id.unwrap_or(0)),
        attention_mask: padded(&|id| u32::from(id.is_some())),
        ..Inputs::default()
    };
    for (key, list) in experiments("gpt2-edit") {
        for (beams, tag) in [(1, "greedy"), (4, "beam4")] {
            let params = GenerationParams {
                beams,
                ..edited_params("gpt2-edit")
            };
            let generator = Generator::new(&model, &params).unwrap();
            let edited = list
                .iter()
                .map(|edit| translated(edit, &expected, false).in_sequences(3));
            let found = generator.run(&batch, &mut edits(&model, edited), &()).unwrap();
            let plain = generator.run(&batch, &mut (), &()).unwrap();
            assert_eq!(
                whole(&found[3]),
                wanted(&expected, &format!("int.{key}.{tag}"), 10, 0),
                "{key}"
            );
            assert_eq!(
                whole(&found[1]),
                wanted(&expected, &format!("int.base.{tag}"), 10, 0),
                "{key}"
            );
            for other in [0, 1, 2] {
                assert_eq!(whole(&found[other]), whole(&plain[other]), "{key}");
            }
        }
    }
}

/// Keeps what every step saw, and which rows and columns it was.
#[derive(Default)]
struct Steps {
    layout: Option<Layout>,
    seen: Vec<(Site, Layout, Tensor)>,
}

const POINTS: [Point; 9] = [
    Point::Embedding,
    Point::Query,
    Point::Key,
    Point::Value,
    Point::Attention,
    Point::HeadOutput,
    Point::AttentionOutput,
    Point::Mlp,
    Point::Hidden,
];

impl Tap for Steps {
    fn wants(&self, site: Site) -> bool {
        POINTS.contains(&site.point)
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.layout = Some(layout.clone());
        Ok(())
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        self.seen.push((site, self.layout.clone().unwrap(), tensor.clone()));
        Ok(tensor)
    }
}

/// Edits of everything that steps can get wrong: tokens of the prompt and later ones, single heads, all attentions.
fn everywhere(model: &Model, prompt: usize) -> Vec<Intervention> {
    let info = model.info();
    let mut list: Vec<Edit> = Vec::new();
    for own in &info.attentions {
        let (attention, width) = (own.attention, own.head_dim);
        let heads = |layer, heads: &[usize]| Heads::new(attention, layer, heads.to_vec());
        let tokens = match attention {
            Attention::EncoderSelf => Selection::from([0, 2]),
            _ => Selection::from([0, prompt - 1, prompt + 1, prompt + 40]),
        };
        list.extend([
            Edit::HeadMask {
                heads: heads(0, &[1]),
                factor: 0.25,
            },
            Edit::AttentionFactor {
                heads: heads(0, &[0, 2]),
                queries: tokens.clone(),
                keys: 0.into(),
                factor: 0.5,
                renormalize: true,
            },
            Edit::AttentionRow {
                heads: heads(1, &[3]),
                query: if attention == Attention::EncoderSelf { 1 } else { prompt },
                weights: vec![0.75, 0.25],
                renormalize: false,
            },
            Edit::Scale {
                site: Site::new(attention, 1, Point::Value),
                heads: 0.into(),
                tokens: if attention == Attention::Cross {
                    2.into()
                } else {
                    tokens.clone()
                },
                factor: -0.5,
            },
            Edit::Noise {
                site: Site::new(attention, 0, Point::HeadOutput),
                heads: 2.into(),
                tokens: tokens.clone(),
                scale: 0.2,
                seed: 3,
            },
            Edit::Add {
                site: Site::new(attention, 1, Point::Query),
                heads: Selection::from([1, 3]),
                tokens: Selection::All,
                vector: (0..2 * width).map(|i| (i as f32).sin()).collect(),
                scale: 0.3,
            },
            Edit::Mean {
                site: Site::new(attention, 1, Point::HeadOutput),
                heads: 2.into(),
                tokens,
                vector: (0..width).map(|i| (i as f32).cos()).collect(),
            },
        ]);
        if attention != Attention::EncoderSelf {
            list.push(Edit::KnockOut {
                heads: heads(1, &[0, 1]),
                queries: Selection::from(2..60),
                keys: 1.into(),
            });
            list.push(Edit::KnockOutEdges {
                heads: heads(0, &[3]),
                edges: vec![[prompt + 1, 0], [prompt + 2, 1], [prompt + 50, 0]],
            });
        }
    }
    list.push(Edit::Noise {
        site: Site::hidden(Side::Decoder, 1),
        heads: Selection::All,
        tokens: Selection::All,
        scale: 0.05,
        seed: 1,
    });
    list.into_iter().map(Intervention::from).collect()
}

/// The part of a tensor that is about one row: `[tokens, ..]` with the tokens along its first axis.
fn tokens_first(site: Site, tensor: &Tensor, row: usize) -> Tensor {
    let one = tensor.get(row).unwrap();
    match site.point {
        Point::Query | Point::Key | Point::Value | Point::Attention => one.transpose(0, 1).unwrap(),
        _ => one,
    }
}

/// Fixtures that write and have no runs of the reference.
const WITHOUT_RUNS: [&str; 1] = ["pegasus"];

/// Every fixture that writes text of text.
fn writing() -> Vec<String> {
    families().into_iter().chain(WITHOUT_RUNS.map(str::to_owned)).collect()
}

/// What a fixture is given to go on, and how it writes.
fn run_of(name: &str, checkpoint: &Checkpoint) -> (Inputs, GenerationParams) {
    if WITHOUT_RUNS.contains(&name) {
        let read = GenerationParams::read(checkpoint).unwrap();
        let params = GenerationParams {
            max_new_tokens: Some(9),
            decoder_start: read.decoder_start,
            ..GenerationParams::default()
        };
        return (Inputs::from_ids(&[vec![5, 60, 7, 80, 9, 33]], 0).unwrap(), params);
    }
    let greedy = match name {
        // Its prefix is forced, and some tokens are suppressed.
        "whisper" => GenerationParams::read(checkpoint).unwrap(),
        _ => params(&settings(name).unwrap()["greedy"]),
    };
    (inputs(&expected(name), "gen.greedy"), greedy)
}

/// A window of attention and every scaling of rotations, whose checkpoints have two heads: each step of the cache says what one pass
/// says, without a head.
#[test]
fn steps_with_windows_and_scaled_rotations_are_one_pass() {
    for name in [
        "gpt2-scaled",
        "llama-dynamic",
        "llama-linear",
        "llama-llama3",
        "llama-yarn",
        "mistral",
    ] {
        let model = Model::load(&open(name)).unwrap();
        let heads = Heads::new(Attention::DecoderSelf, 1, Selection::from(1));
        let mut without = Interventions::new(model.info(), [Edit::HeadMask { heads, factor: 0.0 }.into()]).unwrap();
        let params = GenerationParams {
            max_new_tokens: Some(9),
            ..GenerationParams::default()
        };
        let generator = Generator::new(&model, &params).unwrap();
        let start = Inputs::from_ids(&[vec![5, 20, 7, 30, 9, 33]], 0).unwrap();
        let written = &generator.run(&start, &mut without, &()).unwrap()[0].hypotheses[0];
        let read = generator
            .teacher_forced(&start, 0, &written.tokens, &mut without)
            .unwrap();
        assert_eq!(written.tokens.len(), 9, "{name}");
        for (step, pass) in written.log_probabilities.iter().zip(read.text()) {
            assert!((step - pass).abs() < 1e-4, "{name}: {step} and {pass}");
        }
        let whole = generator.teacher_forced(&start, 0, &written.tokens, &mut ()).unwrap();
        let moved = whole
            .text()
            .iter()
            .zip(read.text())
            .any(|(whole, without)| (whole - without).abs() > 1e-3);
        assert!(moved, "{name}: the edit does nothing");
    }
}

/// What was generated under edits is what one pass over it says under the same edits: probabilities, attention, states.
#[test]
fn a_generation_is_one_pass_over_its_text() {
    for name in writing().into_iter().chain(["whisper".to_owned()]) {
        let checkpoint = open(&name);
        let model = Model::load(&checkpoint).unwrap();
        let (start, greedy) = run_of(&name, &checkpoint);
        let translates = model.info().attention(Attention::Cross).is_some();
        let first = |ids: &Option<Tensor>| ids.as_ref().map(|ids| ids.narrow(0, 0, 1).unwrap());
        let start = Inputs {
            input_ids: first(&start.input_ids),
            attention_mask: first(&start.attention_mask),
            input_features: first(&start.input_features),
            ..Inputs::default()
        };
        let prompt = if translates {
            1
        } else {
            start.input_ids.as_ref().unwrap().dim(1).unwrap()
        };
        let removed = [Side::Encoder, Side::Decoder]
            .map(|side| Edit::RemovePositions { side })
            .into_iter()
            .filter_map(|edit| Interventions::new(model.info(), [edit.into()]).ok())
            .flat_map(|tap| tap.list().to_vec());
        let shuffled = Edit::ShufflePositions {
            side: if translates { Side::Encoder } else { Side::Decoder },
            order: vec![2, 0, 1],
        };
        // Rows of attention from another run reach back no further than the tokens that they are put at.
        let decoder = |layer, point| Site::new(Attention::DecoderSelf, layer, point);
        let patch = |site, heads: Selection, tokens: [usize; 2]| Edit::Patch {
            site,
            heads,
            tokens: tokens.into(),
            donor: 0,
            donor_tokens: Some(vec![1, 2]),
        };
        let patches = [
            patch(decoder(0, Point::HeadOutput), [1, 2].into(), [0, prompt + 1]),
            patch(decoder(1, Point::Attention), 0.into(), [prompt, prompt + 1]),
        ];
        let other = Inputs::from_ids(&[vec![2, 21, 22, 23, 24, 25]], 0).unwrap();
        let other = match (translates, &start.input_features) {
            (true, Some(features)) => Inputs {
                decoder_input_ids: other.input_ids,
                ..Inputs::from_features((features * 0.5).unwrap())
            },
            (true, None) => Inputs {
                decoder_input_ids: other.input_ids.clone(),
                ..other
            },
            (false, _) => other,
        };
        let mut donor = Recorder::of(&[Point::HeadOutput, Point::Attention]);
        model.forward(&other, &mut donor).unwrap();
        let tap = |list: &[Intervention]| edits(&model, list.to_vec()).with_donor(donor.clone());
        for (what, list) in [
            ("no edits", Vec::new()),
            ("patches", patches.map(Intervention::from).to_vec()),
            ("edits", everywhere(&model, prompt)),
            ("no positions", removed.collect()),
            ("shuffled positions", vec![shuffled.into()]),
        ] {
            // Where positions are a slope per key, no token has one of its own.
            let refused = model.forward(&other, &mut tap(&list)).is_err();
            if what == "shuffled positions" && refused {
                continue;
            }
            for beams in [1, 3] {
                let params = GenerationParams {
                    beams,
                    forced_end: None,
                    ..greedy.clone()
                };
                let generator = Generator::new(&model, &params).unwrap();
                let mut both = (tap(&list), Steps::default());
                let found = generator.run(&start, &mut both, &()).unwrap();
                let steps = both.1.seen;
                for hypothesis in &found[0].hypotheses {
                    let place = format!("{name}, {what}, {beams} beams");
                    let mut read = (tap(&list), Recorder::of(&POINTS));
                    let text = generator
                        .teacher_forced(&start, 0, &hypothesis.tokens, &mut read)
                        .unwrap();
                    for (own, written) in text.text().iter().zip(&hypothesis.log_probabilities) {
                        assert!(
                            *written == 0.0 || (own - written).abs() < 1e-4,
                            "{place}: {own} {written}"
                        );
                    }
                    // The row of the hypothesis in each step, and the first of its tokens that the step computed.
                    let mut counts: BTreeMap<Site, usize> = BTreeMap::new();
                    for (site, layout, step) in &steps {
                        let at = counts.entry(*site).or_default();
                        let number = *at;
                        *at += 1;
                        let Some(&row) = hypothesis.beams.get(number) else {
                            continue;
                        };
                        let at_once = tokens_first(*site, &read.1.tensors[site], 0);
                        let step = tokens_first(*site, step, row.min(step.dim(0).unwrap() - 1));
                        let side = match site.point {
                            Point::Key | Point::Value => site.attention.key_side(),
                            _ => site.side(),
                        };
                        let first = layout.first(side);
                        let mut wanted = at_once.narrow(0, first, step.dim(0).unwrap()).unwrap();
                        if site.point == Point::Attention {
                            let keys = step.dim(2).unwrap();
                            wanted = wanted.narrow(2, 0, keys).unwrap();
                        }
                        let allowed = match site.point {
                            Point::Attention => 1e-5,
                            _ => 2e-4 * largest(&at_once).max(1e-3),
                        };
                        let gap = difference(&step, &wanted, None);
                        assert!(gap < allowed, "{place}: {site}, step {number}: {gap}");
                    }
                }
            }
        }
    }
}

/// In a padded batch an edited sequence is written as one pass over it alone, without padding, says under the same edits.
#[test]
fn a_padded_generation_is_one_pass_over_its_text_alone() {
    for name in writing() {
        let checkpoint = open(&name);
        let model = Model::load(&checkpoint).unwrap();
        let (given, greedy) = run_of(&name, &checkpoint);
        let translates = model.info().attention(Attention::Cross).is_some();
        let ids: Vec<u32> = values(&given.input_ids.unwrap().get(0).unwrap())
            .iter()
            .map(|&id| id as u32)
            .collect();
        let real = given.attention_mask.map(|mask| values(&mask.get(0).unwrap()));
        let own: Vec<u32> = ids
            .into_iter()
            .enumerate()
            .filter(|(at, _)| real.as_ref().is_none_or(|real| real[*at] != 0.0))
            .map(|(_, id)| id)
            .collect();
        let longer: Vec<u32> = own.iter().chain(&own[own.len().saturating_sub(3)..]).copied().collect();
        let padding = longer.len() - own.len();
        let filled = |row: &[u32], fill: u32| {
            let fill = vec![fill; padding];
            // Sources are filled up behind, texts that are continued before.
            if translates {
                [row, &fill].concat()
            } else {
                [&fill, row].concat()
            }
        };
        let rows = |rows: &[Vec<u32>]| Inputs::from_ids(rows, 0).unwrap().input_ids;
        let batch = Inputs {
            input_ids: rows(&[filled(&own, 1), longer.clone()]),
            attention_mask: rows(&[filled(&vec![1; own.len()], 0), vec![1; longer.len()]]),
            ..Inputs::default()
        };
        let alone = Inputs::from_ids(std::slice::from_ref(&own), 0).unwrap();
        let prompt = if translates { 1 } else { own.len() };
        let list: Vec<Intervention> = everywhere(&model, prompt)
            .into_iter()
            .map(|own| own.edit.in_sequences(0))
            .collect();
        for beams in [1, 3] {
            let params = GenerationParams {
                beams,
                forced_end: None,
                ..greedy.clone()
            };
            let generator = Generator::new(&model, &params).unwrap();
            let found = generator.run(&batch, &mut edits(&model, list.clone()), &()).unwrap();
            for hypothesis in &found[0].hypotheses {
                let mut tap = edits(&model, list.clone());
                let text = generator
                    .teacher_forced(&alone, 0, &hypothesis.tokens, &mut tap)
                    .unwrap();
                for (own, written) in text.text().iter().zip(&hypothesis.log_probabilities) {
                    assert!(
                        *written == 0.0 || (own - written).abs() < 1e-4,
                        "{name}, {beams} beams: {own} {written}"
                    );
                }
            }
        }
    }
}
