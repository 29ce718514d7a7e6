//! Recorded tensors of a forward pass, and the raw dump by which a model is compared with its reference.

use std::{collections::BTreeMap, path::Path};

use attn_core::{Attention, ModelInfo, Side, files::write_atomically};
use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};

use crate::{Error, Inputs, Model, Point, Result, Site, Tap, layout::Layout, tensor_file::TensorFile};

/// A tap that keeps the tensors of some points, of every layer.
///
/// ```
/// use attn_core::Attention;
/// use attn_models::{Gradients, Inputs, Model, Point, Site, Weights, record::Recorder};
///
/// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}"#;
/// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
/// let mut recorder = Recorder::of(&[Point::Attention]);
/// model.forward(&Inputs::from_ids(&[vec![5, 6, 7]], 0)?, &mut recorder)?;
/// let attention = &recorder.tensors[&Site::new(Attention::DecoderSelf, 1, Point::Attention)];
/// assert_eq!(attention.dims(), [1, 2, 3, 3]);
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    points: Vec<Point>,
    /// The tensors of the last pass.
    pub tensors: BTreeMap<Site, Tensor>,
    /// What their rows and columns are about; `None` before the first pass.
    pub layout: Option<Layout>,
}

impl Recorder {
    /// Records these points.
    pub fn of(points: &[Point]) -> Self {
        Self {
            points: points.to_vec(),
            ..Self::default()
        }
    }
}

impl Tap for Recorder {
    fn wants(&self, site: Site) -> bool {
        self.points.contains(&site.point)
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.layout = Some(layout.clone());
        Ok(())
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        self.tensors.insert(site, tensor.clone());
        Ok(tensor)
    }
}

/// Runs a batch and returns everything inside it under short names, for comparison with other implementations:
///
/// | name | meaning |
/// |---|---|
/// | `x.0.self.q` `.k` `.v` | queries, keys, values of layer 0: `[batch, heads or kv heads, tokens, head_dim]` |
/// | `x.0.self.q_pre` `.k_pre` | before rotation |
/// | `x.0.self.attn` | probabilities `[batch, heads, queries, keys]` |
/// | `x.0.self.ctx` | head outputs before the output projection `[batch, queries, heads, head_dim]` |
/// | `x.0.pool.q` ... | the same of a learned query that reads the last layer (SigLIP) |
/// | `x.0.moe.router_logits` | logits of a mixture's router `[batch, tokens, experts]` |
/// | `x.hidden.0` | hidden states, one more than layers: `[batch, tokens, hidden]` |
/// | `logits` `last_hidden` `pooled` | outputs |
///
/// `x` is the stack of a model that has one; encoder-decoders have `enc` and `dec`, and `cross` beside `self`, and
/// `enc.last_hidden`. Where there is a bias per relative offset, `enc.rel_bias` is the bias that is added to the scores.
///
/// # Errors
/// As [`Model::forward`].
pub fn run_raw(model: &Model, inputs: &Inputs) -> Result<BTreeMap<String, Tensor>> {
    let mut recorder = Recorder::of(&[
        Point::QueryBeforeRotation,
        Point::KeyBeforeRotation,
        Point::Query,
        Point::Key,
        Point::Value,
        Point::Attention,
        Point::HeadOutput,
        Point::Router,
        Point::Hidden,
        Point::Positions,
    ]);
    let output = model.forward(inputs, &mut recorder)?;
    let mut tensors = BTreeMap::new();
    for (site, tensor) in recorder.tensors {
        if let Some(name) = raw_name(model.info(), site) {
            tensors.insert(name, tensor.contiguous()?);
        }
    }
    // Of two stacks the encoder's output has no place of its own among the outputs.
    let encoded = (0..)
        .map_while(|layer| tensors.get(&format!("enc.hidden.{layer}")))
        .last();
    if let Some(encoded) = encoded.cloned() {
        tensors.insert("enc.last_hidden".to_owned(), encoded);
    }
    tensors.insert("last_hidden".to_owned(), output.last_hidden);
    tensors.extend(output.logits.map(|logits| ("logits".to_owned(), logits)));
    tensors.extend(output.pooled.map(|pooled| ("pooled".to_owned(), pooled)));
    Ok(tensors)
}

