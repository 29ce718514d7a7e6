//! Captures: what every head of a model computed for a data set of texts or images.
//!
//! A [`Capturer`] is a model and what prepares its input. What it reads is given as any iterator of strings, pairs or
//! images; where the capture goes and who watches is said in a [`CaptureRun`].
//!
//! ```
//! # use attn_models::{Checkpoint, Gradients, Model, Weights};
//! use attn_models::Capturer;
//! # fn open() -> attn_models::Result<Capturer> {
//! #     let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}"#;
//! #     let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
//! #     let vocabulary = br#"{"model": {"type": "WordLevel", "vocab": {"the": 0, "cat": 1, "sat": 2}, "unk_token": "the"},
//! #                            "pre_tokenizer": {"type": "Whitespace"}}"#;
//! #     Ok(Capturer::new(model).with_tokenizer(attn_models::Tokenizer::from_bytes(vocabulary, "tokenizer.json".as_ref())?))
//! # }
//! # let capturer = open()?;
//! let capture = capturer.capture_lines(["the cat sat", "the cat"])?;
//! assert_eq!(capture.sequences()[1].decoder[1].text, "cat");
//! # Ok::<(), attn_models::Error>(())
//! ```
//!
//! Sequences run in batches of similar length, so that little time goes into padding, up to four at a time. Queries,
//! keys and values go to the store while the model runs, layer by layer, so that memory holds the weights and these
//! batches. A line whose batch would take more than [`Limits`] allow is refused before anything runs, with its name and
//! its tokens. The attention of a long line is computed in blocks of queries, so its memory grows with its tokens, not with
//! their square.

mod batch;
mod input;
mod memory;
mod notes;
mod pairs;
mod positions;
mod run;
mod sounds;
mod tokens;
mod watch;

use std::{path::PathBuf, sync::Arc};

use attn_core::{Attention, Capture, Limits, ModelInfo, Sequence, Side, capture::CaptureOptions};
use candle_core::Tensor;

pub(crate) use self::positions::positioned_sides;
use self::{batch::Lengths, input::Input, pairs::Pair, positions::shuffled};
pub use self::{
    notes::cut_notes,
    run::{CaptureOutcome, CaptureRun},
};
use crate::{
    Checkpoint, Error, Inputs, Model, Result, Tokenizer,
    families::Config,
    generate::GenerationParams,
    images::{Image, ImageProcessor},
    intervene::{Edit, Intervention, Interventions, Selection},
    model::Vision,
    sounds::{Sound, SoundProcessor},
    text::Line,
};

/// Token slots of a batch, padding included. Larger batches are not faster on a CPU: the products are long enough,
/// and the intermediate results of this many tokens still fit the cache of a layer. On a GPU larger ones are.
pub const BATCH_TOKENS: usize = 1024;

/// A model, what prepares its input, and the settings of its captures.
///
/// Settings are given once, by the `with_` methods:
///
/// | setting | default |
/// |---|---|
/// | [`with_options`](Self::with_options): what to keep, how precisely | queries, keys and values in f32 |
/// | [`with_interventions`](Self::with_interventions): what to change inside the model | nothing |
/// | [`with_shuffled_positions`](Self::with_shuffled_positions) | no |
/// | [`with_generation`](Self::with_generation): how missing targets are written | as the checkpoint says, greedily |
/// | [`with_batch_tokens`](Self::with_batch_tokens) | [`BATCH_TOKENS`] |
/// | [`with_limits`](Self::with_limits): what a line may take of memory | half of what the machine has free |
///
/// Methods named `capture_` give a [`Capture`] in memory. Those without it (`lines`, `pairs`, `images`, `sequences`)
/// give a [`CaptureRun`], which can go to a folder and report progress.
///
/// ```no_run
/// use attn_models::{Capturer, Checkpoint, text::read_lines};
///
/// let capturer = Capturer::load(&Checkpoint::open("bert-base-uncased")?)?;
/// let outcome = capturer.lines(read_lines("sentences.txt")?).to_folder("capture").run()?;
/// println!("{} sequences", outcome.capture.sequences().len());
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug)]
pub struct Capturer {
    model: Model,
    tokenizer: Option<Tokenizer>,
    images: Option<ImageProcessor>,
    sounds: Option<SoundProcessor>,
    fingerprint: String,
    /// The checkpoint's folder, for messages.
    path: PathBuf,
    generation: GenerationParams,
    /// Files whose settings of generation are refused where something is generated: the model's, and those of their own.
    refused: Option<Box<(Config, Option<Config>)>>,
    options: CaptureOptions,
    interventions: Vec<Intervention>,
    shuffled_positions: Option<u64>,
    batch_tokens: usize,
    limits: Limits,
}

