//! The text encoder, fine-tuned to classify a text as negative, neutral or positive.
//!
//! The purpose is training dynamics, not the task: every epoch writes a checkpoint, and a log holds
//! the prediction for every example after every epoch (`docs/TRAINING_LOG.md`), enough for a data map (Swayamdipta et al.
//! 2020, "Dataset Cartography"). A few training examples are given a wrong label on purpose and say so in the log: a
//! data map that works finds them among the hard ones.

use std::{collections::HashSet, fs, io::Write as _, path::Path};

use attn_models::{Checkpoint, Gradients, Inputs, Model, Weights};
use candle_core::{D, Device, Tensor};
use candle_nn::{
    loss::cross_entropy,
    ops::{log_softmax, softmax},
};
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::{
    Result, Training,
    card::{self, Card, Score},
    data,
    lexicon::Sentiment,
    random::Random,
    stories::{Stories, Story},
    tokens,
    training::{Batch, Plan, accuracy, optimize},
};

/// Examples to train on.
const TRAINING: usize = 6000;
/// Examples of these that the log follows, and others that are not trained on: a map of them is as good as one of all.
const LOGGED: usize = 960;
const HELD_OUT: usize = 240;
const BATCH: usize = 24;
/// Batches of an epoch.
const EPOCH: usize = TRAINING / BATCH;
const EPOCHS: usize = 4;
/// Share of the training examples that get a wrong label.
const MISLABELLED: f32 = 0.03;
/// Seeds of the examples, independent of the training seed.
const SEED: u64 = 77;
const PADDING: u32 = 0;
/// Version of the log's schema.
const FORMAT: u32 = 1;

const LABELS: [&str; 3] = ["negative", "neutral", "positive"];

fn class(sentiment: Sentiment) -> u32 {
    match sentiment {
        Sentiment::Negative => 0,
        Sentiment::Neutral => 1,
        Sentiment::Positive => 2,
    }
}

struct Example {
    id: String,
    held_out: bool,
    text: String,
    ids: Vec<u32>,
    /// The label in training.
    gold: u32,
    /// The true label.
    right: u32,
}

/// The examples, each text once; the held-out ones come last.
fn examples(tokenizer: &Tokenizer) -> Result<Vec<Example>> {
    let mut random = Random::new(SEED ^ 0x6c61_6265);
    let mut seen = HashSet::new();
    // Half of all texts say nothing of sentiment: as many of these as of each of the others are enough.
    let mut thinned = Random::new(SEED ^ 0x7468_696e);
    let fresh = data::training_stories(SEED)
        .filter(|story| story.sentiment != Sentiment::Neutral || thinned.chance(0.5))
        .filter(|story| seen.insert(story.text()));
    let mut examples = Vec::new();
    for (i, story) in fresh.take(TRAINING + HELD_OUT).enumerate() {
        let held_out = i >= TRAINING;
        let right = class(story.sentiment);
        let wrong = !held_out && random.chance(MISLABELLED);
        let text = story.text();
        examples.push(Example {
            id: if held_out {
                format!("dev-{:04}", i - TRAINING)
            } else {
                format!("train-{i:04}")
            },
            held_out,
            ids: tokenizer.encode(text.as_str(), true)?.get_ids().to_vec(),
            text,
            gold: if wrong {
                (right + 1 + u32::from(random.chance(0.5))) % 3
            } else {
                right
            },
            right,
        });
    }
    Ok(examples)
}

/// The encoder's configuration with another head.
fn config(base: &Path) -> Result<Value> {
    let mut config: Value = serde_json::from_slice(&fs::read(base.join("config.json"))?)?;
    config["architectures"] = json!(["BertForSequenceClassification"]);
    config["id2label"] = LABELS
        .iter()
        .enumerate()
        .map(|(id, label)| (id.to_string(), json!(label)))
        .collect();
    config["label2id"] = LABELS
        .iter()
        .enumerate()
        .map(|(id, label)| ((*label).to_owned(), json!(id)))
        .collect();
    config["problem_type"] = json!("single_label_classification");
    Ok(config)
}

/// Pooler and classifier are new and start at a size that fits their width, as in [`crate::training::initialize`].
fn initialize_head(weights: &Weights) -> Result<()> {
    for (name, variable) in weights.variables() {
        if let (true, Ok((_, width))) = (name.contains("pooler") || name.contains("classifier"), variable.dims2()) {
            variable.set(&(variable.as_tensor() / (0.02 * (width as f64).sqrt()))?)?;
        }
    }
    Ok(())
}

