//! The text encoder: BERT with a masked language modeling head.
//!
//! Devlin, Chang, Lee and Toutanova 2019, "BERT": some of the tokens are to be guessed; of these 80 % are replaced by
//! `[MASK]`, 10 % by a random token, 10 % are left as they are. A quarter of the tokens instead of BERT's 15 %: more to
//! learn from each batch (Wettig et al. 2023, "Should You Mask 15 % in Masked Language Modeling?").

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

const LONGEST: usize = 64;
const STEPS: usize = 8000;
/// Share of masked tokens.
const HIDDEN: f32 = 0.25;
/// Tokens of a batch, about.
const BATCH: usize = 640;

fn config(vocabulary: usize) -> Value {
    json!({
        "architectures": ["BertForMaskedLM"], "model_type": "bert",
        "vocab_size": vocabulary, "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 256,
        "hidden_act": "relu", "max_position_embeddings": LONGEST, "type_vocab_size": 1, "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.02, "pad_token_id": 0,
        "tie_word_embeddings": true
    })
}

pub(crate) fn train(training: &Training) -> Result<()> {
    let tokenizer = tokens::word_pieces(training.seed)?;
    let config = config(tokenizer.get_vocab_size(true));
    let weights = Weights::initialize(training.seed);
    let model = Model::build("text-encoder", &config.to_string(), &weights, Gradients::On)?;
    initialize(&weights)?;
    let masking = Masking::new(&tokenizer)?;
    let mut random = Random::new(training.seed ^ 0x6d61_736b);
    let mut rows = Rows::new(training.seed, &tokenizer);
    let plan = Plan {
        steps: training.steps.unwrap_or(STEPS),
        peak: 1.2e-3,
        warm_up: WARM_UP,
    };
    let elapsed = optimize(&weights, plan, || {
        let longest = *random.pick(&[16, 24, 32, 48, LONGEST]);
        let mut batch = Vec::new();
        while batch.len() * longest < BATCH {
            batch.push(rows.next(longest)?);
        }
        let guesses = masking.hide(&mut batch, &mut random);
        let logits = model
            .forward(&Inputs::from_ids(&batch, masking.padding)?, &mut ())?
            .logits
            .ok_or("no logits")?;
        let (logits, targets) = guesses.select(&logits)?;
        Ok(Batch {
            loss: cross_entropy(&logits, &targets)?,
            accuracy: accuracy(&logits, &targets)?,
        })
    })?;

    let files = [("tokenizer_config.json", tokens::word_pieces_config(LONGEST))];
    card::save(&training.out, &weights, &config, &files, Some(&tokenizer))?;
    let scores = evaluate(&Model::load(&Checkpoint::open(&training.out)?)?, &tokenizer)?;
    card::write(
        &training.out,
        &Card {
            title: "Text encoder",
            what: "A masked language model of the BERT family: 4 layers x 4 heads, hidden size 128, up to 64 word pieces, lower case.",
            data: "English sentences and very short stories from the grammar in `examples/train/src/grammar.rs` and `stories.rs`: agreement \
                   across phrases and clauses, pronouns, full names that come again, quotations, lists, numbers. About 450 words; any \
                   other word is spelled letter by letter, which the model has not been trained on.",
            command: "text-encoder",
            training,
            steps: plan.steps,
            elapsed,
            scores: &scores,
        },
    )
}

/// Rows of token ids: one text or several, framed by `[CLS]` and `[SEP]`.
struct Rows<'a> {
    texts: Box<dyn Iterator<Item = String>>,
    tokenizer: &'a Tokenizer,
}

impl<'a> Rows<'a> {
    fn new(seed: u64, tokenizer: &'a Tokenizer) -> Self {
        Self {
            texts: Box::new(data::training_stories(seed).map(|story| story.text())),
            tokenizer,
        }
    }

    /// As many texts as fit into `longest` tokens; a text that does not fit ends the row.
    fn next(&mut self, longest: usize) -> Result<Vec<u32>> {
        let mut row = String::new();
        let mut ids = Vec::new();
        for text in &mut self.texts {
            let longer = if row.is_empty() { text } else { format!("{row} {text}") };
            let encoded = self.tokenizer.encode(longer.as_str(), true)?.get_ids().to_vec();
            if encoded.len() > longest {
                if ids.is_empty() {
                    continue;
                }
                break;
            }
            (row, ids) = (longer, encoded);
        }
        Ok(ids)
    }
}

/// Masks tokens for the model to predict.
struct Masking {
    padding: u32,
    mask: u32,
    vocabulary: usize,
    /// Ids below this are special tokens, which are never masked.
    special: u32,
}

/// Places of masked tokens, and their ids.
struct Guesses {
    /// `row * longest + column`.
    places: Vec<u32>,
    targets: Vec<u32>,
}

impl Masking {
    fn new(tokenizer: &Tokenizer) -> Result<Self> {
        let mask = tokens::id(tokenizer, tokens::MASK)?;
        let padding = tokens::id(tokenizer, tokens::PAD)?;
        Ok(Self {
            padding,
            mask,
            vocabulary: tokenizer.get_vocab_size(true),
            special: mask + 1,
        })
    }

