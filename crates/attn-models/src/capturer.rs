//! From text lines or pictures to a capture: what every head of a model computed for a data set.
//!
//! Sequences run in batches of similar length, so that little time goes into padding, up to four at a time; queries, keys
//! and values go to the store while the model runs, layer by layer, so that memory holds the weights and these batches.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_core::{
    Attention, Capture, CaptureOptions, CapturePlan, CaptureWriter, ImageInfo, ModelInfo, Progress, Sequence, Side,
    Slot, Token, progress::step,
};
use image::DynamicImage;

use crate::{
    Checkpoint, Edit, Error, GenerationParams, Images, Inputs, Intervention, Interventions, Line, Model, Result,
    Tokenizer, Vision,
    batch::{Lengths, Store, buckets, in_turn},
    pairs::ids,
    twin::shuffled,
};

/// Token slots of a batch, padding included. Larger batches are not faster on a CPU: the products are long enough,
/// and the intermediate results of this many tokens still fit the cache of a layer. On a GPU larger ones are.
pub const BATCH_TOKENS: usize = 1024;

/// Most batches under way at a time.
const UNDER_WAY: usize = 4;

/// Captures what a model computes.
///
/// ```no_run
/// use attn_models::{Capturer, Checkpoint, read_lines};
///
/// let capturer = Capturer::load(&Checkpoint::open("bert-base-uncased")?)?;
/// let outcome = capturer.text(&read_lines("sentences.txt")?, Some("capture".as_ref()), &())?;
/// println!("{} sequences", outcome.capture.sequences().len());
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug)]
pub struct Capturer {
    model: Model,
    tokenizer: Option<Tokenizer>,
    images: Option<Images>,
    fingerprint: String,
    /// The checkpoint's folder, for messages.
    path: PathBuf,
    /// How an encoder-decoder starts, ends, and writes targets that lines do not give. Default: what the checkpoint says, greedily.
    pub generation: GenerationParams,
    /// What to keep and how precisely. Default: Q, K and V in f32.
    pub options: CaptureOptions,
    /// What is changed inside the model while it is captured: a twin without positions, or with heads taken out, to set
    /// beside the model as it is. Sequences and tokens are counted within batches, so name all of them. Default: nothing.
    pub interventions: Vec<Intervention>,
    /// Gives the tokens of every sequence each other's positions, dealt by this seed and the sequence's length. Default: no.
    pub shuffled_positions: Option<u64>,
    /// Token slots of a batch. Default: [`BATCH_TOKENS`].
    pub batch_tokens: usize,
}

/// A capture, and whether it holds everything that was asked for.
#[derive(Debug)]
pub struct CaptureOutcome {
    /// What was captured. After a cancellation: the sequences that were finished.
    pub capture: Capture,
    /// Whether that is all; `false` after a cancellation.
    pub complete: bool,
}

/// A picture to capture.
#[derive(Debug, Clone)]
pub enum Picture {
    /// A file.
    File(PathBuf),
    /// A name and the content of a file.
    Memory(String, Cow<'static, [u8]>),
}

impl Picture {
    /// What a person calls it: the file's name.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
            Self::Memory(name, _) => name.clone(),
        }
    }

    /// Decodes it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Image`].
    pub fn decode(&self) -> Result<DynamicImage> {
        match self {
            Self::File(path) => Images::open(path),
            Self::Memory(name, bytes) => Images::decode(bytes, name.as_ref()),
        }
    }
}

