//! Examples by their hidden states: any layer, any checkpoint, pooled to a vector each; layouts of checkpoints are aligned.

use attn_analyze::training::Moment;
use attn_core::{Attention, Limits, Progress, Rng, Side, progress::step, table::Table};
use attn_models::{
    Checkpoint, Inputs, Model, Point, Site, Tap,
    candle::{DType, Device, Tensor},
};
use attn_project::{
    Projector,
    aligned::{AlignedProjection, Alignment, Movement, Procrustes},
    quality::{Quality, QualityParams, quality},
};
use attn_render::plots::{ColorBy, Coordinates, Histogram, Scatter};
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::{RunCheckpoint, Training};
use crate::Error;

/// Texts run at once.
const BATCH: usize = 32;

/// How the hidden states of an example become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StatePooling {
    /// That of the first token.
    First,
    /// The mean over tokens.
    #[default]
    Mean,
    /// That of the last token.
    Last,
    /// The vector that the model's own pooler gives its head; of the last layer only.
    Head,
}

impl StatePooling {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::First, Self::Mean, Self::Last, Self::Head];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first token",
            Self::Mean => "mean of tokens",
            Self::Last => "last token",
            Self::Head => "pooler of the model",
        }
    }
}

/// Which examples a model reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatesParams {
    /// Most examples; more are sampled. Default 1,000.
    pub most: usize,
    /// Seed of the sample.
    pub seed: u64,
}

impl Default for StatesParams {
    fn default() -> Self {
        Self { most: 1_000, seed: 0 }
    }
}

/// Hidden states of examples at checkpoints, a vector per example, layer and pooling.
#[derive(Debug, Clone)]
pub struct ExampleStates {
    examples: Vec<usize>,
    frames: Vec<Frame>,
    notes: Vec<String>,
}

/// The states at one checkpoint.
#[derive(Debug, Clone)]
struct Frame {
    name: String,
    moment: Moment,
    /// Per layer, from the embeddings on: first, mean, last, each `[example, hidden]`.
    layers: Vec<[Array2<f32>; 3]>,
    pooled: Option<Array2<f32>>,
}

/// Examples laid out at each checkpoint, so that they can be compared.
#[derive(Debug, Clone)]
pub struct StateMaps {
    /// The examples, by number.
    pub examples: Vec<usize>,
    /// Names of the checkpoints.
    pub names: Vec<String>,
    /// When they were written.
    pub moments: Vec<Moment>,
    /// The layer; 0 is the embeddings.
    pub layer: usize,
    /// The pooling.
    pub pooling: StatePooling,
    /// A layout per checkpoint, and the movement from each to the next.
    pub layouts: AlignedProjection,
    /// Quality of each layout; `None` with fewer than three examples.
    pub quality: Vec<Option<Quality>>,
    /// What another seed alone moves, at each checkpoint: the noise floor of the movement. Layouts that do not depend on a seed have 0.
    pub floor: Vec<Movement>,
}

impl Training {
    /// Runs checkpoints over the examples with texts, and keeps one vector per example, layer and pooling. A checkpoint that cannot be
    /// read is left out, with a note.
    ///
    /// # Errors
    /// [`Error::NotLogged`] without texts or a checkpoint that reads them; [`attn_core::Error::Memory`] above the limits; a cancellation.
    pub fn states(
        &self,
        checkpoints: &[RunCheckpoint],
        params: &StatesParams,
        progress: &dyn Progress,
    ) -> Result<ExampleStates, Error> {
        let log = self.log();
        let with_text = (0..log.examples().len()).filter(|&example| log.examples()[example].text.is_some());
        let mut examples: Vec<usize> = with_text.collect();
        let all = examples.len();
        if all == 0 {
            return Err(Error::NotLogged {
                plot: "map of examples",
                missing: "texts: give the examples as a file",
            });
        }
        let mut notes = Vec::new();
        if all > params.most {
            let mut chosen = Rng::new(params.seed, &[]).sample(all, params.most);
            chosen.sort_unstable();
            examples = chosen.into_iter().map(|at| examples[at]).collect();
            notes.push(format!(
                "{} of {all} examples, chosen with seed {}",
                examples.len(),
                params.seed
            ));
        }
        let texts: Vec<&str> = examples
            .iter()
            .map(|&example| log.examples()[example].text.as_deref().unwrap_or_default())
            .collect();
        let mut frames = Vec::new();
        for (done, checkpoint) in checkpoints.iter().enumerate() {
            step(progress, "checkpoints", done, checkpoints.len())?;
            match checkpoint
                .open()
                .and_then(|opened| frame(checkpoint, &opened, &texts, progress))
            {
                Ok(frame) => frames.push(frame),
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => notes.push(format!("{}: {error}", checkpoint.name)),
            }
        }
        if frames.is_empty() {
            let _ = progress.update("checkpoints", checkpoints.len(), checkpoints.len());
            return Err(Error::NoRun {
                path: checkpoints
                    .first()
                    .and_then(RunCheckpoint::folder)
                    .map(Into::into)
                    .unwrap_or_default(),
                expected: "a checkpoint that reads texts",
                found: if notes.is_empty() {
                    "none".into()
                } else {
                    notes.join("; ")
                },
            });
        }
        let _ = progress.update("checkpoints", checkpoints.len(), checkpoints.len());
        Ok(ExampleStates {
            examples,
            frames,
            notes,
        })
    }
}

