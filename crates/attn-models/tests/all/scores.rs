//! Scores that are more than products: soft cap, sinks, ALiBi and vectors of relative offsets, against closed forms; inside the
//! model, in captures, and under edits and gradients.

use attn_core::{
    Attention, HeadId, ModelInfo, Sequence, Side, Token,
    model::{Mask, Positions},
    scores::{Alibi, RelativeVectors},
};
use attn_models::{
    Capturer, Error, Gradients, Inputs, Model, Point, Result, Site, Weights,
    attribute::{Target, propagate_relevance},
    blocks::{
        Embedding, HeadShape, Linear, MultiHead, OffsetBias, OffsetMaps, Pass, Qkv, ScoreTerms, Sinks, additive_mask,
    },
    candle::Tensor,
    families::{Config, Families, Network},
    intervene::{Edit, Heads, Interventions, Selection},
    model::Output,
    record::Recorder,
};
use serde_json::{Value, json};

use crate::{
    by_hand::{Loud, dot, ids, make_loud, rows},
    support::values,
};

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const WIDTH: usize = 3;
const HIDDEN: usize = 6;
const VECTORS: RelativeVectors = RelativeVectors {
    buckets: 8,
    exact: 2,
    max_distance: 6,
    keys: true,
    queries: true,
};

/// One layer of attention with everything that scores can have.
struct Network1 {
    info: ModelInfo,
    words: Embedding,
    layer: MultiHead,
    mask: Mask,
    offsets: Option<OffsetBias>,
    table: Option<Tensor>,
    head: Linear,
}

fn build(config: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let linear = |name: &str, outputs| Linear::load(&weights.at(name), HIDDEN, outputs, true);
    let mut terms = ScoreTerms::default();
    if config.get("cap").is_some() {
        terms.soft_cap = Some(config.positive_or("cap", 1.0)?);
    }
    if config.flag_or("sinks", false)? {
        terms.sinks = Some(Sinks::load(&weights.at("attention"), "sinks", HEADS)?);
    }
    let vectors = config.flag_or("vectors", false)?;
    if vectors {
        terms.offsets = Some(OffsetMaps {
            facts: VECTORS,
            key: Some(linear("k_offset", KV_HEADS * WIDTH)?),
            query: Some(linear("q_offset", HEADS * WIDTH)?),
        });
    }
    let alibi = config.text("alibi")?;
    let offsets = alibi.map(|kind| {
        let alibi = match kind {
            "rounded" => Alibi {
                factor: 0.5,
                rounded: true,
                ..Alibi::of_heads(HEADS)
            },
            _ => Alibi::of_heads(HEADS),
        };
        OffsetBias::alibi(alibi, weights.device())
    });
    let mask = match config.text("mask")? {
        Some("local") => Mask::Local { width: 2 },
        Some("full") => Mask::Full,
        _ => Mask::Causal,
    };
    let layer = MultiHead {
        attention: Attention::DecoderSelf,
        layer: 0,
        shape: HeadShape {
            heads: HEADS,
            kv_heads: KV_HEADS,
            head_dim: WIDTH,
        },
        scale: 0.7,
        qkv: Qkv::Separate {
            query: linear("q", HEADS * WIDTH)?,
            key: linear("k", KV_HEADS * WIDTH)?,
            value: linear("v", KV_HEADS * WIDTH)?,
        },
        norms: None,
        output: Linear::load(&weights.at("o"), HEADS * WIDTH, HIDDEN, true)?,
        terms,
    };
    let mut info = MultiHead::info([(&layer, mask)]).unwrap();
    if let Some(offsets) = &offsets {
        offsets.enter(&mut info);
    }
    Ok(Box::new(Network1 {
        info: ModelInfo {
            vocab_size: Some(20),
            positions: match (vectors, alibi) {
                (true, _) => Positions::RelativeVectors,
                (_, Some(_)) => Positions::Alibi,
                _ => Positions::None,
            },
            ..ModelInfo::new(name, "scores", HIDDEN).with_attention(info)
        },
        words: Embedding::load(&weights.at("words"), 20, HIDDEN)?,
        layer,
        mask,
        offsets,
        table: match vectors {
            true => Some(weights.get("offsets", [VECTORS.buckets, HIDDEN])?.unsqueeze(0)?),
            false => None,
        },
        head: linear("head", 20)?,
    }))
}