    fn hide(&self, batch: &mut [Vec<u32>], random: &mut Random) -> Guesses {
        let longest = batch.iter().map(Vec::len).max().unwrap_or(0);
        let mut guesses = Guesses {
            places: Vec::new(),
            targets: Vec::new(),
        };
        for (row, ids) in batch.iter_mut().enumerate() {
            // Every row gives at least one guess.
            let sure = 1 + random.below(ids.len() - 2);
            for (column, id) in ids.iter_mut().enumerate() {
                if *id < self.special || !(column == sure || random.chance(HIDDEN)) {
                    continue;
                }
                guesses.places.push((row * longest + column) as u32);
                guesses.targets.push(*id);
                *id = match random.below(10) {
                    0 => *id,
                    1 => self.special + random.below(self.vocabulary - self.special as usize) as u32,
                    _ => self.mask,
                };
            }
        }
        guesses
    }
}

impl Guesses {
    /// Logits `[guesses, vocabulary]` at the places, and the targets `[guesses]`.
    fn select(&self, logits: &Tensor) -> Result<(Tensor, Tensor)> {
        let places = Tensor::new(self.places.as_slice(), &Device::Cpu)?;
        Ok((
            logits.flatten_to(1)?.index_select(&places, 0)?,
            Tensor::new(self.targets.as_slice(), &Device::Cpu)?,
        ))
    }
}

/// Scores on masked tokens of held-out texts.
pub(crate) fn evaluate(model: &Model, tokenizer: &Tokenizer) -> Result<Vec<Score>> {
    let mask = tokens::id(tokenizer, tokens::MASK)?;
    // Every token of every default sentence, one at a time.
    let (mut right, mut all) = (0, 0);
    for story in data::held_out() {
        let ids = tokenizer.encode(story.text(), true)?.get_ids().to_vec();
        let places: Vec<usize> = (1..ids.len() - 1).collect();
        let rows: Vec<Vec<u32>> = places.iter().map(|&place| hidden_at(&ids, place, mask)).collect();
        let logits = model
            .forward(&Inputs::from_ids(&rows, 0)?, &mut ())?
            .logits
            .ok_or("no logits")?;
        let best: Vec<Vec<u32>> = logits.argmax(2)?.to_vec2()?;
        right += places
            .iter()
            .zip(&best)
            .filter(|&(&place, best)| best[place] == ids[place])
            .count();
        all += places.len();
    }
    // The number of a form of `be` after a noun of the other number.
    let (mut agreed, mut cases) = (0, 0);
    for case in data::agreement_across_a_noun() {
        let ids = tokenizer
            .encode(format!("{} {}{}", case.before, case.verb, case.after), true)?
            .get_ids()
            .to_vec();
        // `[CLS]` stands before the text.
        let place = 1 + tokenizer.encode(case.before.as_str(), false)?.len();
        let logits = model
            .forward(&Inputs::from_ids(&[hidden_at(&ids, place, mask)], 0)?, &mut ())?
            .logits
            .ok_or("no logits")?;
        let logits: Vec<f32> = logits.get(0)?.get(place)?.to_vec1()?;
        let (verb, other) = (tokens::id(tokenizer, &case.verb)?, tokens::id(tokenizer, case.other)?);
        agreed += usize::from(logits[verb as usize] > logits[other as usize]);
        cases += 1;
    }
    Ok(vec![
        Score::share(
            "hidden tokens of the default sentences guessed right, one at a time",
            right,
            all,
        ),
        Score::share(
            "`is`/`are`, `was`/`were` preferred rightly after a noun of the other number",
            agreed,
            cases,
        ),
    ])
}

fn hidden_at(ids: &[u32], place: usize, mask: u32) -> Vec<u32> {
    let mut ids = ids.to_vec();
    ids[place] = mask;
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_tokens_is_hidden_and_never_a_special_one() {
        let tokenizer = tokens::word_pieces(1).unwrap();
        let mut rows = Rows::new(4, &tokenizer);
        let masking = Masking::new(&tokenizer).unwrap();
        let mut random = Random::new(9);
        let (mut hidden, mut tokens, mut masked) = (0, 0, 0);
        for _ in 0..30 {
            let batch: Vec<Vec<u32>> = (0..20).map(|_| rows.next(48).unwrap()).collect();
            assert!(batch.iter().all(|ids| (7..=48).contains(&ids.len())));
            let mut asked = batch.clone();
            let guesses = masking.hide(&mut asked, &mut random);
            let longest = batch.iter().map(Vec::len).max().unwrap();
            for (&place, &target) in guesses.places.iter().zip(&guesses.targets) {
                let (row, column) = (place as usize / longest, place as usize % longest);
                assert_eq!(batch[row][column], target);
                assert!(target >= masking.special);
                masked += usize::from(asked[row][column] == masking.mask);
            }
            hidden += guesses.places.len();
            tokens += batch.iter().map(|ids| ids.len() - 2).sum::<usize>();
        }
        let (share, of_mask) = (hidden as f32 / tokens as f32, masked as f32 / hidden as f32);
        assert!(
            (0.25..0.30).contains(&share) && (0.76..0.84).contains(&of_mask),
            "{share} {of_mask}"
        );
    }
}
