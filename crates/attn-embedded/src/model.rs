//! The models, as the files of their checkpoints.

use std::fmt;

/// A checkpoint whose files are part of the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedModel {
    /// Its name on the command line: `text-encoder`, `text-decoder`, `vision`, `dates`, `sentiment`.
    pub name: &'static str,
    /// `config.json`.
    pub config: &'static [u8],
    /// `model.safetensors`.
    pub weights: &'static [u8],
    /// `tokenizer.json`, for models of text.
    pub tokenizer: Option<&'static [u8]>,
    /// `preprocessor_config.json`, for models of images.
    pub preprocessor: Option<&'static [u8]>,
}

impl EmbeddedModel {
    /// The checkpoint, to be loaded by `attn_models::Model::load` or `attn_models::Capturer::load`.
    ///
    /// # Errors
    /// Those of `attn_models::Checkpoint::from_bytes`: none for the models of this crate.
    #[cfg(feature = "models")]
    pub fn checkpoint(&self) -> attn_models::Result<attn_models::Checkpoint> {
        let mut checkpoint = attn_models::Checkpoint::from_bytes(self.name, self.config, self.weights)?;
        if let Some(tokenizer) = self.tokenizer {
            checkpoint = checkpoint.with_tokenizer(tokenizer);
        }
        if let Some(preprocessor) = self.preprocessor {
            checkpoint = checkpoint.with_image_processor(preprocessor);
        }
        Ok(checkpoint)
    }
}

impl fmt::Display for EmbeddedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The name alone: the files are megabytes.
impl fmt::Debug for EmbeddedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbeddedModel").field(&self.name).finish()
    }
}

macro_rules! file {
    ($model:literal, $name:literal) => {
        include_bytes!(concat!("../models/", $model, "/", $name)).as_slice()
    };
}

/// BERT, 4 layers x 4 heads: masked language model of [`sentences`](crate::sentences).
pub const TEXT_ENCODER: EmbeddedModel = EmbeddedModel {
    name: "text-encoder",
    config: file!("text-encoder", "config.json"),
    weights: file!("text-encoder", "model.safetensors"),
    tokenizer: Some(file!("text-encoder", "tokenizer.json")),
    preprocessor: None,
};

/// GPT-2, 4 layers x 4 heads: language model of [`sentences`](crate::sentences).
pub const TEXT_DECODER: EmbeddedModel = EmbeddedModel {
    name: "text-decoder",
    config: file!("text-decoder", "config.json"),
    weights: file!("text-decoder", "model.safetensors"),
    tokenizer: Some(file!("text-decoder", "tokenizer.json")),
    preprocessor: None,
};

/// ViT, 4 layers x 4 heads: classifier of the synthetic [`IMAGES`](crate::IMAGES).
pub const VISION: EmbeddedModel = EmbeddedModel {
    name: "vision",
    config: file!("vision", "config.json"),
    weights: file!("vision", "model.safetensors"),
    tokenizer: None,
    preprocessor: Some(file!("vision", "preprocessor_config.json")),
};

/// Pegasus, an encoder-decoder of 2 + 2 layers x 4 heads: converter of [`dates`](crate::dates).
pub const DATES: EmbeddedModel = EmbeddedModel {
    name: "dates",
    config: file!("dates", "config.json"),
    weights: file!("dates", "model.safetensors"),
    tokenizer: Some(file!("dates", "tokenizer.json")),
    preprocessor: None,
};

/// [`TEXT_ENCODER`], fine-tuned to tell negative, neutral and positive texts apart. [`SENTIMENT_EPOCHS`] and
/// [`SENTIMENT_LOG`](crate::SENTIMENT_LOG) record its training.
pub const SENTIMENT: EmbeddedModel = EmbeddedModel {
    name: "sentiment",
    config: file!("sentiment", "config.json"),
    weights: file!("sentiment", "model.safetensors"),
    tokenizer: Some(file!("sentiment", "tokenizer.json")),
    preprocessor: None,
};

/// The checkpoints after each of the four epochs of the training of [`SENTIMENT`], in their order. The first epoch started
/// from [`TEXT_ENCODER`], the last one ended with [`SENTIMENT`].
pub const SENTIMENT_EPOCHS: [EmbeddedModel; 4] = [
    EmbeddedModel {
        name: "sentiment, epoch 1",
        weights: file!("sentiment/epoch-1", "model.safetensors"),
        ..SENTIMENT
    },
    EmbeddedModel {
        name: "sentiment, epoch 2",
        weights: file!("sentiment/epoch-2", "model.safetensors"),
        ..SENTIMENT
    },
    EmbeddedModel {
        name: "sentiment, epoch 3",
        weights: file!("sentiment/epoch-3", "model.safetensors"),
        ..SENTIMENT
    },
    EmbeddedModel {
        name: "sentiment, epoch 4",
        ..SENTIMENT
    },
];

/// All five. A program that calls this holds them all.
pub fn all() -> [EmbeddedModel; 5] {
    [TEXT_ENCODER, TEXT_DECODER, VISION, DATES, SENTIMENT]
}

/// The model of a name; `None` if there is none. A program that calls this holds them all.
pub fn find(name: &str) -> Option<EmbeddedModel> {
    all().into_iter().find(|model| model.name == name)
}
