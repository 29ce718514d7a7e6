//! Models of images and captions: two towers whose vectors are compared (CLIP, SigLIP).
//!
//! Radford et al. 2021, <https://arxiv.org/abs/2103.00020>; Zhai et al. 2023, <https://arxiv.org/abs/2303.15343>.
//!
//! Each tower is a [`Model`] with one stack, and everything works on it as on any other. A checkpoint of both is opened as
//! its vision model; [`Checkpoint::text_tower`] is the same checkpoint as its text model.

use candle_core::{D, Tensor};
use serde_json::{Map, Value, json};

use crate::{
    Checkpoint, Error, Inputs, Model, Result, Tap, Weights,
    error::{SHORT, excerpt},
    families::Config,
};

/// What a family of two towers has of its own.
struct Family {
    name: &'static str,
    /// The family and the class of its text model.
    text: (&'static str, &'static str),
    /// Names of the object of the text model's options; the first that is there counts.
    options: &'static [&'static str],
    /// Shape of the factor on cosines.
    scale: &'static [usize],
    /// Whether every pair is a question of its own, with a bias; else texts compete for an image.
    pairwise: bool,
}

const FAMILIES: [Family; 2] = [
    Family {
        name: "clip",
        text: ("clip_text_model", "CLIPTextModelWithProjection"),
        // The older name comes before the other, as in the reference.
        options: &["text_config_dict", "text_config"],
        scale: &[],
        pairwise: false,
    },
    Family {
        name: "siglip",
        text: ("siglip_text_model", "SiglipTextModel"),
        options: &["text_config"],
        scale: &[1],
        pairwise: true,
    },
];

impl Family {
    fn of(config: &Config) -> Result<Option<&'static Self>> {
        let name = config.text("model_type")?;
        // A classifier of images has no captions.
        let classifies = config
            .architecture()
            .is_some_and(|class| class.contains("Classification"));
        let family = FAMILIES.iter().find(|family| Some(family.name) == name);
        Ok(family.filter(|_| !classifies))
    }
}

impl Checkpoint {
    /// The same checkpoint as its text model, of a model of images and captions (CLIP, SigLIP); `None` for any other.
    /// Whatever loads it then reads texts: a model, a capturer, a description.
    ///
    /// ```no_run
    /// use attn_models::{Capturer, Checkpoint};
    ///
    /// let clip = Checkpoint::open("openai/clip-vit-base-patch32")?;
    /// let images = Capturer::load(&clip)?.capture_images([std::path::Path::new("cat.png")])?;
    /// if let Some(text) = clip.text_tower()? {
    ///     let texts = Capturer::load(&text)?.capture_lines(["a photo of a cat"])?;
    /// }
    /// # Ok::<(), attn_models::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for options that are no object.
    pub fn text_tower(&self) -> Result<Option<Self>> {
        let config = self.config();
        let Some(family) = Family::of(config)? else {
            return Ok(None);
        };
        let mut options: Map<String, Value> = Map::new();
        for name in family.options {
            if let Some(own) = config.object(name)? {
                options = own.entries().map(|(key, value)| (key.clone(), value.clone())).collect();
                break;
            }
        }
        options.insert("model_type".to_owned(), json!(family.text.0));
        options.insert("architectures".to_owned(), json!([family.text.1]));
        if let Some(width) = config.get("projection_dim") {
            options.insert("projection_dim".to_owned(), width.clone());
        }
        let config = Config::from_parts(options, config.path(), Vec::new());
        Ok(Some(self.clone().with_config(config)))
    }
}

/// Both models of a checkpoint, and how their vectors are compared.
///
/// ```no_run
/// use attn_models::{Capturer, Checkpoint, Inputs, towers::Towers};
///
/// let checkpoint = Checkpoint::open("openai/clip-vit-base-patch32")?;
/// let towers = Towers::load(&checkpoint)?;
/// let tokenizer = checkpoint.tokenizer()?;
/// let texts = ["a photo of a cat", "a photo of a dog"];
/// let ids = texts.map(|text| tokenizer.encode(text, towers.text().info()).map(|encoded| encoded.ids()));
/// let ids = ids.into_iter().collect::<Result<Vec<_>, _>>()?;
/// let images = Capturer::load(&checkpoint)?.image_inputs([&std::path::Path::new("cat.png").into()])?;
/// let compared = towers.compare(&Inputs::from_ids(&ids, 0)?, &images)?;
/// println!("{}", compared.probabilities()?); // [images, texts]
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug)]
pub struct Towers {
    text: Model,
    vision: Model,
    /// Factor on cosines.
    scale: f64,
    bias: f64,
    pairwise: bool,
}

