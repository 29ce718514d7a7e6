//! Continues a text, or translates it, and shows what was weighed at each step.
//!
//! ```sh
//! cargo run --release --example generate -- --model stories --text "Once upon a time" --max-new-tokens 60
//! cargo run --release --example generate -- --model opus-mt-en-de --text "The cat sat." --beams 4 --top 3
//! cargo run --release --example generate -- --model opus-mt-en-de --text "The cat sat." --price "Der Hund sass."
//! cargo run --release --example generate -- --model stories --text "Once" --edits without-head-3.json
//! cargo run --release --example generate -- --model nllb --text "The cat sat." --source-language eng_Latn --language deu_Latn
//! ```
//!
//! `--price` reads another answer in one pass: the log-probability and the rank of each of its tokens. `--edits` changes the model
//! in every step: a JSON list of interventions, such as
//! `[{"edit": "head_mask", "attention": "decoder_self", "layer": 1, "heads": {"only": [3]}, "factor": 0}]`.
//!
//! Options start from the checkpoint's `generation_config.json`. Greedy generation and sampling write as they go; a beam search
//! answers at its end. `--inputs` feeds the given tensors and `--json` prints everything, for comparisons with a reference.

#![allow(clippy::print_stderr, clippy::exit, reason = "a command-line program")]

use std::{error::Error, io::Write, ops::ControlFlow, path::PathBuf, process::ExitCode};

use attn_sdk::{
    core::Attention,
    embedded,
    models::{
        Checkpoint, Inputs, Model, Tokenizer,
        generate::{EarlyStopping, Emitted, GenerationOverrides, GenerationParams, Generator, TextStream},
        intervene::{Intervention, Interventions},
        record::read_inputs,
    },
};
use clap::Parser;
use examples_common::Terminal;

/// Continues or translates a text.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Folder of the model, GGUF file, name in the local cache of the hub, or an embedded one: text-decoder, dates
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// What to continue or to translate
    #[arg(long, required_unless_present = "inputs")]
    text: Option<String>,
    /// Input tensors to feed as they are: input_ids, attention_mask, decoder_input_ids
    #[arg(long, value_name = "IN.safetensors", conflicts_with_all = ["text", "prefix", "price"])]
    inputs: Option<PathBuf>,
    /// Sequences kept at each step
    #[arg(long, value_name = "N")]
    beams: Option<usize>,
    /// At most this many new tokens
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// Scores are log-probabilities over the length to this power
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    length_penalty: Option<f64>,
    /// End as soon as as many sequences are finished as there are beams
    #[arg(long)]
    early_stopping: bool,
    /// Draw tokens; below 1 the likely ones become likelier
    #[arg(long, value_name = "F")]
    temperature: Option<f64>,
    /// Draw among this many tokens, 0 for all
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Draw among the most likely tokens that have this probability together
    #[arg(long, value_name = "F")]
    top_p: Option<f64>,
    /// Draw among the tokens that are at least this share as likely as the most likely one
    #[arg(long, value_name = "F")]
    min_p: Option<f64>,
    /// Draw among the tokens of the most typical surprise that have this probability together
    #[arg(long, value_name = "F")]
    typical_p: Option<f64>,
    /// Draw with this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Make tokens that are there already less likely: 1 changes nothing
    #[arg(long, value_name = "F")]
    repetition_penalty: Option<f64>,
    /// In a beam search, let other tokens share the probability of forbidden ones
    #[arg(long)]
    renormalize: bool,
    /// List so many of the most likely tokens after each beam of each step
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Read this answer too: log-probability and rank of each of its tokens
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    price: Option<String>,
    /// Change the model in every step by the interventions in this file
    #[arg(long, value_name = "FILE.json")]
    edits: Option<PathBuf>,
    /// The language of the text, as the model calls it: eng_Latn, en_XX, en
    #[arg(long, value_name = "CODE")]
    source_language: Option<String>,
    /// The language to translate into
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// What the answer has to begin with
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Print everything as JSON: sequences, scores, and every expansion of every step
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| generate(&options))
}