impl Capturer {
    /// Loads a checkpoint's model and what prepares its input.
    ///
    /// # Errors
    /// As [`Model::load`], and those of [`Checkpoint::tokenizer`] and [`Checkpoint::images`] for what the folder has.
    /// A model of text without a tokenizer loads; [`text`](Self::text) then says what is missing.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        Self::with_model(checkpoint, Model::load(checkpoint)?, checkpoint.fingerprint())
    }

    /// A model and what a checkpoint has to prepare its input; `fingerprint` names the weights.
    pub(crate) fn with_model(checkpoint: &Checkpoint, model: Model, fingerprint: String) -> Result<Self> {
        let (tokenizer, images) = match model.vision() {
            Some(_) => (None, Some(checkpoint.images()?)),
            None if checkpoint.has_tokenizer() => (Some(checkpoint.tokenizer()?), None),
            None => (None, None),
        };
        let generation = match model.info().attention(Attention::Cross) {
            Some(_) => GenerationParams::read(checkpoint)?,
            None => GenerationParams::default(),
        };
        Ok(Self {
            generation,
            fingerprint,
            path: checkpoint.path().to_owned(),
            ..Self::new(model, tokenizer, images)
        })
    }

    /// Captures with a model that is already built.
    pub fn new(model: Model, tokenizer: Option<Tokenizer>, images: Option<Images>) -> Self {
        let path = PathBuf::from(&model.info().name);
        let options = CaptureOptions::default();
        Self {
            model,
            tokenizer,
            images,
            fingerprint: String::new(),
            path,
            generation: GenerationParams::default(),
            options,
            interventions: Vec::new(),
            shuffled_positions: None,
            batch_tokens: BATCH_TOKENS,
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The tokenizer, if there is one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// Captures lines of text, to a folder (resuming an interrupted capture of the same) or in memory.
    ///
    /// Lines longer than the model takes are cut, and [`Sequence::cut_from`] says so.
    ///
    /// For an encoder-decoder a line is a source and, after a TAB, what the decoder is to write: it then reads its start token and
    /// the target without the end (teacher forcing), so that each query predicts the token after its own. Without a
    /// target the model writes one, greedily. Both sides and the attention between them are kept.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an encoder-decoder whose start token nobody names,
    /// [`Error::MissingFile`] without a tokenizer, [`Error::Input`] for a model of images, those of
    /// [`Tokenizer::encode`], [`Model::forward`] and of the store. A cancellation before the first finished batch is
    /// [`attn_core::Error::Cancelled`].
    pub fn text(&self, lines: &[Line], folder: Option<&Path>, progress: &dyn Progress) -> Result<CaptureOutcome> {
        if self.model.vision().is_some() {
            return Err(Error::input("input_ids", "pictures: this is a model of images", "text"));
        }
        let Some(tokenizer) = &self.tokenizer else {
            return Err(Error::MissingFile {
                path: self.path.clone(),
                what: "tokenizer",
                expected: crate::checkpoint::TOKENIZER,
            });
        };
        if self.model.info().attention(Attention::Cross).is_some() {
            return self.sequences(self.pairs(tokenizer, lines, progress)?, folder, progress);
        }
        let side = self.side();
        let mut sequences = Vec::with_capacity(lines.len());
        for (done, line) in lines.iter().enumerate() {
            if done % 256 == 0 {
                step(progress, "tokens", done, lines.len())?;
            }
            let name = format!("line {}", line.number);
            let encoded = tokenizer
                .encode(&line.text, self.model.info())
                .map_err(|error| at_line(error, &name))?;
            let mut sequence = Sequence {
                name,
                text: Some(line.text.clone()),
                cut_from: encoded.cut_from,
                ..Sequence::default()
            };
            *tokens_mut(&mut sequence, side) = encoded.tokens;
            sequences.push(sequence);
        }
        self.sequences(sequences, folder, progress)
    }

    /// Captures sequences whose tokens have their ids already: text that another tokenizer read, or tokens drawn at random.
    ///
    /// # Errors
    /// [`Error::Input`] for a model of images and for tokens without an id, and as [`text`](Self::text).
    pub fn sequences(
        &self,
        sequences: Vec<Sequence>,
        folder: Option<&Path>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        if self.model.vision().is_some() {
            return Err(Error::input(
                "input_ids",
                "pictures: this is a model of images",
                "tokens",
            ));
        }
        for sequence in &sequences {
            let tokens = sequence.encoder.iter().chain(&sequence.decoder);
            if let Some(token) = tokens.clone().find(|token| token.id.is_none()) {
                let found = format!("`{}` of {} without one", token.text, sequence.name);
                return Err(Error::input("input_ids", "an id for every token", found));
            }
        }
        let rows = |sequences: &[Sequence], chosen: &[usize], side: Side| -> Result<Inputs> {
            let rows = chosen.iter().map(|&at| ids(sequences[at].tokens(side)));
            Inputs::from_ids(&rows.collect::<Vec<_>>(), 0)
        };
        if self.model.info().attention(Attention::Cross).is_none() {
            let side = self.side();
            let prepare = |sequences: &[Sequence], chosen: &[usize]| rows(sequences, chosen, side);
            return self.run(sequences, prepare, folder, progress);
        }
        let prepare = |sequences: &[Sequence], chosen: &[usize]| {
            let target = rows(sequences, chosen, Side::Decoder)?;
            Ok(Inputs {
                decoder_input_ids: target.input_ids,
                decoder_attention_mask: target.attention_mask,
                ..rows(sequences, chosen, Side::Encoder)?
            })
        };
        self.run(sequences, prepare, folder, progress)
    }

    /// Captures pictures, to a folder (resuming an interrupted capture of the same) or in memory.
    ///
    /// Each is decoded once at the start, so that one that is broken is found before hours of work, and again when
    /// its turn comes, so that memory holds one batch.
    ///
    /// # Errors
    /// [`Error::Image`], [`Error::Input`] for a model of text, and as [`text`](Self::text).
    pub fn pictures(
        &self,
        pictures: &[Picture],
        folder: Option<&Path>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        let (images, vision) = self.eye()?;
        let mut sequences = Vec::with_capacity(pictures.len());
        for (done, picture) in pictures.iter().enumerate() {
            step(progress, "pictures", done, pictures.len())?;
            images.pixels(&picture.decode()?, &vision)?;
            let path = match picture {
                Picture::File(path) => Some(path.clone()),
                Picture::Memory(..) => None,
            };
            sequences.push(Sequence {
                name: picture.name(),
                image: Some(ImageInfo {
                    path,
                    rows: vision.rows,
                    columns: vision.columns,
                    data: None,
                }),
                encoder: patch_tokens(&vision),
                ..Sequence::default()
            });
        }
        let prepare = |_: &[Sequence], chosen: &[usize]| self.picture_inputs(chosen.iter().map(|&at| &pictures[at]));
        let mut outcome = self.run(sequences, prepare, folder, progress)?;
        let in_memory = pictures.iter().filter_map(|picture| match picture {
            Picture::Memory(name, bytes) => Some((name, &**bytes)),
            Picture::File(_) => None,
        });
        outcome.capture.add_images(in_memory);
        Ok(outcome)
    }

    /// A batch of pictures as the model reads them.
    ///
    /// # Errors
    /// Those of [`Picture::decode`]; [`Error::Input`] for a model of text, [`Error::MissingFile`] without a preprocessor.
    pub fn picture_inputs<'p>(&self, pictures: impl IntoIterator<Item = &'p Picture>) -> Result<Inputs> {
        let (images, vision) = self.eye()?;
        let decoded = pictures.into_iter().map(Picture::decode).collect::<Result<Vec<_>>>()?;
        Ok(Inputs::from_pixels(images.batch(&decoded, &vision)?))
    }

    /// What prepares pictures, and the size it prepares them for.
    fn eye(&self) -> Result<(&Images, Vision)> {
        let Some(vision) = self.model.vision() else {
            return Err(Error::input(
                "pixel_values",
                "text: this is a model of text",
                "pictures",
            ));
        };
        let Some(images) = &self.images else {
            return Err(Error::MissingFile {
                path: self.path.clone(),
                what: "image preprocessor",
                expected: crate::checkpoint::PREPROCESSOR,
            });
        };
        // Some are published with a preprocessor for another size than they were trained on (DINOv2).
        let vision = match images.size().map(|(height, width)| vision.at(height, width)) {
            Some(Some(prepared)) => prepared,
            _ => vision,
        };
        Ok((images, vision))
    }

    /// Names the weights and what is changed inside: a capture of one is not resumed by the other.
    fn changed_fingerprint(&self) -> String {
        let mut name = match serde_json::to_string(&self.interventions) {
            Ok(changes) if !self.interventions.is_empty() => format!("{} {changes}", self.fingerprint),
            _ => self.fingerprint.clone(),
        };
        if let Some(seed) = self.shuffled_positions {
            name.push_str(&format!(" positions shuffled by {seed}"));
        }
        name
    }

    /// The model's facts as they are after the changes: attention is recomputed from them.
    fn changed_info(&self) -> ModelInfo {
        let mut info = self.model.info().clone();
        for change in &self.interventions {
            if let Edit::RemovePositions { side } = change.edit {
                let own = info.attentions.iter_mut().filter(|info| {
                    let sides = (info.attention.query_side(), info.attention.key_side());
                    sides == (side, side)
                });
                own.for_each(|info| info.relative_bias = None);
            }
        }
        info
    }

    /// What is changed in the reading of a batch.
    fn changes(&self, lengths: &[Lengths]) -> Result<Interventions> {
        let mut changes = self.interventions.clone();
        if let Some(seed) = self.shuffled_positions {
            changes.extend(shuffled(self.model.info(), seed, lengths)?);
        }
        Ok(Interventions::new(self.model.info(), changes)?.with_batch(lengths.len()))
    }

    /// The stack that reads the input of a model with one stack.
    fn side(&self) -> Side {
        self.model
            .info()
            .attentions
            .first()
            .map_or(Side::Encoder, |info| info.attention.query_side())
    }

    /// Batches under way at a time: a few fill the time that one leaves idle, however many threads share its products, and each
    /// takes memory. A GPU computes one after the other in any case, and a browser has no threads.
    fn threads(&self) -> usize {
        match self.model.device().is_cpu() && !cfg!(target_family = "wasm") {
            true => rayon::current_num_threads().min(UNDER_WAY),
            false => 1,
        }
    }

    fn run(
        &self,
        sequences: Vec<Sequence>,
        prepare: impl Fn(&[Sequence], &[usize]) -> Result<Inputs> + Sync,
        folder: Option<&Path>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        if sequences.is_empty() {
            return Err(Error::Empty {
                place: "capture".to_owned(),
                message: "at least one line or picture".to_owned(),
            });
        }
        let plan = CapturePlan {
            model: self.changed_info(),
            sequences,
            options: self.options,
            fingerprint: self.changed_fingerprint(),
        };
        // Wrong changes are refused before anything is written.
        self.changes(&[])?;
        let writer = match folder {
            Some(folder) => CaptureWriter::create(folder, plan)?,
            None => CaptureWriter::in_memory(plan)?,
        };
        let sides = |sequence: &Sequence| Lengths {
            encoder: sequence.encoder.len(),
            decoder: sequence.decoder.len(),
        };
        let tokens: Vec<Lengths> = writer.plan().sequences.iter().map(sides).collect();
        let lengths: Vec<usize> = tokens.iter().map(|tokens| tokens.encoder.max(tokens.decoder)).collect();
        let total = tokens.iter().map(Lengths::sum).sum();
        let pending: Vec<usize> = (0..lengths.len()).filter(|&at| !writer.is_done(at)).collect();
        let done = AtomicUsize::new(total - pending.iter().map(|&at| tokens[at].sum()).sum::<usize>());
        // Logits belong to the decoder where there is one.
        let logits_side = match self.model.info().attention(Attention::DecoderSelf) {
            Some(_) => Side::Decoder,
            None => Side::Encoder,
        };
        let mut batches = buckets(pending, &lengths, self.batch_tokens);
        // Long ones first: what is too large for the memory is found at once, and no thread waits for a long one at the end.
        batches.reverse();
        let captured: Result<()> = in_turn(batches.len(), self.threads(), |at| {
            let batch = &batches[at];
            step(progress, "capture", done.load(Ordering::Relaxed), total)?;
            let inputs = prepare(&writer.plan().sequences, batch)?;
            let batch_lengths: Vec<Lengths> = batch.iter().map(|&at| tokens[at]).collect();
            let mut store = Store {
                writer: &writer,
                batch,
                lengths: &batch_lengths,
                keeps_hidden: self.options.hidden,
            };
            // What is changed is changed before it is kept.
            let mut changes = self.changes(&batch_lengths)?;
            let output = self.model.forward(&inputs, &mut (&mut changes, &mut store))?;
            if let Some(logits) = output.logits.filter(|logits| self.options.logits && logits.rank() == 3) {
                let side = logits_side;
                store.write(Slot::Logits { side }, side, &logits.unsqueeze(1)?)?;
            }
            writer.commit(batch)?;
            done.fetch_add(batch_lengths.iter().map(Lengths::sum).sum(), Ordering::Relaxed);
            Ok(())
        });
        match captured {
            Ok(()) => {}
            Err(error) if error.is_cancelled() && (0..lengths.len()).any(|at| writer.is_done(at)) => {
                return Ok(CaptureOutcome {
                    capture: writer.finish()?,
                    complete: false,
                });
            }
            Err(error) => return Err(error),
        }
        // The last report is not a question any more.
        let _ = progress.update("capture", total, total);
        Ok(CaptureOutcome {
            capture: writer.finish()?,
            complete: true,
        })
    }
}

/// An error about a text, with the line it stands in.
pub(crate) fn at_line(error: Error, line: &str) -> Error {
    match error {
        Error::Empty { message, .. } => Error::Empty {
            place: line.to_owned(),
            message,
        },
        other => other,
    }
}

fn tokens_mut(sequence: &mut Sequence, side: Side) -> &mut Vec<Token> {
    match side {
        Side::Encoder => &mut sequence.encoder,
        Side::Decoder => &mut sequence.decoder,
    }
}

/// The class token and its like, then the patches row by row.
fn patch_tokens(vision: &Vision) -> Vec<Token> {
    let special = (0..vision.special).map(|at| Token {
        text: if at == 0 { "[CLS]".to_owned() } else { format!("[{at}]") },
        special: true,
        ..Token::default()
    });
    let patches = (0..vision.rows).flat_map(|row| (0..vision.columns).map(move |column| (row, column)));
    let patches = patches.map(|(row, column)| Token {
        text: format!("{row},{column}"),
        patch: Some((row, column)),
        ..Token::default()
    });
    special
        .chain(patches)
        .enumerate()
        .map(|(position, token)| Token { position, ..token })
        .collect()
}