impl Network for Network1 {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        let side = Side::Decoder;
        let device = self.words.table().device();
        let tokens = inputs.tokens(20, None, device)?;
        let padding = tokens.padding.as_ref();
        let count = tokens.tokens;
        let x = pass.tap(Site::embedding(side), self.words.forward(&tokens.ids)?)?;
        let x = pass.tap(Site::hidden(side, 0), x)?;
        let mask = additive_mask(self.mask, padding, count, count, device)?;
        let bias = match &self.offsets {
            Some(offsets) => Some(offsets.bias(side, (0, count), padding, mask, pass)?),
            None => mask,
        };
        let attended = match &self.table {
            Some(table) => {
                let table = pass.tap(Site::positions(side), table.clone())?;
                self.layer.forward_relative(&x, bias.as_ref(), &table, pass)?
            }
            None => self.layer.forward(&x, &x, bias.as_ref(), None, pass)?,
        };
        let x = pass.tap(Site::hidden(side, 1), (attended + x)?)?;
        Ok(Output {
            logits: Some(self.head.forward(&x, pass)?),
            last_hidden: x,
            pooled: None,
        })
    }

    fn attention_block(&self, _: Attention, layer: usize) -> Option<&MultiHead> {
        (layer == 0).then_some(&self.layer)
    }
}

fn model(options: Value, gradients: Gradients) -> Loud {
    let mut config = json!({"model_type": "scores"});
    config
        .as_object_mut()
        .unwrap()
        .extend(options.as_object().unwrap().clone());
    let weights = Weights::initialize(5);
    let families = Families::none().with("scores", build);
    // The facts are read off the weights: what is loud before counts.
    families
        .model("scores", &config.to_string(), &weights, gradients)
        .unwrap();
    make_loud(&weights);
    let model = families
        .model("scores", &config.to_string(), &weights, gradients)
        .unwrap();
    Loud {
        model,
        variables: weights.variables(),
    }
}

const OPTIONS: [&str; 8] = [
    r#"{"cap": 0.8}"#,
    r#"{"sinks": true, "mask": "local"}"#,
    r#"{"alibi": "plain"}"#,
    r#"{"alibi": "rounded", "sinks": true}"#,
    r#"{"alibi": "plain", "mask": "full", "cap": 2.0}"#,
    r#"{"vectors": true, "mask": "full"}"#,
    r#"{"vectors": true, "cap": 1.5, "sinks": true}"#,
    r#"{"vectors": true, "alibi": "plain", "mask": "local"}"#,
];

fn options(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What the definition makes of recorded queries and keys of the only sequence: `[head][query][key]`.
fn by_hand(loud: &Loud, options: &Value, recorder: &Recorder) -> Vec<Vec<Vec<f64>>> {
    let at = |point| rows(&recorder.tensors[&Site::new(Attention::DecoderSelf, 0, point)]);
    let (queries, keys) = (at(Point::Query), at(Point::Key));
    let tokens = queries.len() / HEADS;
    let sinks = options["sinks"].as_bool().map(|_| loud.vector("attention.sinks"));
    let vectors = options["vectors"].as_bool().map(|_| rows(loud.variable("offsets")));
    let of_head = |head: usize| {
        let group = head / (HEADS / KV_HEADS);
        let score = |query: usize, key: usize| {
            let (q, k) = (&queries[head * tokens + query], &keys[group * tokens + key]);
            let mut score = 0.7 * dot(q, k);
            if let Some(cap) = options["cap"].as_f64() {
                score = cap * (score / cap).tanh();
            }
            let slope = 2_f64.powi(-2 * (head as i32 + 1));
            let distance = query.abs_diff(key) as f64;
            score -= match options["alibi"].as_str() {
                // These slopes times these positions are exact in 8 bits.
                Some("rounded") => 0.5 * slope * distance,
                Some(_) => slope * distance,
                None => 0.0,
            };
            if let Some(table) = &vectors {
                let distance = query.abs_diff(key);
                // Beyond 2: 2 + ceil(ln(d / 2) / ln(5 / 2)), which is 3 up to 5 and 4 above.
                let steps = match distance {
                    0..=2 => distance,
                    3..=5 => 3,
                    _ => 4,
                };
                let row = if query < key { 4 - steps } else { (4 + steps).min(7) };
                let part = |name: &str, head: usize| loud.affine(name, &table[row])[head * WIDTH..][..WIDTH].to_vec();
                score += 0.7 * (dot(q, &part("k_offset", group)) + dot(k, &part("q_offset", head)));
            }
            score
        };
        let row = |query: usize| {
            let visible = |key: usize| match options["mask"].as_str() {
                Some("full") => true,
                Some(_) => query.abs_diff(key) <= 2,
                None => key <= query,
            };
            let powers: Vec<f64> = (0..tokens)
                .map(|key| if visible(key) { score(query, key).exp() } else { 0.0 })
                .collect();
            let whole = powers.iter().sum::<f64>() + sinks.as_ref().map_or(0.0, |sinks| sinks[head].exp());
            powers.into_iter().map(|power| power / whole).collect()
        };
        (0..tokens).map(row).collect()
    };
    (0..HEADS).map(of_head).collect()
}

const TOKENS: [u32; 9] = [3, 7, 7, 1, 19, 0, 4, 12, 5];

fn recorded(model: &Model, sequences: &[&[u32]]) -> Recorder {
    let mut recorder = Recorder::of(&[Point::Query, Point::Key, Point::Attention]);
    model.forward(&ids(sequences), &mut recorder).unwrap();
    recorder
}

#[test]
fn attention_follows_the_definition_with_and_without_gradients() {
    for text in OPTIONS {
        let options = options(text);
        for gradients in [Gradients::Off, Gradients::On] {
            let loud = model(options.clone(), gradients);
            let recorder = recorded(&loud.model, &[&TOKENS]);
            let expected = by_hand(&loud, &options, &recorder).concat();
            let found = rows(&recorder.tensors[&Site::new(Attention::DecoderSelf, 0, Point::Attention)]);
            for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
                for (found, expected) in found.iter().zip(expected) {
                    assert!(
                        (found - expected).abs() < 2e-6,
                        "{text} {row}: {found} against {expected}"
                    );
                }
            }
        }
    }
}