fn generate(options: &Options) -> Result<(), Box<dyn Error>> {
    let checkpoint = match options.model.to_str().and_then(embedded::find) {
        Some(model) if !options.model.exists() => model.checkpoint()?,
        _ => Checkpoint::open(&options.model)?,
    };
    let model = Model::load(&checkpoint)?;
    let mut tokenizer = checkpoint.has_tokenizer().then(|| checkpoint.tokenizer()).transpose()?;
    let mut params = GenerationParams::read(&checkpoint)?;
    if let (Some(own), Some(language)) = (&tokenizer, &options.language) {
        params.set_language(own, language)?;
    }
    if let (Some(own), Some(language)) = (&tokenizer, &options.source_language) {
        tokenizer = Some(own.clone().with_language(language)?);
    }
    // Options in place of the checkpoint's settings.
    params.override_with(&GenerationOverrides {
        beams: options.beams,
        max_new_tokens: options.max_new_tokens,
        length_penalty: options.length_penalty,
        early_stopping: options.early_stopping.then_some(EarlyStopping::Full),
        temperature: options.temperature,
        top_k: options.top_k,
        top_p: options.top_p,
        min_p: options.min_p,
        typical_p: options.typical_p,
        seed: options.seed,
        repetition_penalty: options.repetition_penalty,
        renormalize: options.renormalize.then_some(true),
        top_tokens: options.top,
    });
    let mut tap = edits(options, &model)?;
    let inputs = inputs(options, &model, tokenizer.as_ref(), &mut params)?;

    let terminal = Terminal::new();
    let generator = Generator::new(&model, &params)?;
    let streams = !options.json && params.beams == 1 && options.inputs.is_none();
    let mut stream = tokenizer.as_ref().filter(|_| streams).map(TextStream::new);
    // Errors of writing are the program's: a macro would panic where whoever reads has gone.
    let mut out = std::io::stdout();
    let mut written = Ok(());
    let mut on_token = |emitted: Emitted| {
        if let Some(Ok(more)) = stream.as_mut().map(|stream| stream.push(emitted.token)) {
            written = write!(out, "{more}").and_then(|()| out.flush());
        }
        match terminal.stopped() || written.is_err() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let generated = if streams {
        let generated = generator.stream(&inputs, &mut tap, &(), &mut on_token);
        written?;
        writeln!(out, "\n")?;
        generated?
    } else {
        generator.run(&inputs, &mut tap, &terminal)?
    };
    if options.json {
        let all: Vec<_> = generated.iter().map(|one| one.to_json(tokenizer.as_ref())).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        for one in &generated {
            write!(out, "{}", one.describe(tokenizer.as_ref()))?;
        }
    }
    if let (Some(text), Some(tokenizer)) = (&options.price, &tokenizer) {
        let ids = tokenizer.plain_ids(text, model.info())?;
        // A language comes before the text.
        let language = params
            .forced_first
            .filter(|_| model.info().attention(Attention::Cross).is_some());
        let ids: Vec<u32> = language.into_iter().chain(ids).collect();
        let read = generator.teacher_forced(&inputs, 0, &ids, &mut tap)?;
        writeln!(out, "\n{text}")?;
        for (at, (&id, log_probability)) in ids.iter().zip(read.text()).enumerate() {
            let rank = read.rank(at, id).map_or(0, |likelier| likelier + 1);
            writeln!(
                out,
                "{log_probability:9.4}  rank {rank:5}  {:?}",
                tokenizer.decode(&[id])?
            )?;
        }
    }
    Ok(())
}

/// What is changed inside the model.
fn edits(options: &Options, model: &Model) -> Result<Interventions, Box<dyn Error>> {
    let list: Vec<Intervention> = match &options.edits {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Vec::new(),
    };
    Ok(Interventions::new(model.info(), list)?)
}

fn inputs(
    options: &Options,
    model: &Model,
    tokenizer: Option<&Tokenizer>,
    params: &mut GenerationParams,
) -> Result<Inputs, Box<dyn Error>> {
    if let Some(path) = &options.inputs {
        return Ok(read_inputs(path)?);
    }
    let Some(tokenizer) = tokenizer else {
        return Err(format!("{}: no tokenizer: give --inputs", options.model.display()).into());
    };
    if let Some(prefix) = &options.prefix {
        params.prefix = tokenizer.plain_ids(prefix, model.info())?;
    }
    let source = tokenizer.prompt(options.text.as_deref().unwrap_or_default(), model.info())?;
    Ok(Inputs::from_ids(&[source], 0)?)
}