/// The states of all texts at one checkpoint.
fn frame(
    checkpoint: &RunCheckpoint,
    opened: &Checkpoint,
    texts: &[&str],
    progress: &dyn Progress,
) -> Result<Frame, Error> {
    let model = Model::load(opened)?;
    let tokenizer = opened.tokenizer()?;
    let info = model.info();
    let side = match info.attention(Attention::EncoderSelf) {
        Some(_) => Side::Encoder,
        None => Side::Decoder,
    };
    let writes = side == Side::Encoder && info.attention(Attention::DecoderSelf).is_some();
    let attention = if side == Side::Encoder {
        Attention::EncoderSelf
    } else {
        Attention::DecoderSelf
    };
    let layers = info.attention(attention).map_or(0, |attention| attention.layers.len());
    let place = format_args!("the hidden states of {} examples", texts.len()).to_string();
    model
        .limits()
        .check(place, Limits::size(&[texts.len(), layers + 1, 3, info.hidden_size], 4))?;
    let padding = ["[PAD]", "<pad>"]
        .iter()
        .find_map(|token| tokenizer.id(token))
        .unwrap_or(0);
    let mut tap = Pool {
        side,
        lengths: Vec::new(),
        layers: vec![Default::default(); layers + 1],
    };
    let (mut pooled, mut width) = (Vec::new(), 0);
    // A TAB separates a pair of texts, as for the heads.
    let read = |text: &&str| match text.split_once('\t').filter(|_| !writes) {
        Some((one, other)) => tokenizer.encode_pair(one, other, info),
        None => tokenizer.encode(text, info),
    };
    let (mut ids, mut types) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
    for text in texts {
        let encoded = read(text)?;
        ids.push(encoded.ids());
        types.push(encoded.types);
    }
    let pairs = types.iter().flatten().any(|&of| of > 0);
    // Texts of one length together: little padding.
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&at| (ids[at].len(), at));
    for (done, batch) in order.chunks(BATCH).enumerate() {
        step(progress, &checkpoint.name, done * BATCH, texts.len())?;
        let types: Vec<Vec<u32>> = batch.iter().map(|&at| types[at].clone()).collect();
        let ids: Vec<Vec<u32>> = batch.iter().map(|&at| ids[at].clone()).collect();
        let mut inputs = Inputs::from_ids(&ids, padding)?;
        if pairs {
            inputs.token_type_ids = Inputs::from_ids(&types, 0)?.input_ids;
        }
        if writes {
            // The states of the encoder do not depend on what is written; the decoder has to read something.
            let start = Tensor::zeros((batch.len(), 1), DType::U32, &Device::Cpu).map_err(attn_models::Error::from)?;
            inputs.decoder_input_ids = Some(start);
        }
        tap.lengths = ids.iter().map(Vec::len).collect();
        let output = model.forward(&inputs, &mut tap)?;
        if let Some(vectors) = output.pooled {
            let rows = rows(&vectors).map_err(attn_models::Error::from)?;
            width = rows.first().map_or(0, Vec::len);
            pooled.extend(rows.into_iter().flatten());
        }
    }
    let _ = progress.update(&checkpoint.name, texts.len(), texts.len());
    let mut places = vec![0; order.len()];
    for (row, &at) in order.iter().enumerate() {
        places[at] = row;
    }
    let array = |flat: Vec<f32>| {
        let width = flat.len() / texts.len().max(1);
        let found = flat.len();
        let rows = Array2::from_shape_vec((texts.len(), width), flat);
        rows.map(|rows| rows.select(Axis(0), &places))
            .map_err(|_| attn_core::Error::Shape {
                place: format!("hidden states of {}", checkpoint.name),
                expected: format!("a vector for each of {} examples", texts.len()),
                found: format!("{found} numbers"),
            })
    };
    let layers = tap
        .layers
        .into_iter()
        .map(|[first, mean, last]| Ok([array(first)?, array(mean)?, array(last)?]));
    Ok(Frame {
        name: checkpoint.name.clone(),
        moment: checkpoint.moment,
        layers: layers.collect::<Result<_, Error>>()?,
        pooled: (width > 0 && pooled.len() == width * texts.len())
            .then(|| array(pooled))
            .transpose()?,
    })
}