/// The fused kernel and the composed operations, and a batch that pads on either side.
#[test]
fn kernels_and_padding_change_nothing() {
    for text in OPTIONS {
        let fused = model(options(text), Gradients::Off).model;
        let composed = model(options(text), Gradients::On).model;
        let alone = fused.forward(&ids(&[&TOKENS[..4]]), &mut ()).unwrap().last_hidden;
        let other = composed.forward(&ids(&[&TOKENS[..4]]), &mut ()).unwrap().last_hidden;
        let near = |a: &Tensor, b: &Tensor| {
            let pairs = values(a).into_iter().zip(values(b));
            assert!(
                pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5),
                "{text}: {:?}",
                pairs.collect::<Vec<_>>()
            );
        };
        near(&alone, &other);
        for left in [false, true] {
            let mut row = TOKENS[..4].to_vec();
            let mut real = [1_u32; 6];
            for _ in 0..2 {
                let at = if left { 0 } else { row.len() };
                row.insert(at, 9);
            }
            (0..2).for_each(|at| real[if left { at } else { 4 + at }] = 0);
            let mut inputs = ids(&[&row]);
            inputs.attention_mask = Some(Tensor::new(&[real], fused.device()).unwrap());
            let padded = fused.forward(&inputs, &mut ()).unwrap().last_hidden;
            near(&alone, &padded.narrow(1, if left { 2 } else { 0 }, 4).unwrap());
        }
    }
}

fn sequence(name: &str, tokens: &[u32]) -> Sequence {
    let token = |(position, &id): (usize, &u32)| Token {
        id: Some(id),
        position,
        ..Token::new("x")
    };
    Sequence {
        decoder: tokens.iter().enumerate().map(token).collect(),
        ..Sequence::new(name)
    }
}