/// Texts and images as vectors, and how well they agree.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Vectors of length 1: `[texts, width]`.
    pub text_embeds: Tensor,
    /// Vectors of length 1: `[images, width]`.
    pub image_embeds: Tensor,
    /// `[images, texts]`.
    pub logits_per_image: Tensor,
    pairwise: bool,
}

impl Towers {
    /// Loads both models for inference on the CPU.
    ///
    /// # Errors
    /// [`Error::UnknownFamily`] for a checkpoint of another kind, and as [`Model::load`].
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        let config = checkpoint.config();
        let (Some(family), Some(text)) = (Family::of(config)?, checkpoint.text_tower()?) else {
            let found = config.text("model_type")?.unwrap_or("nothing");
            return Err(Error::UnknownFamily {
                path: config.path().to_owned(),
                found: excerpt(found, SHORT),
                supported: FAMILIES.map(|family| family.name).join(", "),
            });
        };
        let weights = Weights::open(checkpoint);
        let number = |name: &str| -> Result<f64> {
            let tensor = weights.get(name, family.scale)?.flatten_all()?;
            let value = tensor.to_vec1::<f32>()?.first().copied();
            Ok(f64::from(value.unwrap_or_default()))
        };
        Ok(Self {
            scale: number("logit_scale")?.exp(),
            bias: match family.pairwise {
                true => number("logit_bias")?,
                false => 0.0,
            },
            pairwise: family.pairwise,
            text: Model::load(&text)?,
            vision: Model::load(checkpoint)?,
        })
    }

    /// The model of texts.
    pub fn text(&self) -> &Model {
        &self.text
    }

    /// The model of images.
    pub fn vision(&self) -> &Model {
        &self.vision
    }

    /// Compares every text with every image.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn compare(&self, texts: &Inputs, images: &Inputs) -> Result<Comparison> {
        self.compare_tapped(texts, images, &mut (), &mut ())
    }

    /// As [`compare`](Self::compare), with a tap on each tower.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn compare_tapped(
        &self,
        texts: &Inputs,
        images: &Inputs,
        text_tap: &mut dyn Tap,
        image_tap: &mut dyn Tap,
    ) -> Result<Comparison> {
        let text_embeds = unit(&self.text, texts, text_tap)?;
        let image_embeds = unit(&self.vision, images, image_tap)?;
        let cosines = image_embeds.matmul(&text_embeds.t()?)?;
        Ok(Comparison {
            logits_per_image: cosines.affine(self.scale, self.bias)?,
            text_embeds,
            image_embeds,
            pairwise: self.pairwise,
        })
    }
}

impl Comparison {
    /// `[texts, images]`.
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn logits_per_text(&self) -> Result<Tensor> {
        Ok(self.logits_per_image.t()?.contiguous()?)
    }

    /// The probability that a text is the caption of an image, `[images, texts]`: among these texts (CLIP), or of each pair
    /// by itself (SigLIP).
    ///
    /// # Errors
    /// [`Error::Candle`].
    pub fn probabilities(&self) -> Result<Tensor> {
        Ok(match self.pairwise {
            true => candle_nn::ops::sigmoid(&self.logits_per_image)?,
            false => candle_nn::ops::softmax(&self.logits_per_image, D::Minus1)?,
        })
    }
}

/// The vectors of a batch, at length 1.
fn unit(model: &Model, inputs: &Inputs, tap: &mut dyn Tap) -> Result<Tensor> {
    let Some(pooled) = model.forward(inputs, tap)?.pooled else {
        let name = &model.info().name;
        let found = match model.notes() {
            [] => format!("`{name}`, which makes none"),
            notes => format!("`{name}`, which {}", notes.join(", and ")),
        };
        return Err(Error::Input {
            name: "pooled",
            expected: "a model that makes one vector of its input".to_owned(),
            found,
        });
    };
    let length = pooled.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    Ok(pooled.broadcast_div(&length)?)
}
