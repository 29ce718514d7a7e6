//! Layer-wise relevance propagation against its rules written out.

use attn_models::{
    Gradients, Inputs, Model, Weights,
    attribute::{Target, propagate_relevance},
    candle::{DType, Device, Tensor},
};

/// GPT-2 with one layer, its relevance propagated by loops over sums, every map for itself, in f64.
#[test]
fn relevance_is_that_of_the_rules_written_out() {
    let (width, heads, tokens, vocabulary) = (8, 2, 4, 20);
    let config = r#"{"model_type": "gpt2", "vocab_size": 20, "n_positions": 6, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_inner": 12,
                     "layer_norm_epsilon": 1e-5, "architectures": ["GPT2LMHeadModel"]}"#;
    let weights = Weights::initialize(3);
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