fn rows(tensor: &Tensor) -> attn_models::candle::Result<Vec<Vec<f32>>> {
    tensor.to_dtype(DType::F32)?.to_vec2()
}

/// Pools the hidden states of a batch as they pass.
struct Pool {
    side: Side,
    /// Real tokens of each text; padding is on the right.
    lengths: Vec<usize>,
    layers: Vec<[Vec<f32>; 3]>,
}

impl Tap for Pool {
    fn wants(&self, site: Site) -> bool {
        site.point == Point::Hidden && site.side() == self.side && site.layer < self.layers.len()
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> attn_models::Result<Tensor> {
        let (_, tokens, width) = tensor.dims3()?;
        let states: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let [first, mean, last] = &mut self.layers[site.layer];
        let mut sums = vec![0.0_f64; width];
        for (own, &length) in states.chunks_exact((tokens * width).max(1)).zip(&self.lengths) {
            let real = length.clamp(1, tokens);
            first.extend_from_slice(&own[..width]);
            last.extend_from_slice(&own[(real - 1) * width..real * width]);
            sums.fill(0.0);
            for token in own[..real * width].chunks_exact(width.max(1)) {
                for (sum, value) in sums.iter_mut().zip(token) {
                    *sum += f64::from(*value);
                }
            }
            mean.extend(sums.iter().map(|sum| (sum / real as f64) as f32));
        }
        Ok(tensor)
    }
}

impl ExampleStates {
    /// The examples, by number.
    pub fn examples(&self) -> &[usize] {
        &self.examples
    }

    /// Names of the checkpoints that could be read.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.frames.iter().map(|frame| frame.name.as_str())
    }

    /// The last layer that every checkpoint has; 0 is the embeddings.
    pub fn last_layer(&self) -> usize {
        let layers = self.frames.iter().map(|frame| frame.layers.len());
        layers.min().unwrap_or(1).saturating_sub(1)
    }

    /// Whether every checkpoint has a pooler.
    pub fn has_pooler(&self) -> bool {
        self.frames.iter().all(|frame| frame.pooled.is_some())
    }

