//! The text decoder: GPT-2 with a language modeling head.
//!
//! Radford et al. 2019. Texts follow each other in rows of full length, half of them with `<|endoftext|>` between
//! them, so that every position is trained. Some are repeated: the repetition can be predicted by
//! copying what followed before, as induction heads do (Olsson et al. 2022).

use attn_models::{Checkpoint, Gradients, Inputs, Model, Weights};
use candle_core::{Device, Tensor};
use candle_nn::loss::cross_entropy;
use serde_json::{Value, json};
use tokenizers::Tokenizer;

use crate::{
    Result, Training,
    card::{self, Card, Score},
    data,
    random::Random,
    tokens,
    training::{Batch, Plan, WARM_UP, accuracy, initialize, optimize},
};

const LONGEST: usize = 96;
const STEPS: usize = 4000;
/// Share of repeated texts.
const TOLD_TWICE: f32 = 0.2;
/// Rows of a batch.
const BATCH: usize = 8;

fn config(vocabulary: usize) -> Value {
    json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2",
        "vocab_size": vocabulary, "n_embd": 128, "n_layer": 4, "n_head": 4, "n_inner": 256, "n_positions": LONGEST,
        "activation_function": "relu", "layer_norm_epsilon": 1e-5, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0,
        "initializer_range": 0.02, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": true
    })
}

pub(crate) fn train(training: &Training) -> Result<()> {
    let tokenizer = tokens::byte_pairs(training.seed)?;
    let config = config(tokenizer.get_vocab_size(true));
    let weights = Weights::initialize(training.seed);
    let model = Model::build("text-decoder", &config.to_string(), &weights, Gradients::On)?;
    initialize(&weights)?;
    let mut rows = Rows::new(training.seed, &tokenizer)?;
    let plan = Plan {
        steps: training.steps.unwrap_or(STEPS),
        peak: 2e-3,
        warm_up: WARM_UP,
    };
    let elapsed = optimize(&weights, plan, || {
        let batch = (0..BATCH).map(|_| rows.next()).collect::<Result<Vec<_>>>()?;
        let (logits, targets) = predictions(&model, &batch)?;
        Ok(Batch {
            loss: cross_entropy(&logits, &targets)?,
            accuracy: accuracy(&logits, &targets)?,
        })
    })?;

    let files = [("tokenizer_config.json", tokens::byte_pairs_config(LONGEST))];
    card::save(&training.out, &weights, &config, &files, Some(&tokenizer))?;
    let scores = evaluate(&Model::load(&Checkpoint::open(&training.out)?)?, &tokenizer)?;
    card::write(
        &training.out,
        &Card {
            title: "Text decoder",
            what: "A causal language model of the GPT-2 family: 4 layers x 4 heads, hidden size 128, up to 96 byte pairs. A text starts \
                   and ends with `<|endoftext|>`.",
            data: "English sentences and very short stories from the grammar in `examples/train/src/grammar.rs` and `stories.rs`: agreement \
                   across phrases and clauses, pronouns, full names that come again, quotations, lists, numbers. About 450 words; any \
                   other text is spelled in bytes, which the model has not been trained on.",
            command: "text-decoder",
            training,
            steps: plan.steps,
            elapsed,
            scores: &scores,
        },
    )
}

/// Logits `[rows * (length - 1), vocabulary]` and the tokens they should predict. All rows have the same length.
fn predictions(model: &Model, rows: &[Vec<u32>]) -> Result<(Tensor, Tensor)> {
    let inputs: Vec<Vec<u32>> = rows.iter().map(|row| row[..row.len() - 1].to_vec()).collect();
    let targets: Vec<u32> = rows.iter().flat_map(|row| row[1..].iter().copied()).collect();
    let logits = model
        .forward(&Inputs::from_ids(&inputs, 0)?, &mut ())?
        .logits
        .ok_or("no logits")?;
    Ok((logits.flatten_to(1)?, Tensor::new(targets.as_slice(), &Device::Cpu)?))
}

/// Rows of `LONGEST + 1` token ids: what is read and, one further, what is to be predicted.
struct Rows<'a> {
    texts: Box<dyn Iterator<Item = String>>,
    tokenizer: &'a Tokenizer,
    end: u32,
    random: Random,
}

impl<'a> Rows<'a> {
    fn new(seed: u64, tokenizer: &'a Tokenizer) -> Result<Self> {
        Ok(Self {
            texts: Box::new(data::training_stories(seed).map(|story| story.text())),
            tokenizer,
            end: tokens::id(tokenizer, tokens::END_OF_TEXT)?,
            random: Random::new(seed ^ 0x726f_7773),
        })
    }

    fn next(&mut self) -> Result<Vec<u32>> {
        let mut row = vec![self.end];
        while row.len() <= LONGEST {
            let text = self.texts.next().unwrap_or_default();
            let times = if self.random.chance(TOLD_TWICE) { 2 } else { 1 };
            let encoded = self.tokenizer.encode(text, false)?;
            (0..times).for_each(|_| row.extend(encoded.get_ids()));
            if self.random.chance(0.5) {
                row.push(self.end);
            }
        }
        row.truncate(LONGEST + 1);
        Ok(row)
    }
}

/// Scores on held-out texts.
pub(crate) fn evaluate(model: &Model, tokenizer: &Tokenizer) -> Result<Vec<Score>> {
    let end = tokens::id(tokenizer, tokens::END_OF_TEXT)?;
    let (mut loss, mut right, mut all) = (0.0, 0.0, 0);
    for story in data::held_out() {
        let mut ids = tokenizer.encode(story.text(), true)?.get_ids().to_vec();
        ids.push(end);
        let (logits, targets) = predictions(model, &[ids])?;
        let count = targets.elem_count();
        loss += f64::from(cross_entropy(&logits, &targets)?.to_scalar::<f32>()?) * count as f64;
        right += accuracy(&logits, &targets)? * count as f32;
        all += count;
    }
    let (mut agreed, mut cases) = (0, 0);
    for case in data::agreement_across_a_noun() {
        let ids = tokenizer.encode(case.before, true)?.get_ids().to_vec();
        let last = ids.len() - 1;
        let logits = model
            .forward(&Inputs::from_ids(&[ids], 0)?, &mut ())?
            .logits
            .ok_or("no logits")?;
        let logits: Vec<f32> = logits.get(0)?.get(last)?.to_vec1()?;
        // `Ġ` is how byte pairs write the space before a word.
        let (verb, other) = (
            tokens::id(tokenizer, &format!("Ġ{}", case.verb))?,
            tokens::id(tokenizer, &format!("Ġ{}", case.other))?,
        );
        agreed += usize::from(logits[verb as usize] > logits[other as usize]);
        cases += 1;
    }
    Ok(vec![
        Score::number(
            "perplexity per token of the default sentences",
            (loss / all as f64).exp() as f32,
        ),
        Score::share(
            "next tokens of the default sentences predicted right",
            right.round() as usize,
            all,
        ),
        Score::share(
            "`is`/`are`, `was`/`were` preferred rightly after a noun of the other number",
            agreed,
            cases,
        ),
    ])
}
