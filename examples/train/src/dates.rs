//! The date converter: a small encoder-decoder that reads a date in a free format, letter by letter, and writes it as
//! `YYYY-MM-DD`.
//!
//! The task is that of Seq2Seq-Vis (Strobelt et al. 2018, section 6.1). Every right answer is known, and heads have to find
//! day, month and year at varying places. The architecture is Pegasus, with norms before the sublayers: it trains at a high
//! learning rate from the start.

use std::{collections::HashSet, path::Path};

use attn_models::{Checkpoint, Gradients, Inputs, Model, Weights};
use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::{
    Result, Training,
    card::{self, Card, Score},
    random::Random,
    tokens,
    training::{Batch, Plan, WARM_UP, accuracy, initialize, optimize},
};

const STEPS: usize = 2500;
/// Dates of a batch.
const BATCH: usize = 64;
/// Longest source in letters, its end included, and some room.
const LONGEST: usize = 32;
const TRAINING: usize = 20_000;
const VALIDATION: usize = 500;
/// The twenty years before the task was published.
const YEARS: std::ops::Range<u32> = 1998..2018;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// How sources are written, in the notation of `strftime`.
const FORMATS: [&str; 12] = [
    "%d. %B, %y",
    "%d. %B, %Y",
    "%d. %b, %y",
    "%d. %b, %Y",
    "%B %d, %Y",
    "%B %d, %y",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%m/%d/%Y",
    "%m/%d/%y",
    "%Y-%m-%d",
    "%Y/%m/%d",
];
const TARGET: &str = "%Y-%m-%d";

const PAD: &str = "<pad>";
const START: &str = "<s>";
const END: &str = "</s>";
const UNKNOWN: &str = "<unk>";
const START_ID: u32 = 1;
const END_ID: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: u32,
    /// From 1.
    month: u32,
    day: u32,
}

impl Date {
    /// Every day of the years, in order.
    fn all() -> impl Iterator<Item = Self> {
        YEARS.flat_map(|year| {
            (1..=12).flat_map(move |month| (1..=days(year, month)).map(move |day| Self { year, month, day }))
        })
    }

    fn write(self, format: &str) -> String {
        let name = MONTHS[self.month as usize - 1];
        let mut text = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                text.push(letter);
                continue;
            }
            text += &match letters.next() {
                Some('d') => format!("{:02}", self.day),
                Some('m') => format!("{:02}", self.month),
                Some('B') => name.to_owned(),
                Some('b') => name[..3].to_owned(),
                Some('y') => format!("{:02}", self.year % 100),
                _ => self.year.to_string(),
            };
        }
        text
    }
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A source and its target.
type Pair = (String, String);

/// Distinct pairs for training and for evaluation. Evaluation pairs are fixed, so that models can be compared; the seed selects
/// the training pairs.
fn pairs(seed: u64) -> (Vec<Pair>, Vec<Pair>) {
    let mut all: Vec<(Date, &str)> = Date::all()
        .flat_map(|date| FORMATS.map(|format| (date, format)))
        .collect();
    Random::new(0x6461_7465).shuffle(&mut all);
    let validation = all.split_off(all.len() - VALIDATION);
    Random::new(seed).shuffle(&mut all);
    let write = |(date, format): (Date, &str)| (date.write(format), date.write(TARGET));
    let validation: Vec<Pair> = validation.into_iter().map(write).collect();
    // May is its own abbreviation: two formats then give the same pair, which must not be learned if it is judged.
    let mut seen: HashSet<Pair> = validation.iter().cloned().collect();
    let others = all.into_iter().map(write).filter(|pair| seen.insert(pair.clone()));
    (others.take(TRAINING).collect(), validation)
}

/// One token per letter; the end of a text has a token of its own.
fn tokenizer() -> Result<Tokenizer> {
    let mut letters: Vec<char> = MONTHS.concat().chars().chain("0123456789 .,/-".chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    let special = [PAD, START, END, UNKNOWN];
    let vocabulary: serde_json::Map<String, Value> = special
        .map(str::to_owned)
        .into_iter()
        .chain(letters.into_iter().map(String::from))
        .enumerate()
        .map(|(id, token)| (token, json!(id)))
        .collect();
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(id, token)| tokens::special_token(id, token))
        .collect();
    tokens::build(&json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": false},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}}],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": END, "type_id": 1}}
            ],
            "special_tokens": {END: {"id": END, "ids": [END_ID], "tokens": [END]}}
        },
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": UNKNOWN}
    }))
}