    /// What was left out.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The vectors of a layer at a checkpoint, `[example, hidden]`.
    ///
    /// # Errors
    /// [`attn_core::Error::NotFound`] for a checkpoint, layer or pooling that does not exist.
    pub fn vectors(
        &self,
        checkpoint: usize,
        layer: usize,
        pooling: StatePooling,
    ) -> Result<ArrayView2<'_, f32>, Error> {
        let missing = |what, asked: String, available: String| attn_core::Error::NotFound { what, asked, available };
        let frame = self.frames.get(checkpoint).ok_or_else(|| {
            missing(
                "checkpoint",
                checkpoint.to_string(),
                format!("checkpoints 0..{}", self.frames.len()),
            )
        })?;
        if pooling == StatePooling::Head {
            let pooled = frame.pooled.as_ref();
            let pooled =
                pooled.ok_or_else(|| missing("pooler", frame.name.clone(), "first, mean and last token".into()))?;
            return Ok(pooled.view());
        }
        let found = frame.layers.get(layer).ok_or_else(|| {
            missing(
                "layer",
                layer.to_string(),
                format!("layers 0..{} of {}", frame.layers.len(), frame.name),
            )
        })?;
        let [first, mean, last] = found;
        Ok(match pooling {
            StatePooling::First => first,
            StatePooling::Last => last,
            _ => mean,
        }
        .view())
    }

    /// Lays out the examples at every checkpoint by the states of a layer. For [`StatePooling::Head`] the layer is the last one.
    ///
    /// The noise floor is what a second layout of the same states with the next seed moves, after turning it onto the first.
    ///
    /// # Errors
    /// Those of [`Projector::fit_aligned`] and [`vectors`](Self::vectors).
    pub fn project(
        &self,
        layer: usize,
        pooling: StatePooling,
        projector: &Projector,
        progress: &dyn Progress,
    ) -> Result<StateMaps, Error> {
        let layer = if pooling == StatePooling::Head {
            self.last_layer()
        } else {
            layer
        };
        let frames = (0..self.frames.len())
            .map(|checkpoint| self.vectors(checkpoint, layer, pooling))
            .collect::<Result<Vec<_>, _>>()?;
        let layouts = projector.fit_aligned(&frames, Alignment::default(), progress)?;
        let other = projector.clone().seed(projector.seed.wrapping_add(1));
        let again = other.fit_aligned(&frames, Alignment::default(), progress)?;
        let (mut found, mut floor) = (Vec::new(), Vec::new());
        for ((frame, layout), again) in frames.iter().zip(&layouts.frames).zip(&again.frames) {
            let count = frame.nrows();
            let params = QualityParams::default().clamped(count);
            found.push(match count < 3 {
                true => None,
                false => Some(quality(
                    *frame,
                    layout.points.view(),
                    projector.metric.clone(),
                    &params,
                    progress,
                )?),
            });
            let turned =
                Procrustes::fit(again.points.view(), layout.points.view(), true)?.apply(again.points.view())?;
            floor.push(Movement::between(layout.points.view(), turned.view())?);
        }
        Ok(StateMaps {
            examples: self.examples.clone(),
            names: self.frames.iter().map(|frame| frame.name.clone()).collect(),
            moments: self.frames.iter().map(|frame| frame.moment).collect(),
            layer,
            pooling,
            layouts,
            quality: found,
            floor,
        })
    }
}

impl StateMaps {
    /// How far each example moves to the next checkpoint, and the 95th percentile of what another seed moves there: less than that is
    /// noise. `None` for the last checkpoint.
    pub fn moved(&self, checkpoint: usize) -> Option<(&[f32], f32)> {
        let movement = self.layouts.movements.get(checkpoint)?;
        let mut noise = self.floor.get(checkpoint)?.points.clone();
        noise.sort_by(f32::total_cmp);
        let at = (noise.len() * 95 / 100).min(noise.len().saturating_sub(1));
        Some((&movement.points, noise.get(at).copied().unwrap_or(0.0)))
    }

    /// The trustworthiness of each example's place at a checkpoint; NaN where it was not measured.
    pub fn trust(&self, checkpoint: usize) -> Vec<f32> {
        let quality = self.quality.get(checkpoint).and_then(Option::as_ref);
        let of = |point| {
            quality
                .and_then(|quality| quality.of_point(point))
                .map_or(f32::NAN, |found| found.trustworthiness)
        };
        (0..self.examples.len()).map(of).collect()
    }

    fn place(&self) -> String {
        let layer = match self.layer {
            0 => "embeddings".to_owned(),
            layer => format!("layer {layer}"),
        };
        format!("{layer}, {}", self.pooling.name())
    }
}

