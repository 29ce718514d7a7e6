//! Evaluation of a trained model: its accuracy, and scores of each head.
//!
//! Heads of text models: mean attention to places named in the literature (Clark et al. 2019, "What Does BERT
//! Look At?"; Olsson et al. 2022, "In-context Learning and Induction Heads"). Heads of vision models: dependence of query
//! and key on hue, brightness or orientation of a patch, and whether similar patches attend to each other.

use std::{collections::BTreeMap, f32::consts::PI, f32::consts::TAU, path::Path};

use attn_core::Attention;
use attn_models::{Checkpoint, Inputs, Model, Point, Site, Tap};
use candle_core::Tensor;
use tokenizers::Tokenizer;

use crate::{
    Result, data, dates, decoder, encoder,
    random::Random,
    sentiment,
    stimuli::{self, GRID, Paint},
    vision,
};

pub(crate) fn report(folder: &Path) -> Result<()> {
    let model = Model::load(&Checkpoint::open(folder)?)?;
    if model.vision().is_some() {
        for score in vision::evaluate(&model)? {
            println!("{score}");
        }
        return vision_heads(&model);
    }
    let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
    if model.info().attention(Attention::Cross).is_some() {
        for score in dates::evaluate(&model, &tokenizer)? {
            println!("{score}");
        }
        return Ok(());
    }
    let causal = model.info().attention(Attention::DecoderSelf).is_some();
    let scores = if !model.labels().is_empty() {
        sentiment::evaluate(&model, &tokenizer)?
    } else if causal {
        decoder::evaluate(&model, &tokenizer)?
    } else {
        encoder::evaluate(&model, &tokenizer)?
    };
    for score in scores {
        println!("{score}");
    }
    text_heads(&model, &tokenizer, causal)
}

/// Keeps queries, keys and attention of every layer.
#[derive(Default)]
struct Recorder {
    tensors: BTreeMap<Site, Tensor>,
}

impl Tap for Recorder {
    fn wants(&self, site: Site) -> bool {
        matches!(site.point, Point::Query | Point::Key | Point::Attention)
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> attn_models::Result<Tensor> {
        self.tensors.insert(site, tensor.clone());
        Ok(tensor)
    }
}

impl Recorder {
    /// What was recorded at a point, as `[layer][head][row][column]` of the only sequence.
    fn of(&self, point: Point) -> Result<Vec<Vec<Vec<Vec<f32>>>>> {
        self.tensors
            .iter()
            .filter(|(site, _)| site.point == point)
            .map(|(_, tensor)| Ok(tensor.get(0)?.to_vec3()?))
            .collect()
    }
}

/// A running mean.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f32,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f32) {
        self.sum += value;
        self.count += 1;
    }

    fn value(self) -> f32 {
        self.sum / self.count.max(1) as f32
    }
}

const TEXT_SCORES: [&str; 7] = ["previous", "next", "self", "first", "last", "same token", "induction"];

fn text_heads(model: &Model, tokenizer: &Tokenizer, causal: bool) -> Result<()> {
    let mut scores: BTreeMap<(usize, usize), [Mean; TEXT_SCORES.len()]> = BTreeMap::new();
    for story in data::held_out() {
        let ids = tokenizer.encode(story.text(), true)?.get_ids().to_vec();
        let mut recorder = Recorder::default();
        model.forward(&Inputs::from_ids(std::slice::from_ref(&ids), 0)?, &mut recorder)?;
        for (layer, heads) in recorder.of(Point::Attention)?.iter().enumerate() {
            for (head, attention) in heads.iter().enumerate() {
                let [previous, next, same, first, last, identity, _] = scores.entry((layer, head)).or_default();
                for (query, row) in attention.iter().enumerate() {
                    if query > 0 {
                        previous.add(row[query - 1]);
                        first.add(row[0]);
                    }
                    same.add(row[query]);
                    if !causal && query + 1 < row.len() {
                        next.add(row[query + 1]);
                        last.add(row[row.len() - 1]);
                    }
                    let seen = if causal { query } else { row.len() };
                    let repeats: Vec<usize> = (0..seen)
                        .filter(|&key| key != query && ids[key] == ids[query])
                        .collect();
                    if !repeats.is_empty() {
                        identity.add(repeats.iter().map(|&key| row[key]).sum());
                    }
                }
            }
        }
    }
    if causal {
        induction(model, tokenizer, &mut scores)?;
    }
    println!(
        "\nmean attention\n{:8}{}",
        "head",
        TEXT_SCORES.map(|name| format!("{name:>12}")).concat()
    );
    for ((layer, head), means) in scores {
        let values = means.map(|mean| {
            if mean.count == 0 {
                format!("{:>12}", "-")
            } else {
                format!("{:12.2}", mean.value())
            }
        });
        println!("{:8}{}", format!("L{layer} H{head}"), values.concat());
    }
    Ok(())
}