fn config(vocabulary: usize) -> Value {
    json!({
        "architectures": ["PegasusForConditionalGeneration"], "model_type": "pegasus", "is_encoder_decoder": true,
        "vocab_size": vocabulary, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256,
        "activation_function": "relu", "max_position_embeddings": LONGEST, "scale_embedding": true,
        "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "tie_word_embeddings": true,
        "pad_token_id": 0, "bos_token_id": START_ID, "eos_token_id": END_ID, "decoder_start_token_id": START_ID,
        "forced_eos_token_id": END_ID, "max_length": 16
    })
}

pub(crate) fn train(training: &Training) -> Result<()> {
    let tokenizer = tokenizer()?;
    let config = config(tokenizer.get_vocab_size(true));
    let weights = Weights::initialize(training.seed);
    let model = Model::build("dates", &config.to_string(), &weights, Gradients::On)?;
    initialize(&weights)?;
    let (training_pairs, validation) = pairs(training.seed);
    let mut rows = Rows {
        pairs: encode(&tokenizer, &training_pairs)?,
        next: 0,
        random: Random::new(training.seed ^ 0x726f_7773),
    };
    let plan = Plan {
        steps: training.steps.unwrap_or(STEPS),
        warm_up: WARM_UP,
        peak: 2e-3,
    };
    let elapsed = optimize(&weights, plan, || {
        let (inputs, targets) = inputs(&rows.batch())?;
        let logits = model.forward(&inputs, &mut ())?.logits.ok_or("no logits")?;
        let logits = logits.flatten_to(1)?;
        Ok(Batch {
            loss: cross_entropy(&logits, &targets)?,
            accuracy: accuracy(&logits, &targets)?,
        })
    })?;

    let files = [(
        "tokenizer_config.json",
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": LONGEST,
            "pad_token": PAD, "bos_token": START, "eos_token": END, "unk_token": UNKNOWN
        }),
    )];
    card::save(&training.out, &weights, &config, &files, Some(&tokenizer))?;
    write(&training.out.join("validation.tsv"), &validation)?;
    let scores = evaluate(&Model::load(&Checkpoint::open(&training.out)?)?, &tokenizer)?;
    card::write(
        &training.out,
        &Card {
            title: "Dates",
            what: "An encoder-decoder of the Pegasus family that reads a date as people write it, letter by letter, and writes it as \
                   `YYYY-MM-DD`: 2 + 2 layers x 4 heads, hidden size 64. The decoder starts with `<s>` and ends with `</s>`.",
            data: "Every day from 1998 to 2017 in twelve formats (`examples/train/src/dates.rs`), with 20,000 distinct training pairs; \
                   500 others, `validation.tsv`, are kept apart. The task is that of Seq2Seq-Vis (Strobelt et al. 2018). Letters outside the formats \
                   are unknown, and other years are guessed.",
            command: "dates",
            training,
            steps: plan.steps,
            elapsed,
            scores: &scores,
        },
    )
}

/// Lines `source` TAB `target`.
fn write(path: &Path, pairs: &[Pair]) -> Result<()> {
    let lines: String = pairs
        .iter()
        .map(|(source, target)| format!("{source}\t{target}\n"))
        .collect();
    Ok(std::fs::write(path, lines)?)
}

/// Ids of a source with its end, and of a target without.
type Ids = (Vec<u32>, Vec<u32>);

fn encode(tokenizer: &Tokenizer, pairs: &[Pair]) -> Result<Vec<Ids>> {
    let ids = |text: &str, ends: bool| -> Result<Vec<u32>> { Ok(tokenizer.encode(text, ends)?.get_ids().to_vec()) };
    pairs
        .iter()
        .map(|(source, target)| Ok((ids(source, true)?, ids(target, false)?)))
        .collect()
}

