//! Continues a text, or translates it, and shows what was weighed at each step:
//! ```sh
//! cargo run --release --example generate -- --model stories --text "Once upon a time" --max-new-tokens 60
//! cargo run --release --example generate -- --model opus-mt-en-de --text "The cat sat." --beams 4 --top 3
//! cargo run --release --example generate -- --model opus-mt-en-de --text "The cat sat." --price "Der Hund sass."
//! cargo run --release --example generate -- --model nllb --text "The cat sat." --source-language eng_Latn --language deu_Latn
//! ```
//!
//! `--price` reads another answer in one pass: the log-probability and the rank of each of its tokens. `--edits` changes the model
//! in every step: a JSON list of interventions, such as
//! `[{"edit": "head_mask", "attention": "decoder_self", "layer": 1, "heads": {"only": [3]}, "factor": 0}]`.
//!
//! Options start from the checkpoint's `generation_config.json`. Greedy generation and sampling write as they go. `--inputs` feeds
//! the given tensors and `--json` prints everything, for comparisons with a reference.

use std::{error::Error, io::Write, ops::ControlFlow, path::PathBuf, process::ExitCode};

use attn_sdk::{
    core::Attention,
    embedded,
    models::{
        Checkpoint, Inputs, Model, Tokenizer,
        generate::{Emitted, GenerationParams, Generator, TextStream},
        intervene::{Intervention, Interventions},
        record::read_inputs,
    },
};
use clap::Parser;
use examples_common::{SearchArgs, Terminal, read_json};

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
    #[command(flatten)]
    search: SearchArgs,
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
    params.override_with(&options.search.overrides());
    let edits: Option<Vec<Intervention>> = options.edits.as_ref().map(read_json).transpose()?;
    let mut tap = Interventions::new(model.info(), edits.unwrap_or_default())?;
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
        if terminal.stopped() || written.is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let generated = if streams {
        let generated = generator.stream(&inputs, &mut tap, &(), &mut on_token);
        written?;
        writeln!(out, "\n")?;
        generated?
    } else {
        generator.run(&inputs, &mut tap, &terminal)?
    };
    let own = tokenizer.as_ref();
    if options.json {
        let all: Vec<_> = generated.iter().map(|one| one.to_json(own)).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else {
        let all: String = generated.iter().map(|one| one.describe(own)).collect();
        write!(out, "{all}")?;
    }
    if let (Some(text), Some(tokenizer)) = (&options.price, &tokenizer) {
        let ids = tokenizer.plain_ids(text, model.info())?;
        // A language comes before the text.
        let translates = model.info().attention(Attention::Cross).is_some();
        let language = params.forced_first.filter(|_| translates);
        let ids: Vec<u32> = language.into_iter().chain(ids).collect();
        let read = generator.teacher_forced(&inputs, 0, &ids, &mut tap)?;
        write!(out, "\n{text}\n{}", read.describe(Some(tokenizer)))?;
    }
    Ok(())
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
    let missing = || format!("{}: no tokenizer: give --inputs", options.model.display());
    let tokenizer = tokenizer.ok_or_else(missing)?;
    if let Some(prefix) = &options.prefix {
        params.prefix = tokenizer.plain_ids(prefix, model.info())?;
    }
    let source = tokenizer.prompt(options.text.as_deref().unwrap_or_default(), model.info())?;
    Ok(Inputs::from_ids(&[source], 0)?)
}
