//! Attribution to tokens and layers: against the reference's gradients, a layer-by-layer propagation written out, and the
//! sums that each method promises.

use attn_core::Side;
use attn_models::{
    Baseline, Error, Gradients, Inputs, Model, Point, Recorder, Site, Tap, Target, TokenScores, Weights,
    candle::{DType, Device, Tensor},
    input_gradients, integrated_gradients, logit_lens, propagate_relevance,
};

use crate::support::{Tensors, difference, expected, inputs, largest, open, third_party, values};

const FAMILIES: [&str; 5] = ["bert", "bert-cls", "gpt2", "llama", "vit"];

/// The labels of a fixture as targets.
pub(crate) fn losses(expected: &Tensors) -> Vec<Target> {
    let labels = &expected["grad.labels"];
    let rows: Vec<Vec<i64>> = match labels.rank() {
        1 => labels.unsqueeze(1).unwrap().to_vec2().unwrap(),
        _ => labels.to_vec2().unwrap(),
    };
    let label = |label: i64| u32::try_from(label).ok();
    rows.into_iter()
        .map(|row| Target::Loss {
            labels: row.into_iter().map(label).collect(),
        })
        .collect()
}

/// A target that any family has.
fn some_target(name: &str, sequence: usize) -> Target {
    match name {
        "bert-cls" | "vit" => Target::Class(1),
        _ => Target::Token {
            position: 3 + sequence % 2,
            token: 17,
        },
    }
}

fn some_inputs(name: &str) -> Inputs {
    let mut inputs = inputs(&expected(name), if name == "vit" { "px" } else { "pad" });
    inputs.position_ids = None;
    inputs
}

fn batch(inputs: &Inputs) -> usize {
    let first = inputs.input_ids.as_ref().or(inputs.pixel_values.as_ref());
    first.unwrap().dim(0).unwrap()
}

fn some_targets(name: &str) -> Vec<Target> {
    (0..batch(&some_inputs(name)))
        .map(|sequence| some_target(name, sequence))
        .collect()
}

fn flat(scores: &[TokenScores], side: Side) -> Vec<f32> {
    scores.iter().flat_map(|scores| scores.side(side).to_vec()).collect()
}

fn close(found: &[f32], wanted: &[f32], allowed: f32, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= allowed,
            "{what}: {found} instead of {wanted} at {at}"
        );
    }
}

#[test]
fn gradients_agree_with_the_reference() {
    for name in ["bert", "bert-cls", "gpt2"] {
        let expected = expected(name);
        let model = Model::load(&open(name)).unwrap();
        let side = model.info().attentions[0].attention.query_side();
        let (inputs, targets) = (inputs(&expected, "grad"), losses(&expected));
        let found = input_gradients(&model, &inputs, &targets, &mut ()).unwrap();
        let wanted = |name: &str| values(&expected[&format!("grad.{name}")]);
        close(&found.values, &wanted("loss_per_example"), 1e-4, name);
        close(&values(&found.embeddings[&side]), &wanted("embeds"), 1e-6, name);
        close(&values(&found.gradients[&side]), &wanted("input_grad"), 1e-4, name);
        close(
            &flat(&found.lengths().unwrap(), side),
            &wanted("input_grad_l2"),
            1e-4,
            name,
        );
        close(
            &flat(&found.times_input().unwrap(), side),
            &wanted("input_x_grad"),
            1e-4,
            name,
        );
        // Against the scale of the numbers, too, and not only absolutely.
        let gap = difference(&found.gradients[&side], &expected["grad.input_grad"], None);
        assert!(
            gap < 1e-4 * largest(&expected["grad.input_grad"]).max(1e-2),
            "{name}: {gap}"
        );

        let zero = &Baseline::Zero;
        let found = integrated_gradients(&model, &inputs, &targets, zero, 32, &mut (), &()).unwrap();
        let scores: Vec<_> = found.iter().map(|found| found.scores.clone()).collect();
        close(&flat(&scores, side), &wanted("ig32_midpoint_zero_baseline"), 1e-4, name);

        let absolute = input_gradients(&model, &inputs, &targets, &mut ()).unwrap();
        for (signed, absolute) in flat(&absolute.times_input().unwrap(), side)
            .into_iter()
            .zip(flat(&absolute.times_input_absolute().unwrap(), side))
        {
            assert!(signed.abs() <= absolute + 1e-6, "{name}");
        }
    }
}

