//! Files of a model: they are loaded, and a few tokens or pixels go through.

use std::{path::Path, sync::OnceLock};

use attn_core::{Limits, ModelInfo};
use attn_models::{
    Checkpoint, Inputs, Model, Tokenizer,
    candle::{DType, Device, Tensor},
    images::{Image, ImageProcessor},
    model::Vision,
};

use crate::{
    fixtures::{FAMILIES, file},
    mutate::{Form, Seed},
};

fn family(choice: u8) -> &'static str {
    FAMILIES[usize::from(choice) % FAMILIES.len()]
}

/// The files of this name of all families.
fn all(name: &str, form: Form) -> Vec<Seed> {
    let seed = |(choice, family): (usize, &&str)| {
        let bytes = file(family, name)?;
        Some(Seed {
            choice: choice as u8,
            form,
            bytes,
        })
    };
    FAMILIES.iter().enumerate().filter_map(seed).collect()
}

/// `config.json`, beside the weights of a fixture.
pub(super) fn config(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let Some(weights) = file(family(*choice), "model.safetensors") else {
        return;
    };
    run(family(*choice), bytes.to_vec(), weights);
}

pub(super) fn configs() -> Vec<Seed> {
    all("config.json", Form::Json)
}

/// `model.safetensors`, beside the configuration of a fixture.
pub(super) fn checkpoint(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let Some(config) = file(family(*choice), "config.json") else {
        return;
    };
    run(family(*choice), config, bytes.to_vec());
}

pub(super) fn checkpoints() -> Vec<Seed> {
    all("model.safetensors", Form::Safetensors)
}

fn run(name: &str, config: Vec<u8>, weights: Vec<u8>) {
    if let Ok(checkpoint) = Checkpoint::from_bytes(name, config, weights) {
        forward(&checkpoint);
    }
}

/// What is in it, and a few tokens or pixels through it.
pub(super) fn forward(checkpoint: &Checkpoint) {
    checkpoint.describe();
    let Ok(model) = Model::load(checkpoint) else { return };
    let inputs = match model.vision() {
        // A model may come to take huge pictures; they are not made.
        Some(Vision {
            channels,
            height,
            width,
            ..
        }) => {
            let size = channels.checked_mul(height).and_then(|size| size.checked_mul(width));
            if size.is_none_or(|size| size > 1 << 16) {
                return;
            }
            let pixels = Tensor::zeros((1, channels, height, width), DType::F32, &Device::Cpu);
            pixels.map(Inputs::from_pixels).ok()
        }
        None => Inputs::from_ids(&[vec![1, 2, 3], vec![1, 2]], 0)
            .ok()
            .map(|mut inputs| {
                if model.info().attentions.len() > 1 {
                    let target = Inputs::from_ids(&[vec![2, 3], vec![2, 4]], 0).ok();
                    inputs.decoder_input_ids = target.and_then(|target| target.input_ids);
                }
                inputs
            }),
    };
    if let Some(inputs) = inputs {
        let _ = model.forward(&inputs, &mut ());
    }
}

/// `tokenizer.json`.
pub(super) fn tokenizer(data: &[u8]) {
    let Some((_, bytes)) = data.split_first() else { return };
    let Ok(tokenizer) = Tokenizer::from_bytes(bytes, Path::new("tokenizer.json")) else {
        return;
    };
    read_text(&tokenizer);
}

/// Odd texts to tokens and back.
pub(super) fn read_text(tokenizer: &Tokenizer) {
    let mut model = ModelInfo::new("tiny", "bert", 8);
    model.max_tokens = Some(16);
    for text in ["", "To be, or not to be", "e\u{301} سلام 🙂\u{200d}🙂 \u{0}", "  ####  "] {
        if let Ok(encoded) = tokenizer.encode(text, &model) {
            let _ = tokenizer.decode(&encoded.ids());
        }
        let _ = tokenizer.prompt(text, &model);
        let _ = tokenizer.plain_ids(text, &model);
        let _ = tokenizer.encode_pair(text, "b", &model);
    }
    let _ = tokenizer.decode(&[0, 1, 5, u32::MAX]);
    tokenizer.special_ids();
}

pub(super) fn tokenizers() -> Vec<Seed> {
    all("tokenizer.json", Form::Json)
}

/// A picture, or what says how pictures are prepared.
pub(super) fn images(data: &[u8]) {
    static VISION: OnceLock<Option<Vision>> = OnceLock::new();
    let of_fixture = || {
        let (config, weights) = (file("vit", "config.json")?, file("vit", "model.safetensors")?);
        Model::load(&Checkpoint::from_bytes("vit", config, weights).ok()?)
            .ok()?
            .vision()
    };
    let Some(vision) = VISION.get_or_init(of_fixture) else {
        return;
    };
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let whole = file("vit", "preprocessor_config.json").unwrap_or_default();
    let (picture, processor) = match choice % 2 {
        0 => (bytes.to_vec(), whole),
        _ => (picture("png"), bytes.to_vec()),
    };
    // A header of a few bytes may name pixels that fit the machine but not a case.
    let limits = Limits::of(256 << 20);
    let picture = Image::memory("picture", picture).decode_within(limits);
    let processor = ImageProcessor::new(&processor, Path::new("preprocessor_config.json"));
    if let (Ok(picture), Ok(processor)) = (picture, processor.map(|processor| processor.with_limits(limits))) {
        let _ = processor.pixels(&picture, vision);
        processor.size();
    }
}

pub(super) fn pictures() -> Vec<Seed> {
    let seed = |choice, form, bytes| Seed { choice, form, bytes };
    let mut seeds: Vec<Seed> = ["png", "jpeg", "bmp", "webp", "gif", "tiff"]
        .map(|format| seed(0, Form::Bytes, picture(format)))
        .into();
    let processors = ["vit", "deit", "dinov2", "clip-vision"].into_iter();
    let processors = processors.filter_map(|family| file(family, "preprocessor_config.json"));
    seeds.extend(processors.map(|bytes| seed(1, Form::Json, bytes)));
    seeds
}

/// A small picture.
fn picture(format: &str) -> Vec<u8> {
    use attn_models::image::{DynamicImage, ImageFormat, RgbImage};
    let pixels = RgbImage::from_fn(24, 18, |x, y| [(x * 10) as u8, (y * 13) as u8, (x * y) as u8].into());
    let mut file = std::io::Cursor::new(Vec::new());
    let format = ImageFormat::from_extension(format).unwrap();
    DynamicImage::from(pixels).write_to(&mut file, format).unwrap();
    file.into_inner()
}
