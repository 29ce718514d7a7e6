//! Layers without attention and layers of different heads: facts, captures, weights and edits.

use attn_core::{
    Attention, Capture, HeadId, ModelInfo, Sequence, Side, Token,
    model::{LayerAttention, Mask, Positions},
};
use attn_models::{
    Capturer, Gradients, Inputs, Model, Point, Result, Site, Weights,
    blocks::{Embedding, HeadShape, Linear, MultiHead, Norm, Pass, Qkv, ScoreTerms, additive_mask},
    families::{Config, Families, Network},
    intervene::{Edit, Heads, Interventions},
    model::Output,
    record::Recorder,
};

const CONFIG: &str = r#"{"model_type": "hybrid"}"#;
const HIDDEN: usize = 16;
const HEAD_DIM: usize = 4;
const LAYERS: usize = 4;

/// Layers 0 and 2 attend, with 4 heads of 2 keys and with 2 heads of 1; layers 1 and 3 are a map.
struct Hybrid {
    info: ModelInfo,
    words: Embedding,
    layers: Vec<Layer>,
}

enum Layer {
    Attends(Box<(Norm, MultiHead)>),
    Maps(Linear),
}

fn build(_: &Config, name: &str, weights: &Weights) -> Result<Box<dyn Network>> {
    let layer = |layer: usize| -> Result<Layer> {
        let weights = weights.at(format_args!("layers.{layer}"));
        let linear = |name: &str, inputs, outputs| Linear::load(&weights.at(name), inputs, outputs, false);
        let (heads, kv_heads) = match layer {
            0 => (4, 2),
            2 => (2, 1),
            _ => return Ok(Layer::Maps(linear("map", HIDDEN, HIDDEN)?)),
        };
        let attention = MultiHead {
            attention: Attention::DecoderSelf,
            layer,
            shape: HeadShape {
                heads,
                kv_heads,
                head_dim: HEAD_DIM,
            },
            scale: 0.5,
            qkv: Qkv::Separate {
                query: linear("query", HIDDEN, heads * HEAD_DIM)?,
                key: linear("key", HIDDEN, kv_heads * HEAD_DIM)?,
                value: linear("value", HIDDEN, kv_heads * HEAD_DIM)?,
            },
            norms: None,
            output: linear("output", heads * HEAD_DIM, HIDDEN)?,
            terms: ScoreTerms::default(),
        };
        let norm = Norm::rms(&weights.at("norm"), HIDDEN, 1e-6)?;
        Ok(Layer::Attends(Box::new((norm, attention))))
    };
    let layers = (0..LAYERS).map(layer).collect::<Result<Vec<_>>>()?;
    let attending = layers.iter().filter_map(|layer| match layer {
        Layer::Attends(parts) => Some((&parts.1, Mask::Causal)),
        Layer::Maps(_) => None,
    });
    let mut attention = MultiHead::info(attending).unwrap();
    attention.layers.push(LayerAttention::none());
    Ok(Box::new(Hybrid {
        info: ModelInfo {
            vocab_size: Some(20),
            positions: Positions::None,
            ..ModelInfo::new(name, "hybrid", HIDDEN).with_attention(attention)
        },
        words: Embedding::load(&weights.at("words"), 20, HIDDEN)?,
        layers,
    }))
}

impl Network for Hybrid {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn forward(&self, inputs: &Inputs, pass: &mut Pass<'_>) -> Result<Output> {
        inputs.only(&["input_ids", "attention_mask"])?;
        let device = self.words.table().device();
        let tokens = inputs.tokens(20, None, device)?;
        let mask = additive_mask(
            Mask::Causal,
            tokens.padding.as_ref(),
            tokens.tokens,
            tokens.tokens,
            device,
        )?;
        // Fresh tables are small; scores should not be.
        let words = (self.words.forward(&tokens.ids)? * 50.0)?;
        let mut x = pass.tap(Site::embedding(Side::Decoder), words)?;
        for (number, layer) in self.layers.iter().enumerate() {
            x = pass.tap(Site::hidden(Side::Decoder, number), x)?;
            x = match layer {
                Layer::Attends(parts) => {
                    let normed = parts.0.forward(&x, pass)?;
                    (parts.1.forward(&normed, &normed, mask.as_ref(), None, pass)? + x)?
                }
                Layer::Maps(map) => (map.forward(&x, pass)? + x)?,
            };
        }
        let x = pass.tap(Site::hidden(Side::Decoder, LAYERS), x)?;
        Ok(Output {
            logits: None,
            last_hidden: x,
            pooled: None,
        })
    }