/// Attention from the second half of a repeated random row to the token after the first occurrence.
fn induction(model: &Model, tokenizer: &Tokenizer, scores: &mut BTreeMap<(usize, usize), [Mean; 7]>) -> Result<()> {
    const LENGTH: usize = 20;
    let mut random = Random::new(5);
    let vocabulary: Vec<u32> = data::held_out()
        .iter()
        .map(|story| Ok(tokenizer.encode(story.text(), false)?.get_ids().to_vec()))
        .collect::<Result<Vec<_>>>()?
        .concat();
    let (mut right, mut all) = (0, 0);
    for _ in 0..50 {
        let half: Vec<u32> = (0..LENGTH).map(|_| *random.pick(&vocabulary)).collect();
        let ids = [&[0], half.as_slice(), half.as_slice()].concat();
        let mut recorder = Recorder::default();
        let output = model.forward(&Inputs::from_ids(std::slice::from_ref(&ids), 0)?, &mut recorder)?;
        for (layer, heads) in recorder.of(Point::Attention)?.iter().enumerate() {
            for (head, attention) in heads.iter().enumerate() {
                let mean = &mut scores.entry((layer, head)).or_default()[6];
                (LENGTH + 1..2 * LENGTH).for_each(|query| mean.add(attention[query][query - LENGTH + 1]));
            }
        }
        let best: Vec<u32> = output.logits.ok_or("no logits")?.get(0)?.argmax(1)?.to_vec1()?;
        right += (LENGTH + 1..2 * LENGTH)
            .filter(|&query| best[query] == ids[query + 1])
            .count();
        all += LENGTH - 1;
    }
    println!(
        "random words, read a second time, predicted right: {:.1} %",
        100.0 * right as f32 / all as f32
    );
    Ok(())
}

/// A property that varies from patch to patch of a probe, as an angle.
struct Probe {
    name: &'static str,
    paint: fn(f32, &mut Random) -> Paint,
    /// From angle to what [`Paint`] holds: 1 for hue, whose circle is 2π; 1/2 for orientation, whose is π.
    random_angle: fn(&mut Random) -> f32,
}

const PROBES: [Probe; 3] = [
    Probe {
        name: "hue",
        paint: |angle, random| Paint {
            hue: angle,
            saturation: random.between(0.7, 1.0),
            ..Paint::GREY
        },
        random_angle: |random| random.between(0.0, TAU),
    },
    Probe {
        name: "orientation",
        paint: |angle, random| Paint {
            orientation: angle / 2.0,
            frequency: random.between(0.17, 0.25),
            contrast: random.between(0.6, 0.9),
            phase: random.between(0.0, TAU),
            ..Paint::GREY
        },
        random_angle: |random| random.between(0.0, TAU),
    },
    Probe {
        name: "brightness",
        // Half a circle, so that dark and light are furthest apart.
        paint: |angle, _| Paint {
            brightness: angle / PI,
            ..Paint::GREY
        },
        random_angle: |random| random.between(0.0, PI),
    },
];

