//! Continues a text, or translates it, and shows what was weighed at each step.
//!
//! ```sh
//! cargo run --release --example generate -- --model stories --text "Once upon a time" --max-new-tokens 60
//! cargo run --release --example generate -- --model opus-mt-en-de --text "The cat sat." --beams 4
//! ```
//!
//! What the checkpoint says of generation (`generation_config.json`) is what options start from. Greedy generation and
//! sampling write as they go; a beam search answers at its end. With `--inputs` it feeds exactly the given
//! tensors, and with `--json` it prints everything, so that any model can be compared with its reference implementation from outside.

#![allow(clippy::print_stderr, clippy::exit, reason = "a command-line program")]

use std::{
    error::Error,
    io::{self, Write},
    ops::ControlFlow,
    path::PathBuf,
    process::ExitCode,
};

use attn_sdk::{
    core::{Attention, Token},
    embedded,
    models::{
        Checkpoint, Inputs, Model, Tokenizer,
        generate::{EarlyStopping, Emitted, Fate, Generated, GenerationParams, Generator, Sampling},
        record::read_inputs,
    },
};
use clap::Parser;
use examples_common::Terminal;
use serde_json::{Value, json};

/// Continues or translates a text.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Folder of the model, or the name of an embedded one: text-decoder, dates
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// What to continue or to translate
    #[arg(long, required_unless_present = "inputs")]
    text: Option<String>,
    /// Input tensors to feed as they are: input_ids, attention_mask, decoder_input_ids
    #[arg(long, value_name = "IN.safetensors", conflicts_with_all = ["text", "prefix"])]
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
    /// Draw with this seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
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
    let tokenizer = match checkpoint.has_tokenizer() {
        true => Some(checkpoint.tokenizer()?),
        false => None,
    };
    let mut params = GenerationParams::read(&checkpoint)?;
    settings(options, &mut params);
    let inputs = inputs(options, &model, tokenizer.as_ref(), &mut params)?;

    let terminal = Terminal::new();
    let generator = Generator::new(&model, &params)?;
    // One text is written while it is generated. Tokens are told one by one, but spaces and accents may depend on
    // the ones before: what is new is what the longer text adds.
    let streams = !options.json && params.beams == 1 && options.inputs.is_none();
    let (mut ids, mut shown) = (Vec::new(), String::new());
    // Errors of writing are the program's: a macro would panic on a closed pipe.
    let mut out = io::stdout();
    let mut written = Ok(());
    let mut on_token = |emitted: Emitted| {
        ids.push(emitted.token);
        if let Some(tokenizer) = tokenizer.as_ref().filter(|_| streams)
            && let Ok(text) = tokenizer.decode(&ids)
            && let Some(more) = text.strip_prefix(&shown)
            && !more.ends_with('\u{fffd}')
        {
            written = write!(out, "{more}").and_then(|()| out.flush());
            shown = text;
        }
        if terminal.stopped() || written.is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let generated = if streams {
        let generated = generator.stream(&inputs, &mut (), &(), &mut on_token);
        written?;
        writeln!(out, "\n")?;
        generated?
    } else {
        generator.run(&inputs, &mut (), &terminal)?
    };
    if options.json {
        let all: Vec<Value> = generated
            .iter()
            .map(|generated| as_json(generated, tokenizer.as_ref()))
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        for generated in &generated {
            print(&mut out, generated, tokenizer.as_ref())?;
        }
    }
    Ok(())
}

/// Options in place of the checkpoint's settings.
fn settings(options: &Options, params: &mut GenerationParams) {
    if let Some(beams) = options.beams {
        params.beams = beams;
    }
    if options.max_new_tokens.is_some() {
        params.max_new_tokens = options.max_new_tokens;
    }
    if let Some(length_penalty) = options.length_penalty {
        params.length_penalty = length_penalty;
    }
    if options.early_stopping {
        params.early_stopping = EarlyStopping::Full;
    }
    let drawn = options.temperature.is_some() || options.top_k.is_some() || options.top_p.is_some();
    if drawn || options.seed.is_some() {
        let before = params.sampling.unwrap_or_default();
        params.sampling = Some(Sampling {
            temperature: options.temperature.unwrap_or(before.temperature),
            top_k: options.top_k.unwrap_or(before.top_k),
            top_p: options.top_p.unwrap_or(before.top_p),
            seed: options.seed.unwrap_or(before.seed),
        });
        // Drawing needs one beam, and the checkpoint may have asked for more.
        if options.beams.is_none() {
            params.beams = 1;
        }
    }
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
    let translates = model.info().attention(Attention::Cross).is_some();
    let tokens =
        |text: &str| -> Result<Vec<Token>, Box<dyn Error>> { Ok(tokenizer.encode(text, model.info())?.tokens) };
    let ids = |tokens: Vec<Token>| -> Vec<u32> { tokens.into_iter().filter_map(|token| token.id).collect() };
    let mut source = tokens(options.text.as_deref().unwrap_or_default())?;
    // A text that is to be continued does not end yet.
    if !translates && source.len() > 1 && source.last().is_some_and(|last| last.special) {
        source.pop();
    }
    if let Some(prefix) = &options.prefix {
        let mut prefix = tokens(prefix)?;
        prefix.retain(|token| !token.special);
        params.prefix = ids(prefix);
    }
    let source = ids(source);
    Ok(Inputs::from_ids(&[source], 0)?)
}

/// The text of tokens, or their ids without a tokenizer.
fn text(tokens: &[u32], tokenizer: Option<&Tokenizer>) -> String {
    let ids = || tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    tokenizer
        .and_then(|tokenizer| tokenizer.decode(tokens).ok())
        .unwrap_or_else(ids)
}

fn as_json(generated: &Generated, tokenizer: Option<&Tokenizer>) -> Value {
    let sequences: Vec<Value> = generated
        .hypotheses
        .iter()
        .map(|hypothesis| {
            json!({
                "text": tokenizer.and_then(|tokenizer| tokenizer.decode(&hypothesis.tokens).ok()),
                "tokens": hypothesis.tokens,
                "score": hypothesis.score,
                "log_probabilities": hypothesis.log_probabilities,
                "ended": hypothesis.ended,
                "beams": hypothesis.beams,
            })
        })
        .collect();
    json!({"prompt": generated.prompt, "sequences": sequences, "trace": generated.trace})
}

/// The sequences, then for each step the expansions that lived and how many did not.
fn print(out: &mut impl Write, generated: &Generated, tokenizer: Option<&Tokenizer>) -> io::Result<()> {
    for hypothesis in &generated.hypotheses {
        writeln!(out, "{:9.4}  {}", hypothesis.score, text(&hypothesis.tokens, tokenizer))?;
    }
    writeln!(out)?;
    for (number, step) in generated.trace.iter().enumerate() {
        let living = step
            .expansions
            .iter()
            .filter(|expansion| expansion.fate != Fate::Pruned)
            .map(|expansion| {
                let Fate::Kept(beam) = expansion.fate else {
                    return format!("{}: {:.3}, finished", expansion.parent, expansion.total);
                };
                let token = text(&[expansion.token], tokenizer);
                format!("{} -> {beam} {token:?} {:.3}", expansion.parent, expansion.total)
            });
        let living: Vec<String> = living.collect();
        let pruned = step.expansions.len() - living.len();
        writeln!(out, "step {:3}  {}  ({pruned} pruned)", number + 1, living.join("   "))?;
    }
    Ok(())
}