    fn attention_block(&self, _: Attention, layer: usize) -> Option<&MultiHead> {
        match self.layers.get(layer)? {
            Layer::Attends(parts) => Some(&parts.1),
            Layer::Maps(_) => None,
        }
    }
}

fn hybrid() -> Model {
    let families = Families::none().with("hybrid", build);
    let weights = Weights::initialize(3);
    families.model("tiny", CONFIG, &weights, Gradients::Off).unwrap()
}

fn sequence(ids: &[u32]) -> Sequence {
    let token = |(position, &id): (usize, &u32)| Token {
        text: id.to_string(),
        id: Some(id),
        position,
        ..Token::default()
    };
    Sequence {
        name: format!("{ids:?}"),
        decoder: ids.iter().enumerate().map(token).collect(),
        ..Sequence::default()
    }
}

#[test]
fn layers_say_which_heads_they_have() {
    let model = hybrid();
    let info = &model.info().attentions[0];
    assert_eq!((info.heads, info.kv_heads, info.layers.len()), (4, 2, 4));
    assert_eq!([0, 1, 2, 3].map(|layer| info.heads_of(layer)), [4, 0, 2, 0]);
    assert_eq!([0, 1, 2, 3].map(|layer| info.kv_heads_of(layer)), [2, 0, 1, 0]);
    assert_eq!((info.layers[0].heads, info.layers[2].heads), (None, Some(2)));
    assert!(!info.is_regular());
    assert_eq!(model.info().heads().count(), 6);
    assert_eq!(model.info().holes().count(), 10);
    let heads: Vec<HeadId> = model.head_weights().unwrap().iter().map(|head| head.head).collect();
    assert_eq!(heads, model.info().heads().collect::<Vec<_>>());
}

/// What a capture recomputes is what the model attended to, in memory and from a folder.
#[test]
fn captures_hold_the_heads_that_are_there() {
    let ids: [&[u32]; 2] = [&[3, 4, 5, 6, 7], &[8, 9, 10]];
    let options = attn_core::capture::CaptureOptions {
        hidden: true,
        ..attn_core::capture::CaptureOptions::default()
    };
    let capturer = Capturer::new(hybrid()).with_options(options);
    let folder = tempfile::tempdir().unwrap();
    let run = || capturer.sequences(ids.map(sequence));
    let in_memory = run().run().unwrap().capture;
    run().to_folder(folder.path()).run().unwrap();
    let text = std::fs::read_to_string(folder.path().join("capture.json")).unwrap();
    assert!(text.contains("\"version\":3"), "{text}");
    assert!(!folder.path().join("decoder-self-01.safetensors").exists());
    for capture in [in_memory, Capture::open(folder.path()).unwrap()] {
        for (at, ids) in ids.iter().enumerate() {
            let mut recorder = Recorder::of(&[Point::Attention]);
            let inputs = Inputs::from_ids(&[ids.to_vec()], 0).unwrap();
            capturer.model().forward(&inputs, &mut recorder).unwrap();
            for layer in [0, 2] {
                let site = Site::new(Attention::DecoderSelf, layer, Point::Attention);
                let wanted: Vec<f32> = crate::support::values(&recorder.tensors[&site]);
                let found = capture.layer_attention(Attention::DecoderSelf, layer, at).unwrap();
                assert_eq!(found.len(), wanted.len());
                for (found, wanted) in found.iter().zip(wanted) {
                    assert!((found - wanted).abs() < 1e-5);
                }
            }
        }
        let error = capture
            .layer_attention(Attention::DecoderSelf, 1, 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains("layer 1 has no attention"), "{error}");
        let error = capture
            .attention(HeadId::new(Attention::DecoderSelf, 2, 3), 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains("heads 0..2"), "{error}");
        capture.verify(&()).unwrap();
    }
}

#[test]
fn edits_of_heads_that_are_not_there_are_refused() {
    let model = hybrid();
    let refused = |layer: usize, head: usize| {
        let heads = Heads::new(Attention::DecoderSelf, layer, head);
        let edit = Edit::HeadMask { heads, factor: 0.0 };
        Interventions::new(model.info(), [edit.into()])
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(refused(0, 3), Ok(()));
    assert!(refused(2, 3).unwrap_err().contains("heads from 0 to 1"));
    let error = refused(1, 0).unwrap_err();
    assert!(
        error.contains("a layer with attention") && error.contains("layer 1"),
        "{error}"
    );
}