#[test]
fn captures_give_the_same_attention_and_survive_an_interruption() {
    for text in OPTIONS {
        let loud = model(options(text), Gradients::Off);
        let capturer = Capturer::new(model(options(text), Gradients::Off).model);
        let sequences = || [sequence("a", &TOKENS), sequence("b", &TOKENS[3..]), sequence("c", &[2])];
        let folder = tempfile::tempdir().unwrap();
        let outcome = capturer.sequences(sequences()).to_folder(folder.path()).run().unwrap();
        let captured = [outcome.capture, attn_core::Capture::open(folder.path()).unwrap()];
        for capture in &captured {
            for (at, tokens) in [&TOKENS[..], &TOKENS[3..], &[2]].into_iter().enumerate() {
                let recorder = recorded(&loud.model, &[tokens]);
                let own = rows(&recorder.tensors[&Site::new(Attention::DecoderSelf, 0, Point::Attention)]);
                for head in 0..HEADS {
                    let found = capture
                        .attention(HeadId::new(Attention::DecoderSelf, 0, head), at)
                        .unwrap();
                    for (row, found) in found.rows().into_iter().enumerate() {
                        for (found, own) in found.iter().zip(&own[head * tokens.len() + row]) {
                            assert!((f64::from(*found) - own).abs() < 1e-6, "{text} {at} {head} {row}");
                        }
                    }
                }
            }
            capture.verify(&()).unwrap();
        }
        let written = std::fs::read_to_string(folder.path().join("capture.json")).unwrap();
        assert!(written.contains(r#""version":2"#), "{text}");
    }
}

#[test]
fn edits_of_scores_heed_sinks_and_positions_can_be_removed() {
    let side = Side::Decoder;
    for text in OPTIONS {
        let loud = model(options(text), Gradients::Off);
        let info = loud.model.info().clone();
        let site = Site::new(Attention::DecoderSelf, 0, Point::Attention);
        let attention = |edit: Edit| {
            let changes = Interventions::new(&info, vec![edit.into()]).unwrap();
            let mut recorder = Recorder::of(&[Point::Attention]);
            loud.model
                .forward(&ids(&[&TOKENS]), &mut (changes, &mut recorder))
                .unwrap();
            rows(&recorder.tensors[&site])
        };
        // Without a key the others share what it had, and the sink has a share of it.
        let plain = rows(&recorded(&loud.model, &[&TOKENS]).tensors[&site]);
        let knocked = attention(Edit::KnockOut {
            heads: Heads::all(Attention::DecoderSelf, 0),
            queries: Selection::Only(vec![4]),
            keys: Selection::Only(vec![3]),
        });
        let (before, after) = (&plain[4], &knocked[4]);
        for key in 0..TOKENS.len() {
            let expected = if key == 3 { 0.0 } else { before[key] / (1.0 - before[3]) };
            assert!((after[key] - expected).abs() < 1e-6, "{text} {key}");
        }
        if info.positions == Positions::None {
            continue;
        }
        // Without positions the order of earlier tokens does not matter to the last.
        let last = |tokens: &[u32]| {
            let changes = Interventions::new(&info, vec![Edit::RemovePositions { side }.into()]).unwrap();
            let output = loud.model.forward(&ids(&[tokens]), &mut { changes }).unwrap();
            rows(&output.last_hidden)[2].clone()
        };
        let (one, other) = (last(&[1, 2, 3]), last(&[2, 1, 3]));
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-6), "{text}");
        let removed = Capturer::new(model(options(text), Gradients::Off).model)
            .with_interventions(vec![Edit::RemovePositions { side }.into()]);
        let capture = removed.sequences([sequence("a", &TOKENS)]).run().unwrap().capture;
        let own = attention(Edit::RemovePositions { side });
        for head in 0..HEADS {
            let found = capture
                .attention(HeadId::new(Attention::DecoderSelf, 0, head), 0)
                .unwrap();
            for (found, own) in found.iter().zip(own[head * TOKENS.len()..].iter().flatten()) {
                assert!((f64::from(*found) - own).abs() < 1e-6, "{text}: {found} against {own}");
            }
        }
        if info.positions == Positions::RelativeVectors {
            let shuffle = Edit::ShufflePositions {
                side,
                order: vec![1, 0],
            };
            let refused = Interventions::new(&info, vec![shuffle.into()]);
            assert!(matches!(refused, Err(Error::Intervention { .. })));
        }
        let shuffled = Capturer::new(model(options(text), Gradients::Off).model).with_shuffled_positions(1);
        let refused = shuffled.sequences([sequence("a", &TOKENS)]).run();
        assert!(matches!(refused, Err(Error::Intervention { .. })), "{text}");
    }
}

#[test]
fn gradients_are_those_of_differences_and_relevance_is_conserved() {
    for text in OPTIONS {
        let loud = model(options(text), Gradients::On);
        let weights = (0..20 * TOKENS.len())
            .map(|at| (at as f32 * 0.61).cos())
            .collect::<Vec<_>>();
        let weights = Tensor::from_vec(weights, (1, TOKENS.len(), 20), loud.model.device()).unwrap();
        let loss = || {
            let logits = loud.model.forward(&ids(&[&TOKENS]), &mut ()).unwrap().logits.unwrap();
            (logits * &weights).unwrap().sum_all().unwrap()
        };
        let gradients = loss().backward().unwrap();
        for name in [
            "q.weight",
            "k.bias",
            "attention.sinks",
            "offsets",
            "k_offset.weight",
            "q_offset.bias",
        ] {
            let Some(variable) = loud.variables.get(name) else {
                continue;
            };
            let original = variable.as_tensor().copy().unwrap();
            let gradient = gradients.get(variable).map(values).unwrap_or_default();
            let at = 1;
            let shifted = |by: f32| {
                let mut numbers = values(&original);
                numbers[at] += by;
                let moved = Tensor::from_vec(numbers, original.shape(), original.device()).unwrap();
                variable.set(&moved).unwrap();
                f64::from(loss().to_scalar::<f32>().unwrap())
            };
            let step = 2e-2;
            let difference = (shifted(step) - shifted(-step)) / f64::from(2.0 * step);
            variable.set(&original).unwrap();
            let found = f64::from(gradient[at]);
            assert!(
                (found - difference).abs() < 2e-3 + 0.02 * difference.abs(),
                "{text} {name}: {found} {difference}"
            );
        }
        let target = [Target::Token { position: 8, token: 3 }];
        let found = propagate_relevance(&loud.model, &ids(&[&TOKENS]), &target, 0.0, &mut ()).unwrap();
        assert!(found[0].relative_gap() < 1e-4, "{text}: {:?}", found[0]);
    }
}