#[test]
fn integrated_gradients_are_complete_in_every_family() {
    for name in FAMILIES {
        let model = Model::load(&open(name)).unwrap();
        let inputs = some_inputs(name);
        let token = |inputs: &Inputs| Baseline::token(inputs, 0, &[2, 3]).unwrap();
        let baselines = if name == "llama" {
            // Without position vectors an RMS norm makes the same of any multiple of an embedding: all of the change from
            // zeros lies in the first instant, where no step falls, and the gap says so.
            let found = integrated_gradients(&model, &inputs, &some_targets(name), &Baseline::Zero, 100, &mut (), &());
            assert!(found.unwrap().iter().any(|found| found.relative_gap() > 0.1));
            vec![token(&inputs)]
        } else if name == "vit" {
            let grey = inputs.pixel_values.as_ref().unwrap().zeros_like().unwrap();
            vec![Baseline::Zero, Baseline::Inputs(Box::new(Inputs::from_pixels(grey)))]
        } else {
            vec![Baseline::Zero, token(&inputs)]
        };
        for (at, baseline) in baselines.iter().enumerate() {
            let found =
                integrated_gradients(&model, &inputs, &some_targets(name), baseline, 100, &mut (), &()).unwrap();
            for found in &found {
                eprintln!("{name} baseline {at}: completeness gap {:.5}", found.relative_gap());
                assert!((found.value - found.baseline).abs() > 1e-5, "{name}");
                assert!(
                    found.gap().abs() < 0.01 * f64::from((found.value - found.baseline).abs()).max(1e-3),
                    "{name} {found:?}"
                );
            }
        }
        // The gap shrinks with the square of the step.
        let gap = |steps| -> f64 {
            let last = baselines.last().unwrap();
            let found = integrated_gradients(&model, &inputs, &some_targets(name), last, steps, &mut (), &()).unwrap();
            found.iter().map(|found| found.gap().abs()).sum()
        };
        assert!(gap(40) < 0.5 * gap(10) + 1e-5, "{name}: {} {}", gap(40), gap(10));
    }
}

#[test]
fn relevance_is_conserved_in_every_family() {
    for name in FAMILIES {
        let model = Model::load(&open(name)).unwrap();
        let found = propagate_relevance(&model, &some_inputs(name), &some_targets(name), 0.0, &mut ()).unwrap();
        for found in &found {
            eprintln!(
                "{name}: conservation gap {:.1e}, biases {:.2}",
                found.relative_gap(),
                found.bias_share()
            );
            assert!(
                found.gap().abs() < 2e-5 * f64::from(found.value.abs()).max(1.0),
                "{name} {found:?}"
            );
            assert!(found.tokens.sum().abs() > 1e-6, "{name}");
        }
        // The forward pass was the model's own.
        let plain = input_gradients(&model, &some_inputs(name), &some_targets(name), &mut ()).unwrap();
        for (found, plain) in found.iter().zip(plain.values) {
            assert!((found.value - plain).abs() < 1e-4 * plain.abs().max(1.0), "{name}");
        }
        // A large epsilon absorbs relevance and leaves the value.
        let damped = propagate_relevance(&model, &some_inputs(name), &some_targets(name), 0.3, &mut ()).unwrap();
        assert!(damped.iter().zip(&found).all(|(damped, found)| {
            (damped.value - found.value).abs() < 1e-4 && damped.gap().abs() > 10.0 * found.gap().abs()
        }));
    }
}