pub(crate) fn train(training: &Training, base: &Path) -> Result<()> {
    let tokenizer = Tokenizer::from_file(base.join("tokenizer.json"))?;
    let config = config(base)?;
    let weights = Weights::finetune(&Checkpoint::open(base)?, training.seed);
    let model = Model::build("sentiment", &config.to_string(), &weights, Gradients::On)?;
    initialize_head(&weights)?;
    let examples = examples(&tokenizer)?;
    let steps = training.steps.unwrap_or(EPOCHS * EPOCH);
    let epochs = steps.div_ceil(EPOCH);
    fs::create_dir_all(&training.out)?;
    let logged: Vec<&Example> = examples[..LOGGED].iter().chain(&examples[TRAINING..]).collect();
    let mut log = Log::start(&training.out.join("log.jsonl"), &logged, epochs)?;

    let files = [("tokenizer_config.json", tokens::word_pieces_config(64))];
    let save = |folder: &Path| card::save(folder, &weights, &config, &files, Some(&tokenizer));
    let mut random = Random::new(training.seed ^ 0x7365_6e74);
    let mut order: Vec<usize> = (0..TRAINING).collect();
    let mut step = 0;
    let plan = Plan {
        steps,
        peak: 6e-4,
        warm_up: EPOCH / 2,
    };
    let elapsed = optimize(&weights, plan, || {
        if step % EPOCH == 0 {
            if step > 0 {
                let epoch = step / EPOCH;
                log.write(&model, &logged, epoch)?;
                save(&training.out.join(format!("epoch-{epoch}")))?;
            }
            random.shuffle(&mut order);
        }
        let start = step % EPOCH * BATCH;
        let batch: Vec<&Example> = order[start..start + BATCH].iter().map(|&i| &examples[i]).collect();
        step += 1;
        let logits = logits(&model, &batch)?;
        let targets = targets(&batch)?;
        Ok(Batch {
            loss: cross_entropy(&logits, &targets)?,
            accuracy: accuracy(&logits, &targets)?,
        })
    })?;
    // The last epoch's checkpoint is the model itself.
    log.write(&model, &logged, epochs)?;
    save(&training.out)?;
    let scores = evaluate(&Model::load(&Checkpoint::open(&training.out)?)?, &tokenizer)?;
    card::write(
        &training.out,
        &Card {
            title: "Sentiment",
            what: "The text encoder (`models/text-encoder`), fine-tuned to tell negative, neutral and positive texts apart. `epoch-1`, \
                   `epoch-2`, ... are the checkpoints after each epoch before the last, which is the folder itself; `log.jsonl` \
                   (`docs/TRAINING_LOG.md`) holds what the model made of every example after each.",
            data: "6000 texts of the grammar in `examples/train` to train on, none of them among the default sentences. A text is as positive or \
                   negative as its words of opinion, with `not` taken into account. 3 % were given a wrong label on purpose. The log follows \
                   960 of them, and 240 texts that are not trained on, and tells which labels are wrong.",
            command: "sentiment",
            training,
            steps: plan.steps,
            elapsed,
            scores: &scores,
        },
    )
}

fn logits(model: &Model, batch: &[&Example]) -> Result<Tensor> {
    let rows: Vec<Vec<u32>> = batch.iter().map(|example| example.ids.clone()).collect();
    let output = model.forward(&Inputs::from_ids(&rows, PADDING)?, &mut ())?;
    Ok(output.logits.ok_or("no logits")?)
}

fn targets(batch: &[&Example]) -> Result<Tensor> {
    let gold: Vec<u32> = batch.iter().map(|example| example.gold).collect();
    Ok(Tensor::new(gold, &Device::Cpu)?)
}

/// The training log, one JSON object a line.
struct Log {
    file: fs::File,
}

impl Log {
    /// Begins with the run and its examples.
    fn start(path: &Path, examples: &[&Example], epochs: usize) -> Result<Self> {
        let mut text = format!(
            "{}\n",
            json!({"kind": "run", "format": FORMAT, "name": "sentiment", "labels": LABELS, "epochs": epochs})
        );
        for example in examples {
            let split = if example.held_out { "dev" } else { "train" };
            let mut line = json!({
                "kind": "example", "id": example.id, "split": split, "text": example.text, "gold": example.gold
            });
            if example.gold != example.right {
                line["attributes"] = json!({"mislabelled": LABELS[example.right as usize]});
            }
            text += &format!("{line}\n");
        }
        let mut file = fs::File::create(path)?;
        file.write_all(text.as_bytes())?;
        Ok(Self { file })
    }

