//! Made-up data for the views over all heads and layers. Shared by the gallery and the snapshot tests.

use std::sync::Arc;

use attn_core::{Attention, HeadId};
use attn_render::{
    Error, Plot, Scene, ViewState,
    plots::{Coordinates, HeadMap, HeadMapPart, Rollout, SentenceToken},
};

use crate::samples::{Noise, attention};

/// Heads of an encoder and of a cross-attention, in bunches by what they do.
pub(crate) fn head_map(marked: bool, view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let mut noise = Noise(5);
    let mut heads = [Vec::new(), Vec::new()];
    let mut places = [Vec::new(), Vec::new()];
    let mut classes = [Vec::new(), Vec::new()];
    for (part, attention) in [Attention::EncoderSelf, Attention::Cross].into_iter().enumerate() {
        for index in 0..18 {
            let class = (index * 5 + part) % 4;
            heads[part].push(HeadId::new(attention, index / 6, index % 6));
            let turn = class as f32 * 1.7;
            places[part].extend([turn.cos() + 0.28 * noise.normal(), turn.sin() + 0.28 * noise.normal()]);
            classes[part].push((class < 3).then_some(class));
        }
    }
    let part = |index: usize, title: &str| -> Result<HeadMapPart, Error> {
        Ok(HeadMapPart {
            title: title.into(),
            heads: heads[index].clone(),
            coordinates: Coordinates::new(places[index].as_slice(), 2)?,
            class_of: classes[index].clone(),
        })
    };
    let [encoder, cross] = &heads;
    let links = match marked {
        true => vec![
            (encoder[4], encoder[8]),
            (encoder[4], encoder[0]),
            (encoder[4], encoder[12]),
        ],
        false => vec![(encoder[0], encoder[4]), (encoder[0], encoder[8]), (cross[1], cross[5])],
    };
    HeadMap {
        title: "tiny-seq2seq: heads with similar attention".into(),
        subtitle: "Synthetic coordinates".into(),
        links,
        marked: marked.then_some(encoder[4]),
        ..HeadMap::new(
            vec![part(0, "encoder")?, part(1, "cross-attention")?],
            ["previous token", "first token", "semantic"].map(String::from).into(),
        )
    }
    .scene(view, size)
}

/// Three layers over a sentence.
pub(crate) fn rollout(view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let words = ["[CLS]", "the", "storm", "kept", "the", "ships", "in", "port", "[SEP]"];
    let tokens: Vec<SentenceToken> = words
        .iter()
        .map(|text| SentenceToken::new(*text, text.starts_with('[')))
        .collect();
    let count = tokens.len();
    let mixed: Arc<[f32]> = attention(count)
        .into_iter()
        .enumerate()
        .map(|(index, weight)| 0.5 * weight + if index / count == index % count { 0.5 } else { 0.0 })
        .collect();
    let rollout = Rollout {
        title: "tiny-bert: attention rollout in line 1".into(),
        subtitle: "the storm kept the ships in port".into(),
        ..Rollout::new(tokens, vec![mixed; 3])
    };
    rollout.scene(view, size.unwrap_or_else(|| rollout.natural_size()))
}