/// GPT-2 with one layer, its relevance propagated by loops over sums, every map for itself, in f64.
#[test]
fn relevance_is_that_of_the_rules_written_out() {
    let (width, heads, tokens, vocabulary) = (8, 2, 4, 20);
    let config = r#"{"model_type": "gpt2", "vocab_size": 20, "n_positions": 6, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_inner": 12,
                     "layer_norm_epsilon": 1e-5, "architectures": ["GPT2LMHeadModel"]}"#;
    let weights = Weights::initialise(3);
    let model = Model::build("one layer", config, &weights, Gradients::Off).unwrap();
    // Numbers of a size at which everything matters, biases too.
    for (at, (_, variable)) in weights.variables().into_iter().enumerate() {
        let count = variable.elem_count();
        let numbers = (0..count).map(|i| ((i * 37 + at * 11) as f32 * 0.613).sin() * 0.6);
        let numbers: Vec<f32> = if variable.rank() == 1 {
            numbers.map(|number| 0.8 + 0.5 * number).collect()
        } else {
            numbers.collect()
        };
        let numbers = Tensor::from_vec(numbers, variable.shape(), &Device::Cpu).unwrap();
        variable.set(&numbers).unwrap();
    }
    let variables = weights.variables();
    let get = |name: &str| -> Vec<f64> {
        let tensor = variables[name].as_tensor().to_dtype(DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    let ids = [3_usize, 7, 7, 1];
    let (position, token, epsilon) = (2, 5, 0.05);
    let kept = |z: f64| z / (z + epsilon * z.signum());

    // Forward.
    let (words, places) = (get("transformer.wte.weight"), get("transformer.wpe.weight"));
    let embedded: Vec<f64> = (0..tokens * width)
        .map(|i| words[ids[i / width] * width + i % width] + places[i])
        .collect();
    let norm = |x: &[f64], name: &str| -> (Vec<f64>, Vec<f64>) {
        let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
        let mut y = vec![0.0; x.len()];
        let mut deviations = Vec::new();
        for (row, x) in x.chunks(width).enumerate() {
            let mean = x.iter().sum::<f64>() / width as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            let deviation = (variance + 1e-5).sqrt();
            for i in 0..width {
                y[row * width + i] = (x[i] - mean) / deviation * weight[i] + bias[i];
            }
            deviations.push(deviation);
        }
        (y, deviations)
    };
    let linear = |x: &[f64], name: &str, inner: usize, outer: usize| -> Vec<f64> {
        let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
        let cell = |row: usize, j: usize| {
            bias[j]
                + (0..inner)
                    .map(|i| x[row * inner + i] * weight[i * outer + j])
                    .sum::<f64>()
        };
        (0..tokens * outer).map(|at| cell(at / outer, at % outer)).collect()
    };
    let gelu = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    let (normed, first_deviation) = norm(&embedded, "transformer.h.0.ln_1");
    let qkv = linear(&normed, "transformer.h.0.attn.c_attn", width, 3 * width);
    let head_dim = width / heads;
    let mut attention = vec![0.0; heads * tokens * tokens];
    let mut read = vec![0.0; tokens * width];
    for head in 0..heads {
        for query in 0..tokens {
            let at = |token: usize, part: usize, d: usize| qkv[token * 3 * width + part * width + head * head_dim + d];
            let score = |key: usize| {
                (0..head_dim).map(|d| at(query, 0, d) * at(key, 1, d)).sum::<f64>() / (head_dim as f64).sqrt()
            };
            let total: f64 = (0..=query).map(|key| score(key).exp()).sum();
            for key in 0..=query {
                let weight = score(key).exp() / total;
                attention[(head * tokens + query) * tokens + key] = weight;
                for d in 0..head_dim {
                    read[query * width + head * head_dim + d] += weight * at(key, 2, d);
                }
            }
        }
    }
    let attended = linear(&read, "transformer.h.0.attn.c_proj", width, width);
    let middle: Vec<f64> = attended.iter().zip(&embedded).map(|(a, b)| a + b).collect();
    let (normed_again, second_deviation) = norm(&middle, "transformer.h.0.ln_2");
    let up = linear(&normed_again, "transformer.h.0.mlp.c_fc", width, 12);
    let active: Vec<f64> = up.iter().map(|&x| gelu(x)).collect();
    let down = linear(&active, "transformer.h.0.mlp.c_proj", 12, width);
    let last: Vec<f64> = down.iter().zip(&middle).map(|(a, b)| a + b).collect();
    let (final_state, last_deviation) = norm(&last, "transformer.ln_f");
    let logit: f64 = (0..width)
        .map(|i| final_state[position * width + i] * words[token * width + i])
        .sum();

    // Backward: relevance of every summand in proportion.
    let mut biases = 0.0;
    // The logit is the only relevant output of the head, a map without bias.
    let mut relevance = vec![0.0; tokens * width];
    for i in 0..width {
        let share = final_state[position * width + i] * words[token * width + i];
        relevance[position * width + i] = share / logit * kept(logit) * logit;
    }
    // y_i = (x_i - sum_k x_k / n) w_i / deviation + b_i
    let mut through_norm = |relevance: &[f64], x: &[f64], y: &[f64], deviations: &[f64], name: &str| -> Vec<f64> {
        let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
        let mut back = vec![0.0; x.len()];
        for row in 0..tokens {
            for i in 0..width {
                let at = row * width + i;
                let per_unit = if y[at] == 0.0 { 0.0 } else { relevance[at] / y[at] };
                biases += bias[i] * per_unit;
                for k in 0..width {
                    let part = f64::from(u8::from(i == k)) - 1.0 / width as f64;
                    back[row * width + k] += x[row * width + k] * part * weight[i] / deviations[row] * per_unit;
                }
            }
        }
        back
    };
    let of_linear =
        |relevance: &[f64], x: &[f64], z: &[f64], name: &str, inner: usize, outer: usize| -> (Vec<f64>, f64) {
            let (weight, bias) = (get(&format!("{name}.weight")), get(&format!("{name}.bias")));
            let (mut back, mut of_bias) = (vec![0.0; x.len()], 0.0);
            for row in 0..tokens {
                for j in 0..outer {
                    let z = z[row * outer + j];
                    let per_unit = relevance[row * outer + j] / (z + epsilon * z.signum());
                    of_bias += bias[j] * per_unit;
                    for i in 0..inner {
                        back[row * inner + i] += x[row * inner + i] * weight[i * outer + j] * per_unit;
                    }
                }
            }
            (back, of_bias)
        };
    // In proportion to two summands.
    let split = |relevance: &[f64], a: &[f64], sum: &[f64]| -> Vec<f64> {
        let share = |((r, a), sum): ((&f64, &f64), &f64)| if *r == 0.0 { 0.0 } else { r * a / sum };
        relevance.iter().zip(a).zip(sum).map(share).collect()
    };
    let relevance = through_norm(&relevance, &last, &final_state, &last_deviation, "transformer.ln_f");
    let of_down = split(&relevance, &down, &last);
    let mut of_middle = split(&relevance, &middle, &last);
    let (of_active, bias_1) = of_linear(&of_down, &active, &down, "transformer.h.0.mlp.c_proj", 12, width);
    // The activation passes relevance on as it is.
    let (of_normed, bias_2) = of_linear(&of_active, &normed_again, &up, "transformer.h.0.mlp.c_fc", width, 12);
    let back = through_norm(
        &of_normed,
        &middle,
        &normed_again,
        &second_deviation,
        "transformer.h.0.ln_2",
    );
    of_middle.iter_mut().zip(back).for_each(|(sum, back)| *sum += back);
    let of_attended = split(&of_middle, &attended, &middle);
    let mut of_embedded = split(&of_middle, &embedded, &middle);
    let (of_read, bias_3) = of_linear(
        &of_attended,
        &read,
        &attended,
        "transformer.h.0.attn.c_proj",
        width,
        width,
    );
    let mut of_qkv = vec![0.0; tokens * 3 * width];
    for head in 0..heads {
        for query in 0..tokens {
            for d in head * head_dim..(head + 1) * head_dim {
                for key in 0..=query {
                    let value = key * 3 * width + 2 * width + d;
                    let share =
                        attention[(head * tokens + query) * tokens + key] * qkv[value] / read[query * width + d];
                    of_qkv[value] += share * of_read[query * width + d];
                }
            }
        }
    }
    let (of_normed, bias_4) = of_linear(&of_qkv, &normed, &qkv, "transformer.h.0.attn.c_attn", width, 3 * width);
    let back = through_norm(&of_normed, &embedded, &normed, &first_deviation, "transformer.h.0.ln_1");
    of_embedded.iter_mut().zip(back).for_each(|(sum, back)| *sum += back);
    biases += bias_1 + bias_2 + bias_3 + bias_4;
    let of_words: Vec<f64> = (0..tokens * width)
        .map(|i| of_embedded[i] * words[ids[i / width] * width + i % width] / embedded[i])
        .collect();

    let row: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
    let inputs = Inputs::from_ids(&[row], 0).unwrap();
    let target = Target::Token {
        position,
        token: token as u32,
    };
    let found = &propagate_relevance(&model, &inputs, &[target], epsilon, &mut ()).unwrap()[0];
    assert!((f64::from(found.value) - logit).abs() < 1e-4, "{} {logit}", found.value);
    for at in 0..tokens {
        let wanted: f64 = of_words[at * width..(at + 1) * width].iter().sum();
        let both: f64 = of_embedded[at * width..(at + 1) * width].iter().sum();
        let (word, place) = (
            f64::from(found.tokens.decoder[at]),
            f64::from(found.positions.decoder[at]),
        );
        assert!((word - wanted).abs() < 1e-4, "{at}: {word} {wanted}");
        assert!((place - (both - wanted)).abs() < 1e-4, "{at}: {place}");
    }
    assert!(
        (f64::from(found.biases) - biases).abs() < 1e-4,
        "{} {biases}",
        found.biases
    );
    assert!(vocabulary > token);
}

/// Every method's scores for a batch, sequence by sequence.
fn everything(model: &Model, inputs: &Inputs, targets: &[Target]) -> Vec<Vec<TokenScores>> {
    let gradients = input_gradients(model, inputs, targets, &mut ()).unwrap();
    let integrated = integrated_gradients(model, inputs, targets, &Baseline::Zero, 20, &mut (), &()).unwrap();
    let relevance = propagate_relevance(model, inputs, targets, 1e-6, &mut ()).unwrap();
    vec![
        gradients.times_input().unwrap(),
        gradients.times_input_absolute().unwrap(),
        gradients.lengths().unwrap(),
        integrated.into_iter().map(|found| found.scores).collect(),
        relevance.into_iter().map(|found| found.tokens).collect(),
    ]
}

#[test]
fn scores_do_not_depend_on_the_batch() {
    let texts: [&[u32]; 3] = [&[2, 40, 41, 42, 3], &[2, 60, 7, 80, 9, 31, 12, 3], &[2, 5, 3]];
    for name in ["bert", "bert-cls", "gpt2", "llama"] {
        let model = Model::load(&open(name)).unwrap();
        let target = |offset: usize| match name {
            "bert-cls" => Target::Class(0),
            _ => Target::Token {
                position: offset + 1,
                token: 17,
            },
        };
        let side = model.info().attentions[0].attention.query_side();
        let right = Inputs::from_ids(&texts.map(<[u32]>::to_vec), 0).unwrap();
        let from_left = |value: &dyn Fn(&[u32], usize, usize) -> u32| {
            let rows: Vec<u32> = texts
                .iter()
                .flat_map(|ids| (0..8).map(move |at| (ids, at)))
                .map(|(ids, at)| value(ids, 8 - ids.len(), at))
                .collect();
            Some(Tensor::from_vec(rows, (3, 8), &Device::Cpu).unwrap())
        };
        let left = Inputs {
            input_ids: from_left(&|ids, start, at| if at < start { 0 } else { ids[at - start] }),
            attention_mask: from_left(&|_, start, at| u32::from(at >= start)),
            position_ids: from_left(&|_, start, at| at.saturating_sub(start) as u32),
            ..Inputs::default()
        };
        let in_right = everything(&model, &right, &[target(0), target(0), target(0)]);
        let in_left = everything(&model, &left, &texts.map(|ids| target(8 - ids.len())));
        for (sequence, ids) in texts.iter().enumerate() {
            let alone = everything(&model, &Inputs::from_ids(&[ids.to_vec()], 0).unwrap(), &[target(0)]);
            for (method, alone) in alone.iter().enumerate() {
                let alone = alone[0].side(side);
                let what = format!("{name}, method {method}, sequence {sequence}");
                let padded = in_right[method][sequence].side(side);
                let allowed = 1e-4 * alone.iter().fold(0.01_f32, |a, b| a.max(b.abs()));
                close(&padded[..ids.len()], alone, allowed, &what);
                assert!(padded[ids.len()..].iter().all(|&score| score == 0.0), "{what}");
                // The classifier reads the first place of the row, which padding on the left takes.
                if name != "bert-cls" {
                    let padded = in_left[method][sequence].side(side);
                    let start = 8 - ids.len();
                    close(&padded[start..], alone, allowed, &what);
                    assert!(padded[..start].iter().all(|&score| score == 0.0), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_contrast_is_the_difference_of_its_two_sides() {
    for name in FAMILIES {
        let model = Model::load(&open(name)).unwrap();
        let (inputs, side) = (some_inputs(name), model.info().attentions[0].attention.query_side());
        let (this, other) = match some_target(name, 0) {
            Target::Token { position, .. } => (
                Target::Token { position, token: 21 },
                Target::Token { position, token: 30 },
            ),
            _ => (Target::Class(1), Target::Class(0)),
        };
        let of = |target: Target| everything(&model, &inputs, &[target]);
        let (a, b, both) = (of(this.clone()), of(other.clone()), of(this.minus(other)));
        // Absolute values and lengths do not add up.
        for method in [0, 3, 4] {
            let difference: Vec<f32> = flat(&a[method], side)
                .iter()
                .zip(flat(&b[method], side))
                .map(|(a, b)| a - b)
                .collect();
            close(
                &flat(&both[method], side),
                &difference,
                2e-5,
                &format!("{name}, method {method}"),
            );
        }
    }
}

/// Takes out everything that layers from one on add.
struct Stop(usize);

impl Tap for Stop {
    fn wants(&self, site: Site) -> bool {
        site.layer >= self.0 && matches!(site.point, Point::AttentionOutput | Point::Mlp)
    }

    fn tap(&mut self, _: Site, tensor: Tensor) -> attn_models::Result<Tensor> {
        Ok(tensor.zeros_like()?)
    }
}

/// Puts a tensor in the place of the last hidden state.
struct Last(usize, Tensor);

impl Tap for Last {
    fn wants(&self, site: Site) -> bool {
        site.layer == self.0 && site.point == Point::Hidden
    }

    fn tap(&mut self, _: Site, _: Tensor) -> attn_models::Result<Tensor> {
        Ok(self.1.clone())
    }
}

#[test]
fn the_lens_sees_what_the_model_would_say_if_it_ended_there() {
    for name in FAMILIES {
        let (model, inputs) = (Model::load(&open(name)).unwrap(), some_inputs(name));
        let side = model.info().attentions[0].attention.query_side();
        let mut record = Recorder::of(&[Point::Hidden]);
        let plain = model.forward(&inputs, &mut record).unwrap().logits.unwrap();
        let lens = logit_lens(&model, &inputs, 3, &mut ()).unwrap();
        assert_eq!(lens.len(), 3, "{name}");
        for layer in 0..=2 {
            let hidden = &record.tensors[&Site::hidden(side, layer)];
            let found = model.predict(hidden, layer).unwrap().unwrap();
            let wanted = match name {
                // Norms before the sublayers: a layer that adds nothing hands the state on.
                "gpt2" | "llama" => model.forward(&inputs, &mut Stop(layer)).unwrap(),
                // Norms after them, or a final norm after the last state.
                _ => model.forward(&inputs, &mut Last(2, hidden.clone())).unwrap(),
            };
            let wanted = wanted.logits.unwrap();
            assert!(difference(&found, &wanted, None) < 1e-5, "{name} {layer}");

            // The guesses are its largest entries.
            let wanted = if wanted.rank() == 2 {
                wanted.unsqueeze(1).unwrap()
            } else {
                wanted
            };
            for (guesses, logits) in lens[layer]
                .guesses
                .iter()
                .flatten()
                .zip(wanted.to_vec3::<f32>().unwrap().concat())
            {
                let best = logits.iter().copied().fold(f32::MIN, f32::max);
                let total: f32 = logits.iter().map(|logit| (logit - best).exp()).sum();
                assert_eq!(guesses.len(), 3.min(logits.len()));
                assert!((guesses[0].log_probability + total.ln()).abs() < 1e-4, "{name}");
                assert!(
                    guesses
                        .windows(2)
                        .all(|pair| pair[0].log_probability >= pair[1].log_probability)
                );
                assert!((logits[guesses[0].id as usize] - best).abs() < 1e-4, "{name}");
            }
        }
        let last = model
            .predict(&record.tensors[&Site::hidden(side, 2)], 2)
            .unwrap()
            .unwrap();
        assert!(difference(&last, &plain, None) < 1e-6, "{name}");
        let error = model.predict(&record.tensors[&Site::hidden(side, 2)], 3).unwrap_err();
        assert!(
            error.to_string().contains("a layer from 0 to 2, found layer 3"),
            "{error}"
        );
    }
}

#[test]
fn questions_a_model_cannot_answer_are_refused() {
    let text = Model::load(&open("gpt2")).unwrap();
    let classes = Model::load(&open("bert-cls")).unwrap();
    let inputs = Inputs::from_ids(&[vec![2, 5, 3]], 0).unwrap();
    let token = |position, token| Target::Token { position, token };
    let loss = |labels: Vec<Option<u32>>| Target::Loss { labels };
    for (model, targets, message) in [
        (&text, vec![Target::Class(0)], "a token: the model predicts tokens"),
        (&text, vec![token(3, 0)], "a position below 3"),
        (&text, vec![token(0, 100_000)], "token 100000 at position 0"),
        (&text, vec![token(0, 0); 2], "input `targets`"),
        (&text, vec![loss(vec![None; 2])], "3 labels, found 2"),
        // The first label has nothing before it.
        (
            &text,
            vec![loss(vec![Some(1), None, None])],
            "at least one label that counts",
        ),
        (
            &classes,
            vec![token(0, 0)],
            "a class: the model predicts one class per sequence",
        ),
        (&classes, vec![Target::Class(7)], "a class below"),
        (&classes, vec![loss(vec![Some(9)])], "labels below"),
    ] {
        let error = input_gradients(model, &inputs, &targets, &mut ()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    let zero = &Baseline::Zero;
    let error = integrated_gradients(&text, &inputs, &[token(0, 0)], zero, 0, &mut (), &()).unwrap_err();
    assert!(matches!(error, Error::Input { name: "steps", .. }), "{error}");
    let error = propagate_relevance(&text, &inputs, &[token(0, 0)], -1.0, &mut ()).unwrap_err();
    assert!(matches!(error, Error::Input { name: "epsilon", .. }), "{error}");
    let shorter = Baseline::Inputs(Box::new(Inputs::from_ids(&[vec![2, 5]], 0).unwrap()));
    let error = integrated_gradients(&text, &inputs, &[token(0, 0)], &shorter, 10, &mut (), &()).unwrap_err();
    assert!(matches!(error, Error::Input { name: "baseline", .. }), "{error}");
    let stop = |_: &str, done: usize, _: usize| {
        if done == 2 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    };
    let error = integrated_gradients(&text, &inputs, &[token(0, 0)], zero, 10, &mut (), &stop).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
}

/// The embedded sentiment model is known ground: a sentence of the grammar has the sentiment of its word of opinion.
#[test]
fn the_word_of_opinion_is_found() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/sentiment");
    let checkpoint = attn_models::Checkpoint::open(folder).unwrap();
    let (model, tokenizer) = (Model::load(&checkpoint).unwrap(), checkpoint.tokenizer().unwrap());
    let special = ["[CLS]", "[SEP]"].map(|token| tokenizer.id(token).unwrap());
    let padding = tokenizer.id("[PAD]").unwrap();
    let sentences = [
        ("the cat finds a lovely garden .", "lovely", 2),
        ("a horse ruins the small house .", "ruins", 0),
        ("the woman is very happy .", "happy", 2),
        ("the terrible dog sees a letter .", "terrible", 0),
        ("the girl praises the old teacher .", "praises", 2),
        ("a boy hates the new book .", "hates", 0),
    ];
    let encoded = sentences.map(|(text, ..)| tokenizer.encode(text, model.info()).unwrap().ids());
    let inputs = Inputs::from_ids(&encoded, padding).unwrap();
    let targets = sentences.map(|(_, _, class)| Target::Class(class).minus(Target::Class(2 - class)));
    let baseline = Baseline::token(&inputs, padding, &special).unwrap();
    // Its activations are ReLUs: the gradient jumps along the path, and the sum takes more steps than usual to settle.
    let integrated = integrated_gradients(&model, &inputs, &targets, &baseline, 300, &mut (), &()).unwrap();
    let relevance = propagate_relevance(&model, &inputs, &targets, 0.0, &mut ()).unwrap();
    let product = input_gradients(&model, &inputs, &targets, &mut ())
        .unwrap()
        .times_input()
        .unwrap();
    let mut found = [0; 3];
    for (at, (text, word, _)) in sentences.iter().enumerate() {
        // [CLS] stands before the words.
        let place = 1 + text.split(' ').position(|other| other == *word).unwrap();
        let methods = [&integrated[at].scores, &relevance[at].tokens, &product[at]];
        for (found, scores) in found.iter_mut().zip(methods) {
            let scores = &scores.encoder;
            let best = (0..scores.len())
                .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
                .unwrap();
            *found += usize::from(best == place);
        }
        assert!(integrated[at].value > 2.0, "{text}: {}", integrated[at].value);
        eprintln!(
            "{text} value {:.2}, completeness gap {:.4}, conservation gap {:.1e}, constants {:.2}",
            integrated[at].value,
            integrated[at].relative_gap(),
            relevance[at].relative_gap(),
            relevance[at].bias_share()
        );
        assert!(
            integrated[at].relative_gap() < 0.01 && relevance[at].relative_gap() < 0.01,
            "{text}"
        );
    }
    eprintln!(
        "found by integrated gradients, relevance, input x gradient: {found:?} of {}",
        sentences.len()
    );
    assert!(found[..2] == [6, 6], "{found:?}");
}

#[test]
fn sums_hold_on_published_weights() {
    let mut cases = Vec::new();
    for (name, text) in [
        ("stories260k", "Once upon a time, there was a little girl named"),
        ("chem-gpt2", "<BOS> C C ( C ) C c 1 c c c c"),
    ] {
        let Some(folder) = third_party(name) else { continue };
        let checkpoint = attn_models::Checkpoint::open(folder).unwrap();
        let model = Model::load(&checkpoint).unwrap();
        let tokenizer = checkpoint.tokenizer().unwrap();
        let ids: Vec<u32> = if name == "chem-gpt2" {
            text.split(' ').map(|symbol| tokenizer.id(symbol).unwrap()).collect()
        } else {
            tokenizer.encode(text, model.info()).unwrap().ids()
        };
        let unknown = if name == "chem-gpt2" {
            tokenizer.id("<PAD>").unwrap()
        } else {
            0
        };
        cases.push((name, model, ids, unknown));
    }
    for (name, model, ids, unknown) in cases {
        let inputs = Inputs::from_ids(std::slice::from_ref(&ids), 0).unwrap();
        let position = ids.len() - 1;
        let logits = model.forward(&inputs, &mut ()).unwrap().logits.unwrap();
        let row: Vec<f32> = logits.get(0).unwrap().get(position).unwrap().to_vec1().unwrap();
        let token = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32;
        let baseline = Baseline::token(&inputs, unknown, &ids[..1]).unwrap();
        report(name, &model, &inputs, Target::Token { position, token }, &baseline);
    }
    if let Some(folder) = third_party("vit-mnist") {
        let checkpoint = attn_models::Checkpoint::open(folder).unwrap();
        let model = Model::load(&checkpoint).unwrap();
        let vision = model.vision().unwrap();
        // A bar, bright on dark.
        let pixel = |i: usize| {
            let column = i % vision.width;
            if (vision.width * 2 / 5..vision.width * 3 / 5).contains(&column) {
                1.0_f32
            } else {
                -1.0
            }
        };
        let pixels: Vec<f32> = (0..vision.channels * vision.height * vision.width).map(pixel).collect();
        let shape = (1, vision.channels, vision.height, vision.width);
        let inputs = Inputs::from_pixels(Tensor::from_vec(pixels, shape, &Device::Cpu).unwrap());
        report("vit-mnist", &model, &inputs, Target::Class(1), &Baseline::Zero);
    }
}

fn report(name: &str, model: &Model, inputs: &Inputs, target: Target, baseline: &Baseline) {
    let targets = [target];
    for steps in [20, 100] {
        let found = integrated_gradients(model, inputs, &targets, baseline, steps, &mut (), &()).unwrap();
        eprintln!(
            "{name}: {steps} steps, value {:.3}, baseline {:.3}, completeness gap {:.4}",
            found[0].value,
            found[0].baseline,
            found[0].relative_gap()
        );
        if steps == 100 {
            assert!(found[0].relative_gap() < 0.01, "{name} {}", found[0].relative_gap());
        }
    }
    for epsilon in [0.0, 1e-6, 1e-2] {
        let found = &propagate_relevance(model, inputs, &targets, epsilon, &mut ()).unwrap()[0];
        eprintln!(
            "{name}: epsilon {epsilon}, value {:.3}, tokens {:.3}, positions {:.3}, biases {:.3}, conservation gap {:.1e}",
            found.value,
            found.tokens.sum(),
            found.positions.sum(),
            found.biases,
            found.relative_gap()
        );
        if epsilon < 1e-3 {
            assert!(found.relative_gap() < 0.01, "{name} {found:?}");
        }
    }
}