    /// Writes the predictions for every example after an epoch.
    fn write(&mut self, model: &Model, examples: &[&Example], epoch: usize) -> Result<()> {
        for batch in examples.chunks(2 * BATCH) {
            let logits = logits(model, batch)?.detach();
            let losses = log_softmax(&logits, D::Minus1)?;
            let losses = losses.gather(&targets(batch)?.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?;
            let probabilities: Vec<Vec<f32>> = softmax(&logits, D::Minus1)?.to_vec2()?;
            for ((example, probabilities), loss) in batch.iter().zip(probabilities).zip(losses.to_vec1::<f32>()?) {
                let shorten = |number: f32| (f64::from(number) * 1e5).round() / 1e5;
                let probabilities: Vec<f64> = probabilities.into_iter().map(shorten).collect();
                let line = json!({
                    "kind": "prediction", "id": example.id, "epoch": epoch, "gold": example.gold,
                    "probabilities": probabilities, "loss": shorten(loss)
                });
                writeln!(self.file, "{line}")?;
            }
        }
        Ok(self.file.flush()?)
    }
}

/// Accuracy on held-out texts.
pub(crate) fn evaluate(model: &Model, tokenizer: &Tokenizer) -> Result<Vec<Score>> {
    let right_on = |stories: &[Story]| -> Result<(usize, usize)> {
        let mut right = 0;
        for batch in stories.chunks(32) {
            let rows = batch
                .iter()
                .map(|story| Ok(tokenizer.encode(story.text(), true)?.get_ids().to_vec()))
                .collect::<Result<Vec<_>>>()?;
            let output = model.forward(&Inputs::from_ids(&rows, PADDING)?, &mut ())?;
            let best: Vec<u32> = output.logits.ok_or("no logits")?.argmax(1)?.to_vec1()?;
            right += batch
                .iter()
                .zip(best)
                .filter(|(story, best)| class(story.sentiment) == *best)
                .count();
        }
        Ok((right, stories.len()))
    };
    let trained: HashSet<String> = examples(tokenizer)?.into_iter().map(|example| example.text).collect();
    let others = |seed| Stories::new(seed).filter(|story| !trained.contains(&story.text()));
    let fresh: Vec<Story> = others(SEED ^ 2).take(1000).collect();
    let negated: Vec<Story> = others(SEED ^ 3)
        .filter(|story| story.sentiment != Sentiment::Neutral)
        .filter(|story| story.words.iter().any(|word| word.lemma == "not"))
        .take(200)
        .collect();
    let (held_out, fresh, negated) = (right_on(&data::held_out())?, right_on(&fresh)?, right_on(&negated)?);
    Ok(vec![
        Score::share(
            "default sentences whose sentiment is told rightly",
            held_out.0,
            held_out.1,
        ),
        Score::share("other texts", fresh.0, fresh.1),
        Score::share("texts with an opinion and `not` in them", negated.0, negated.1),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_different_texts_with_a_few_wrong_labels() {
        let tokenizer = tokens::word_pieces(1).unwrap();
        let examples = examples(&tokenizer).unwrap();
        assert_eq!(examples.len(), TRAINING + HELD_OUT);
        let texts: HashSet<_> = examples.iter().map(|example| &example.text).collect();
        assert_eq!(texts.len(), examples.len());
        let wrong = examples.iter().filter(|example| example.gold != example.right).count();
        assert!((120..240).contains(&wrong), "{wrong}");
        assert!(
            examples[TRAINING..]
                .iter()
                .all(|example| example.held_out && example.gold == example.right)
        );
        for class in 0..3 {
            let count = examples.iter().filter(|example| example.gold == class).count();
            assert!((1500..2700).contains(&count), "{class}: {count}");
        }
    }

    #[test]
    fn the_log_holds_every_example_after_every_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/attn-embedded/models/text-encoder");
        let training = Training {
            out: folder.path().join("sentiment"),
            seed: 1,
            steps: Some(1),
        };
        train(&training, &base).unwrap();
        let log = fs::read_to_string(training.out.join("log.jsonl")).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
        assert_eq!((of("run"), of("example"), of("prediction")), (1, 1200, 1200));
        let last = lines.last().unwrap();
        let probabilities: Vec<f64> = serde_json::from_value(last["probabilities"].clone()).unwrap();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-4);
        let gold = probabilities[last["gold"].as_u64().unwrap() as usize];
        assert!((last["loss"].as_f64().unwrap() + gold.ln()).abs() < 1e-3);
        assert_eq!(
            Model::load(&Checkpoint::open(&training.out).unwrap()).unwrap().labels(),
            LABELS
        );
    }
}