/// All pairs in a new order in each epoch.
struct Rows {
    pairs: Vec<Ids>,
    next: usize,
    random: Random,
}

impl Rows {
    fn batch(&mut self) -> Vec<Ids> {
        if self.next == 0 || self.next + BATCH > self.pairs.len() {
            self.random.shuffle(&mut self.pairs);
            self.next = 0;
        }
        self.next += BATCH;
        self.pairs[self.next - BATCH..self.next].to_vec()
    }
}

/// The inputs, and the target tokens `[rows * length]`. All targets have the same length.
fn inputs(rows: &[Ids]) -> Result<(Inputs, Tensor)> {
    let sources: Vec<Vec<u32>> = rows.iter().map(|(source, _)| source.clone()).collect();
    let read: Vec<Vec<u32>> = rows
        .iter()
        .map(|(_, target)| std::iter::once(START_ID).chain(target.iter().copied()).collect())
        .collect();
    let written: Vec<u32> = rows
        .iter()
        .flat_map(|(_, target)| target.iter().copied().chain([END_ID]))
        .collect();
    let inputs = Inputs {
        decoder_input_ids: Inputs::from_ids(&read, 0)?.input_ids,
        ..Inputs::from_ids(&sources, 0)?
    };
    Ok((inputs, Tensor::new(written, &Device::Cpu)?))
}

/// Accuracy of whole dates, by greedy decoding.
pub(crate) fn evaluate(model: &Model, tokenizer: &Tokenizer) -> Result<Vec<Score>> {
    let (_, validation) = pairs(0);
    let pairs = encode(tokenizer, &validation)?;
    let length = pairs.first().map_or(0, |(_, target)| target.len()) + 1;
    let mut written: Vec<Ids> = pairs.iter().map(|(source, _)| (source.clone(), Vec::new())).collect();
    for _ in 0..length {
        let (inputs, _) = inputs(&written)?;
        let logits = model.forward(&inputs, &mut ())?.logits.ok_or("no logits")?;
        let last = logits.dim(1)? - 1;
        let next: Vec<u32> = logits.narrow(1, last, 1)?.squeeze(1)?.argmax(1)?.to_vec1()?;
        for ((_, ids), next) in written.iter_mut().zip(next) {
            ids.push(next);
        }
    }
    let right = pairs
        .iter()
        .zip(&written)
        .filter(|((_, target), (_, found))| found.strip_suffix(&[END_ID]) == Some(target))
        .count();
    Ok(vec![Score::share(
        "dates of the validation set converted without a mistake",
        right,
        pairs.len(),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_in_every_format() {
        let date = Date {
            year: 2004,
            month: 9,
            day: 7,
        };
        let found = FORMATS.map(|format| date.write(format));
        let expected = [
            "07. September, 04",
            "07. September, 2004",
            "07. Sep, 04",
            "07. Sep, 2004",
            "September 07, 2004",
            "September 07, 04",
            "07.09.2004",
            "07.09.04",
            "09/07/2004",
            "09/07/04",
            "2004-09-07",
            "2004/09/07",
        ];
        assert_eq!(found, expected);
        // Twenty years of which 2000, 2004, 2008, 2012 and 2016 are leap years.
        assert_eq!(Date::all().count(), 20 * 365 + 5);
    }

    #[test]
    fn what_is_judged_is_not_learned() {
        let (training, validation) = pairs(1);
        assert_eq!((training.len(), validation.len()), (TRAINING, VALIDATION));
        let learned: HashSet<&Pair> = training.iter().collect();
        assert_eq!(learned.len(), TRAINING);
        assert!(validation.iter().all(|pair| !learned.contains(pair)));
        assert_eq!(validation, pairs(2).1);
    }

    #[test]
    fn letters_are_tokens() {
        let encoded = tokenizer().unwrap().encode("May 21, 2000", true).unwrap();
        let expected = ["M", "a", "y", " ", "2", "1", ",", " ", "2", "0", "0", "0", END];
        assert_eq!(encoded.get_tokens(), expected);
    }
}