fn raw_name(info: &ModelInfo, site: Site) -> Option<String> {
    let stack = match (info.attentions.len(), site.side()) {
        (0 | 1, _) => "x",
        (_, Side::Encoder) => "enc",
        (_, Side::Decoder) => "dec",
    };
    let layers = info.attention(site.attention).map_or(0, |own| own.layers.len());
    let (kind, layer) = match site.attention {
        Attention::Cross => ("cross", site.layer),
        // What reads the last layer of a vision model.
        _ if site.layer >= layers => ("pool", site.layer - layers),
        _ => ("self", site.layer),
    };
    let short = match site.point {
        Point::Hidden => return Some(format!("{stack}.hidden.{}", site.layer)),
        Point::Router => return Some(format!("{stack}.{}.moe.router_logits", site.layer)),
        Point::QueryBeforeRotation => "q_pre",
        Point::KeyBeforeRotation => "k_pre",
        Point::Query => "q",
        Point::Key => "k",
        Point::Value => "v",
        Point::Attention => "attn",
        Point::HeadOutput => "ctx",
        Point::Positions
            if info
                .attention(site.attention)
                .is_some_and(|info| info.relative_bias.is_some()) =>
        {
            return Some(format!("{stack}.rel_bias"));
        }
        Point::Embedding
        | Point::Positions
        | Point::OffsetKey
        | Point::OffsetQuery
        | Point::Scores
        | Point::AttentionOutput
        | Point::Mlp => return None,
    };
    Some(format!("{stack}.{layer}.{kind}.{short}"))
}

/// Reads the inputs a safetensors file holds under the names of [`Inputs`]. Other tensors are an error, so that a
/// misspelt name does not go unnoticed.
///
/// # Errors
/// [`Error::Io`], [`Error::Safetensors`], [`Error::Tensor`] for an unknown name or an element type that is neither
/// an integer (ids, masks) nor a float (pixels, sounds).
pub fn read_inputs(path: impl AsRef<Path>) -> Result<Inputs> {
    let file = TensorFile::open(path.as_ref())?;
    let mut inputs = Inputs::default();
    for (name, entry) in &file.entries {
        let tensor = if ["pixel_values", "input_features", "input_values"].contains(&name.as_str()) {
            Tensor::from_vec(file.read(name, entry)?, entry.shape.as_slice(), &Device::Cpu)?
        } else {
            Tensor::from_vec(file.read_integers(name, entry)?, entry.shape.as_slice(), &Device::Cpu)?
        };
        let slot = match name.as_str() {
            "input_ids" => &mut inputs.input_ids,
            "attention_mask" => &mut inputs.attention_mask,
            "token_type_ids" => &mut inputs.token_type_ids,
            "position_ids" => &mut inputs.position_ids,
            "pixel_values" => &mut inputs.pixel_values,
            "input_features" => &mut inputs.input_features,
            "input_values" => &mut inputs.input_values,
            "decoder_input_ids" => &mut inputs.decoder_input_ids,
            "decoder_attention_mask" => &mut inputs.decoder_attention_mask,
            _ => {
                return Err(Error::Tensor {
                    path: file.path.clone(),
                    tensor: name.clone(),
                    expected: "an input: input_ids, attention_mask, token_type_ids, position_ids, pixel_values, input_features, input_values, decoder_input_ids, decoder_attention_mask".to_owned(),
                    found: "another name".to_owned(),
                });
            }
        };
        *slot = Some(tensor);
    }
    Ok(inputs)
}

/// Writes tensors as f32 to a safetensors file, for example those of [`run_raw`].
///
/// # Errors
/// [`attn_core::Error::Io`].
pub fn write_tensors(path: impl AsRef<Path>, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    let path = path.as_ref();
    let stored = tensors
        .iter()
        .map(|(name, tensor)| {
            let values = tensor
                .to_dtype(candle_core::DType::F32)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Ok((name, tensor.dims().to_vec(), bytes))
        })
        .collect::<Result<Vec<_>>>()?;
    let broken = |error: safetensors::SafeTensorError| Error::Safetensors {
        path: path.to_owned(),
        message: error.to_string(),
    };
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(broken)?)))
        .collect::<Result<Vec<_>>>()?;
    let bytes = safetensors::serialize(views, None).map_err(broken)?;
    Ok(write_atomically(path, &bytes)?)
}