/// For each property, on mosaics whose cells differ in it alone: how much of the variance of queries and keys it
/// explains, and how much more similar attended patches are than all patches (mean cosine of the difference).
fn vision_heads(model: &Model) -> Result<()> {
    const PICTURES: usize = 30;
    let mut random = Random::new(8);
    let mut columns: BTreeMap<(usize, usize), Vec<f32>> = BTreeMap::new();
    for probe in &PROBES {
        let mut pictures = Vec::new();
        for _ in 0..PICTURES {
            let angles: Vec<f32> = (0..GRID * GRID).map(|_| (probe.random_angle)(&mut random)).collect();
            let cells: Vec<Paint> = angles.iter().map(|&angle| (probe.paint)(angle, &mut random)).collect();
            let mut recorder = Recorder::default();
            let pixels = stimuli::paint_cells(&cells);
            model.forward(
                &Inputs::from_pixels(vision::pixels(std::iter::once(&pixels))?),
                &mut recorder,
            )?;
            pictures.push((
                angles,
                recorder.of(Point::Query)?,
                recorder.of(Point::Key)?,
                recorder.of(Point::Attention)?,
            ));
        }
        let layers = pictures.first().map_or(0, |(_, query, ..)| query.len());
        for layer in 0..layers {
            for head in 0..pictures[0].1[layer].len() {
                let angles: Vec<f32> = pictures
                    .iter()
                    .flat_map(|(angles, ..)| angles.iter().copied())
                    .collect();
                // The class token comes first.
                let vectors = |of: fn(&Recorded) -> &Layers| -> Vec<&[f32]> {
                    pictures
                        .iter()
                        .flat_map(|picture| of(picture)[layer][head][1..].iter().map(Vec::as_slice))
                        .collect()
                };
                let mut like = Mean::default();
                for (angles, _, _, attention) in &pictures {
                    for (query, row) in attention[layer][head][1..].iter().enumerate() {
                        let similar = |key: usize| (angles[query] - angles[key]).cos();
                        let others = (0..angles.len()).filter(|&key| key != query);
                        let mass: f32 = others.clone().map(|key| row[1 + key]).sum();
                        let attended: f32 = others.clone().map(|key| row[1 + key] * similar(key)).sum();
                        let all: f32 = others.map(similar).sum::<f32>() / (angles.len() - 1) as f32;
                        like.add(attended / mass.max(1e-9) - all);
                    }
                }
                let column = columns.entry((layer, head)).or_default();
                column.extend([
                    explained(&angles, &vectors(|p| &p.1)),
                    explained(&angles, &vectors(|p| &p.2)),
                    like.value(),
                ]);
            }
        }
    }
    println!("\nvariance of queries and keys explained, and similarity of what is attended to");
    println!(
        "{:8}{}",
        "head",
        PROBES.map(|probe| format!("{:>24}", probe.name)).concat()
    );
    println!(
        "{:8}{}",
        "",
        PROBES
            .map(|_| format!("{:>8}{:>8}{:>8}", "query", "key", "like"))
            .concat()
    );
    for ((layer, head), values) in columns {
        println!(
            "{:8}{}",
            format!("L{layer} H{head}"),
            values.iter().map(|value| format!("{value:8.2}")).collect::<String>()
        );
    }
    Ok(())
}

/// `[layer][head][row][column]`.
type Layers = Vec<Vec<Vec<Vec<f32>>>>;
/// Angles of the patches, queries, keys, attention.
type Recorded = (Vec<f32>, Layers, Layers, Layers);

/// Share of the variance of `vectors` between sixteen sectors of the circle (the correlation ratio); about 0.01 by
/// chance for the sizes used here.
fn explained(angles: &[f32], vectors: &[&[f32]]) -> f32 {
    const SECTORS: usize = 16;
    let dims = vectors.first().map_or(0, |vector| vector.len());
    let sector = |angle: f32| ((angle / TAU * SECTORS as f32) as usize).min(SECTORS - 1);
    let (mut between, mut total) = (0.0, 0.0);
    for dim in 0..dims {
        let mut means = [Mean::default(); SECTORS];
        let mut mean = Mean::default();
        for (&angle, vector) in angles.iter().zip(vectors) {
            means[sector(angle)].add(vector[dim]);
            mean.add(vector[dim]);
        }
        between += means
            .iter()
            .map(|of| of.count as f32 * (of.value() - mean.value()).powi(2))
            .sum::<f32>();
        total += vectors
            .iter()
            .map(|vector| (vector[dim] - mean.value()).powi(2))
            .sum::<f32>();
    }
    between / total.max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_explained_and_noise_is_not() {
        let mut random = Random::new(1);
        let angles: Vec<f32> = (0..2000).map(|_| random.between(0.0, TAU)).collect();
        let circle: Vec<Vec<f32>> = angles.iter().map(|angle| vec![angle.cos(), angle.sin()]).collect();
        let noise: Vec<Vec<f32>> = angles
            .iter()
            .map(|_| vec![random.uniform(), random.uniform()])
            .collect();
        let rows = |vectors: &[Vec<f32>]| explained(&angles, &vectors.iter().map(Vec::as_slice).collect::<Vec<_>>());
        // Sectors of 22.5°: the variance left within them is 1 - (sin(11.25°) / 11.25°)², about 1.3 %.
        assert!((rows(&circle) - 0.987).abs() < 0.003, "{}", rows(&circle));
        assert!(rows(&noise) < 0.02, "{}", rows(&noise));
    }
}