impl Training {
    /// The map of examples at a checkpoint; ids count the examples of the maps. `color` is a column, `trustworthiness` or `movement`;
    /// `None` is the gold answer.
    ///
    /// # Errors
    /// [`attn_core::Error::NotFound`] for a checkpoint that does not exist; those of [`color`](Self::color).
    pub fn state_map(&self, maps: &StateMaps, checkpoint: usize, color: Option<&str>) -> Result<Scatter, Error> {
        let frame = maps
            .layouts
            .frames
            .get(checkpoint)
            .ok_or_else(|| attn_core::Error::NotFound {
                what: "checkpoint",
                asked: checkpoint.to_string(),
                available: format!("checkpoints 0..{}", maps.names.len()),
            })?;
        let points: Vec<f32> = frame.points.iter().copied().collect();
        let (values, by) = match color {
            Some("trustworthiness") => (maps.trust(checkpoint), ColorBy::sequential("trustworthiness")),
            Some("movement") => {
                let moved = maps
                    .moved(checkpoint)
                    .map_or_else(|| vec![f32::NAN; maps.examples.len()], |(moved, _)| moved.to_vec());
                (moved, ColorBy::sequential("movement to the next checkpoint"))
            }
            Some(color) => self.color(color, &maps.examples)?,
            // Many texts or numbers cannot be told apart by color.
            None => self
                .color("gold", &maps.examples)
                .or_else(|_| self.color("confidence", &maps.examples))?,
        };
        let quality = maps.quality.get(checkpoint).and_then(Option::as_ref);
        let trust = quality
            .map(|quality| format!("; trustworthiness {:.2}", quality.trustworthiness.value))
            .unwrap_or_default();
        Ok(Scatter {
            title: self.title(&format!("Examples at {}", maps.names[checkpoint])),
            subtitle: format!("{}{trust}", maps.place()),
            caption: "Each point is an example, placed by its hidden state. Layouts of checkpoints are aligned.".into(),
            labels: self.labels(&maps.examples),
            values: Some(values.into()),
            color_by: Some(by),
            ..Scatter::new(Coordinates::new(points, frame.points.ncols())?)
        })
    }

    /// How far examples move from a checkpoint to the next, beside the noise floor.
    ///
    /// # Errors
    /// [`attn_core::Error::NotFound`] for the last checkpoint, which has no next.
    pub fn movement(&self, maps: &StateMaps, checkpoint: usize) -> Result<Histogram, Error> {
        let (moved, noise) = maps.moved(checkpoint).ok_or_else(|| attn_core::Error::NotFound {
            what: "movement after checkpoint",
            asked: checkpoint.to_string(),
            available: format!("checkpoints 0..{}", maps.names.len().saturating_sub(1)),
        })?;
        let beyond = moved.iter().filter(|moved| **moved > noise).count();
        Ok(Histogram {
            title: self.title(&format!(
                "Movement from {} to {}",
                maps.names[checkpoint],
                maps.names[checkpoint + 1]
            )),
            subtitle: format!(
                "{}: {beyond} of {} examples move more than another seed would",
                maps.place(),
                moved.len()
            ),
            across: "distance in the layout".into(),
            caption: format!(
                "95 % of the distances between two layouts of one checkpoint with other seeds are below {noise:.3}."
            ),
            ..Histogram::new(moved)
        })
    }

    /// Places and movements of examples, a row per example and checkpoint.
    pub fn state_table(&self, maps: &StateMaps) -> Table {
        let (count, examples) = (maps.examples.len(), self.log().examples());
        let frame = |row: usize| (row / count.max(1), row % count.max(1));
        let mut table = Table::new(count * maps.layouts.frames.len());
        table
            .texts("checkpoint", |row| maps.names[frame(row).0].as_str())
            .texts("id", |row| {
                examples.get(maps.examples[frame(row).1]).map_or("", |found| &*found.id)
            });
        for (axis, name) in ["x", "y"].into_iter().enumerate() {
            table.numbers(name, |row| {
                let (frame, point) = frame(row);
                maps.layouts.frames[frame].points.get((point, axis)).copied()
            });
        }
        let trust: Vec<Vec<f32>> = (0..maps.names.len()).map(|checkpoint| maps.trust(checkpoint)).collect();
        table.numbers("trustworthiness", |row| trust[frame(row).0][frame(row).1]);
        table.numbers("movement", |row| {
            let (frame, point) = frame(row);
            maps.layouts
                .movements
                .get(frame)
                .and_then(|movement| movement.points.get(point))
                .copied()
        });
        table
    }
}