impl Capturer {
    /// Loads a checkpoint's model and what prepares its input.
    ///
    /// # Errors
    /// As [`Model::load`], and those of [`Checkpoint::tokenizer`] and [`Checkpoint::image_processor`] for what the
    /// folder has. A model of text without a tokenizer loads; [`lines`](Self::lines) then says what is missing.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        Self::with_model(checkpoint, Model::load(checkpoint)?, checkpoint.fingerprint())
    }

    /// A model and what a checkpoint has to prepare its input; `fingerprint` names the weights.
    pub(crate) fn with_model(checkpoint: &Checkpoint, model: Model, fingerprint: String) -> Result<Self> {
        let (tokenizer, images) = match model.vision() {
            Some(_) => (None, Some(checkpoint.image_processor()?)),
            // What reads sound and has no decoder reads no text.
            None if model.hearing().is_some() && model.info().attention(Attention::Cross).is_none() => (None, None),
            None if checkpoint.has_tokenizer() => (Some(checkpoint.tokenizer()?), None),
            None => (None, None),
        };
        let sounds = match model.hearing() {
            Some(_) if checkpoint.has_preprocessor() => Some(checkpoint.sound_processor()?),
            _ => None,
        };
        let (generation, refused) = match model.info().attention(Attention::Cross) {
            None => (GenerationParams::default(), None),
            Some(_) => match GenerationParams::read(checkpoint) {
                Ok(generation) => (generation, None),
                // Targets that are given need its tokens alone.
                Err(_) => {
                    let (model, own) = (checkpoint.config(), checkpoint.generation());
                    let files = Box::new((model.clone(), own.cloned()));
                    (GenerationParams::tokens(model, own)?, Some(files))
                }
            },
        };
        Ok(Self {
            tokenizer,
            images,
            sounds,
            generation,
            refused,
            fingerprint,
            path: checkpoint.path().to_owned(),
            ..Self::new(model)
        })
    }

    /// Captures with a model that is already built. It reads [`sequences`](Self::sequences) of ids; text needs
    /// [`with_tokenizer`](Self::with_tokenizer), images need [`with_image_processor`](Self::with_image_processor).
    pub fn new(model: Model) -> Self {
        Self {
            tokenizer: None,
            images: None,
            sounds: None,
            fingerprint: String::new(),
            path: PathBuf::from(&model.info().name),
            generation: GenerationParams::default(),
            refused: None,
            options: CaptureOptions::default(),
            interventions: Vec::new(),
            shuffled_positions: None,
            batch_tokens: BATCH_TOKENS,
            limits: model.limits(),
            model,
        }
    }

    /// What turns text into ids.
    pub fn with_tokenizer(mut self, tokenizer: Tokenizer) -> Self {
        self.tokenizer = Some(tokenizer);
        self
    }

    /// What turns images into pixels.
    pub fn with_image_processor(mut self, images: ImageProcessor) -> Self {
        self.images = Some(images);
        self
    }

    /// What turns sounds into features.
    pub fn with_sound_processor(mut self, sounds: SoundProcessor) -> Self {
        self.sounds = Some(sounds);
        self
    }

    /// What to keep, and how precisely. Default: queries, keys and values in f32; [`CaptureOptions::states`] keeps hidden states
    /// alone.
    pub fn with_options(mut self, options: CaptureOptions) -> Self {
        self.options = options;
        self
    }

    /// How an encoder-decoder starts, ends, and writes missing targets. Default: the checkpoint's settings, greedily.
    pub fn with_generation(mut self, generation: GenerationParams) -> Self {
        self.generation = generation;
        self.refused = None;
        self
    }

    /// What is changed inside the model while it is captured: heads that are ablated, edges that are knocked out.
    /// Sequences are counted over the capture. A token that a sequence does not have is not changed. Default: nothing.
    pub fn with_interventions(mut self, interventions: Vec<Intervention>) -> Self {
        self.interventions = interventions;
        self
    }

    /// Gives the tokens of every sequence each other's positions, drawn from this seed and the sequence's length.
    /// Default: tokens have their own positions.
    pub fn with_shuffled_positions(mut self, seed: u64) -> Self {
        self.shuffled_positions = Some(seed);
        self
    }

    /// Token slots of a batch, padding included; a batch holds at least one sequence. Default: [`BATCH_TOKENS`].
    pub fn with_batch_tokens(mut self, slots: usize) -> Self {
        self.batch_tokens = slots;
        self
    }

    /// Memory that a batch may take, the capture if it is kept in memory, and the decoded pixels of an image. The batches
    /// that run at the same time stay below it together. Default: half of the machine's free memory.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self.model = self.model.with_limits(limits);
        self.images = self.images.map(|images| images.with_limits(limits));
        self.sounds = self.sounds.map(|sounds| sounds.with_limits(limits));
        self
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The tokenizer, if there is one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// What prepares images, for a model of images.
    pub fn image_processor(&self) -> Option<&ImageProcessor> {
        self.images.as_ref()
    }

    /// How missing targets are written. Of a checkpoint with settings that are not supported, the special tokens alone.
    pub fn generation(&self) -> &GenerationParams {
        &self.generation
    }

    /// What is kept, and how precisely.
    pub fn options(&self) -> CaptureOptions {
        self.options
    }

    /// What is changed inside the model while it is captured.
    pub fn interventions(&self) -> &[Intervention] {
        &self.interventions
    }

    /// Captures lines of text in memory. Short for [`lines`](Self::lines) and [`run`](CaptureRun::run).
    ///
    /// # Errors
    /// As [`lines`](Self::lines).
    pub fn capture_lines<L: Into<Line>>(&self, lines: impl IntoIterator<Item = L>) -> Result<Capture> {
        Ok(self.lines(lines).run()?.capture)
    }

    /// Captures one text in memory.
    ///
    /// # Errors
    /// As [`lines`](Self::lines).
    pub fn capture_text(&self, text: &str) -> Result<Capture> {
        self.capture_lines([text])
    }

    /// Captures sources and targets in memory. Short for [`pairs`](Self::pairs) and [`run`](CaptureRun::run).
    ///
    /// # Errors
    /// As [`pairs`](Self::pairs).
    pub fn capture_pairs<S, T>(&self, pairs: impl IntoIterator<Item = (S, T)>) -> Result<Capture>
    where
        S: Into<String>,
        T: Into<String>,
    {
        Ok(self.pairs(pairs).run()?.capture)
    }

    /// Captures images in memory. Short for [`images`](Self::images) and [`run`](CaptureRun::run).
    ///
    /// # Errors
    /// As [`images`](Self::images).
    pub fn capture_images<I: Into<Image>>(&self, images: impl IntoIterator<Item = I>) -> Result<Capture> {
        Ok(self.images(images).run()?.capture)
    }

    /// Lines of text, to be captured: strings, or [`Line`]s with numbers of their own.
    ///
    /// A line that is longer than the model takes is cut, and [`Sequence::cut_from`] says so. One without a token, of white
    /// space or of characters that the tokenizer removes, is left out, and [`CaptureOutcome::notes`] says so.
    ///
    /// For an encoder-decoder a line is a source and, after a TAB, what the decoder is to write. The decoder then reads
    /// its start token and the target without the end (teacher forcing), so that each query predicts the token after
    /// its own. Without a target the model writes one, greedily. Both sides and the attention between them are kept.
    ///
    /// # Errors
    /// Of [`run`](CaptureRun::run): [`Error::Parameter`] for an encoder-decoder without a known start token,
    /// [`Error::MissingFile`] without a tokenizer, [`Error::Input`] for a model of images, [`Error::Empty`] if no line has a
    /// token, [`attn_core::Error::Memory`] for a line that is too long, those of [`Tokenizer::encode`]. Where a target is
    /// missing, [`Error::Unsupported`] for settings of generation that are not implemented.
    pub fn lines<L: Into<Line>>(&self, lines: impl IntoIterator<Item = L>) -> CaptureRun<'_> {
        let lines = (1..).zip(lines).map(|(place, line)| match line.into() {
            Line { number: 0, text } => Line { number: place, text },
            numbered => numbered,
        });
        CaptureRun::new(self, Input::Lines(lines.collect()))
    }

    /// Texts of a model with one stack, to be captured, each alone or with a second one: a pair, as classifiers of two sentences read it
    /// ([`Tokenizer::encode_pair`]). The tokens of the second have its [`segment`](attn_core::Token::segment), which a model with token types is given.
    /// The text of a sequence is both, with a TAB between them; spans lie in it.
    ///
    /// # Errors
    /// Of [`run`](CaptureRun::run): [`Error::Input`] for an encoder-decoder, and as [`lines`](Self::lines).
    pub fn texts<L: Into<Line>>(&self, texts: impl IntoIterator<Item = (L, Option<String>)>) -> CaptureRun<'_> {
        let texts = (1..).zip(texts).map(|(place, (line, second))| match line.into() {
            Line { number: 0, text } => (Line { number: place, text }, second),
            numbered => (numbered, second),
        });
        CaptureRun::new(self, Input::Texts(texts.collect()))
    }

    /// Sources and targets of an encoder-decoder, to be captured. An empty target is written by the model.
    ///
    /// # Errors
    /// Of [`run`](CaptureRun::run): [`Error::Input`] for a model of another kind, and as [`lines`](Self::lines).
    pub fn pairs<S, T>(&self, pairs: impl IntoIterator<Item = (S, T)>) -> CaptureRun<'_>
    where
        S: Into<String>,
        T: Into<String>,
    {
        let pairs = (1..).zip(pairs);
        let pairs = pairs.map(|(number, (source, target))| Pair {
            number,
            source: source.into(),
            target: Some(target.into()),
        });
        CaptureRun::new(self, Input::Pairs(pairs.collect()))
    }

    /// Images, to be captured.
    ///
    /// Each is decoded once at the start, so that one that is broken is found before hours of work, and again when
    /// its turn comes, so that memory holds one batch. One that cannot be read is left out, and [`CaptureOutcome::notes`] says so.
    ///
    /// # Errors
    /// Of [`run`](CaptureRun::run): [`Error::Image`] or [`Error::Io`] if no image can be read, [`Error::Input`] for a model of
    /// text.
    pub fn images<I: Into<Image>>(&self, images: impl IntoIterator<Item = I>) -> CaptureRun<'_> {
        let images: Vec<Image> = images.into_iter().map(Into::into).collect();
        CaptureRun::new(self, Input::Images(images.into()))
    }

    /// Sounds and what is said in them, to be captured by a model of sound. The encoder's tokens are positions in time, the
    /// decoder reads the transcript (teacher forcing). Without a transcript the model writes one, greedily, in the language and for
    /// the task that [`generation`](Self::generation) forces ([`Checkpoint::with_speech`]); one without a decoder leaves it at the text
    /// that is given. A sound that is longer than the model takes is cut, and [`CaptureOutcome::notes`] say so; a transcript that is
    /// longer is cut too, which [`cut_notes`] tells.
    ///
    /// Each is decoded once at the start, so that one that is broken is found before hours of work, and again when its turn
    /// comes. One that cannot be read is left out, and [`CaptureOutcome::notes`] says so.
    ///
    /// # Errors
    /// Of [`run`](CaptureRun::run): [`Error::Sound`] or [`Error::Io`] if no sound can be read, [`Error::Input`] for a model of another kind,
    /// [`Error::MissingFile`] without a preprocessor or a tokenizer, and as [`lines`](Self::lines).
    pub fn sounds<S: Into<Sound>>(&self, sounds: impl IntoIterator<Item = (S, Option<String>)>) -> CaptureRun<'_> {
        let sounds = sounds.into_iter().map(|(sound, transcript)| (sound.into(), transcript));
        CaptureRun::new(self, Input::Sounds(sounds.collect::<Vec<_>>().into()))
    }

    /// Sequences whose tokens have their ids already, to be captured: text that another tokenizer read, tokens drawn at
    /// random, the sequences of another capture.
    ///
    /// # Errors
    /// Of [`run`](CaptureRun::run): [`Error::Input`] for a model of images and for tokens without an id.
    pub fn sequences(&self, sequences: impl IntoIterator<Item = Sequence>) -> CaptureRun<'_> {
        CaptureRun::new(self, Input::Sequences(sequences.into_iter().collect()))
    }

    /// A batch of images as the model reads them.
    ///
    /// # Errors
    /// Those of [`Image::decode`]; [`Error::Input`] for a model of text, [`Error::MissingFile`] without a preprocessor.
    pub fn image_inputs<'i>(&self, images: impl IntoIterator<Item = &'i Image>) -> Result<Inputs> {
        let (processor, vision) = self.eye()?;
        let read = |image: &Image| -> Result<Tensor> {
            let decoded = image.decode_within(self.limits)?;
            let pixels = processor.batch(&[decoded], &vision);
            pixels.map_err(|error| error.of_image(&image.name()))
        };
        let images = images.into_iter().map(read).collect::<Result<Vec<_>>>()?;
        if images.is_empty() {
            return Err(Error::Empty {
                place: "images".to_owned(),
                message: "at least one image".to_owned(),
            });
        }
        Ok(Inputs::from_pixels(Tensor::cat(&images, 0)?))
    }

    /// What prepares images, and the size it prepares them for.
    fn eye(&self) -> Result<(&ImageProcessor, Vision)> {
        let Some(vision) = self.model.vision() else {
            return Err(Error::input("pixel_values", "text: this is a model of text", "images"));
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
    ///
    /// # Errors
    /// [`Error::Intervention`] for positions that only some sequences lose, where a capture keeps them once for all.
    fn changed_info(&self) -> Result<ModelInfo> {
        let mut info = self.model.info().clone();
        for (index, change) in self.interventions.iter().enumerate() {
            let Edit::RemovePositions { side } = change.edit else {
                continue;
            };
            let own = info.attentions.iter_mut().filter(|info| {
                let sides = (info.attention.query_side(), info.attention.key_side());
                sides == (side, side)
            });
            for own in own {
                let shared = own.relative_bias.is_some() || own.alibi.is_some() || own.relative_vectors.is_some();
                if shared && change.sequences != Selection::All {
                    return Err(Error::Intervention {
                        place: format!("intervention {index} ({})", change.edit.name()),
                        expected: "all sequences: a capture keeps the positions once for all".to_owned(),
                        found: "some sequences".to_owned(),
                    });
                }
                own.relative_bias = None;
                own.alibi = None;
            }
        }
        Ok(info)
    }

    /// What is changed in the reading of some sequences, which have these lengths.
    fn changes(&self, sequences: &[usize], lengths: &[Lengths]) -> Result<Interventions> {
        let mut changes = self.interventions.clone();
        if let Some(seed) = self.shuffled_positions {
            changes.extend(shuffled(self.model.info(), seed, sequences, lengths)?);
        }
        Interventions::new(self.model.info(), changes)
    }

    /// The stack that reads the input of a model with one stack.
    fn side(&self) -> Side {
        let first = self.model.info().attentions.first();
        first.map_or(Side::Encoder, |info| info.attention.query_side())
    }
}

/// Images are shared between the plan and the batches.
type Images = Arc<[Image]>;
