//! How long all heads of a model take: a made-up capture of the shape of one (heads of 10,112 points in 64
//! dimensions, in layers of 12), through PCA, t-SNE and UMAP one after the other.
//!
//! ```sh
//! cargo run --release -p attn-project --example heads -- 144 2    # heads, dimensions of the layouts
//! ```
//!
//! Prints, for each method, the seconds until the first head was there and until all were. Points are made up because
//! what is measured is time, which depends on their number and on that they lie in groups.

#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::{error::Error, sync::OnceLock, time::Instant};

use attn_core::{
    Attention, Capture, CaptureWriter, ModelInfo, Sequence, Token,
    capture::{CapturePlan, Slot},
    model::{AttentionInfo, LayerAttention, Mask, Positions},
};
use attn_project::{
    AtlasParams, Dims, Method,
    atlas::{AtlasOptions, atlas},
    pca::Pca,
    tsne::Tsne,
    umap::Umap,
};

const LAYER: usize = 12;
const WIDTH: usize = 64;
/// Sequences and their tokens: 5,056 queries and as many keys.
const SEQUENCES: usize = 158;
const TOKENS: usize = 32;
const GROUPS: usize = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let heads: usize = arguments.next().map_or(Ok(144), |text| text.parse())?;
    let dims = match arguments.next().as_deref() {
        Some("3") => Dims::Three,
        _ => Dims::Two,
    };
    let capture = made_up(heads)?;
    let whole = Instant::now();
    for method in [Method::from(Pca), Tsne::default().into(), Umap::default().into()] {
        let params = AtlasParams {
            method: method.clone(),
            dims,
            ..AtlasParams::default()
        };
        let (start, first) = (Instant::now(), OnceLock::new());
        let on_head = |_| {
            first.get_or_init(|| start.elapsed().as_secs_f64());
        };
        atlas(&capture, &params, AtlasOptions::default(), &on_head, &())?;
        println!(
            "{} {}D: first head after {:.2} s, all {heads} after {:.1} s",
            method.name(),
            dims.count(),
            first.get().copied().unwrap_or_default(),
            start.elapsed().as_secs_f64(),
        );
    }
    println!("all three: {:.1} s", whole.elapsed().as_secs_f64());
    Ok(())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Nearly normal: the sum of four, with standard deviation 1.
    fn normal(&mut self) -> f32 {
        ((0..4).map(|_| self.unit()).sum::<f32>() - 2.0) * 3f32.sqrt()
    }
}

/// Groups of tokens, some of them frequent, around a center of their own in each head, queries apart from keys.
fn made_up(heads: usize) -> Result<Capture, attn_core::Error> {
    let scale = 1.0 / (WIDTH as f32).sqrt();
    let layers = heads.div_ceil(LAYER).max(1);
    let model = ModelInfo {
        name: "made up".into(),
        family: "none".into(),
        hidden_size: LAYER * WIDTH,
        vocab_size: None,
        max_tokens: None,
        positions: Positions::None,
        attentions: vec![AttentionInfo::new(
            Attention::EncoderSelf,
            heads.clamp(1, LAYER),
            WIDTH,
            vec![LayerAttention::new(scale, Mask::Full); layers],
        )],
    };
    let tokens: Vec<Token> = (0..TOKENS)
        .map(|position| Token {
            position,
            ..Token::default()
        })
        .collect();
    let sequence = |i: usize| Sequence {
        name: i.to_string(),
        encoder: tokens.clone(),
        ..Sequence::default()
    };
    let plan = CapturePlan::new(model, (0..SEQUENCES).map(sequence).collect());
    let (slots, width) = (plan.slots(), heads.clamp(1, LAYER));
    let writer = CaptureWriter::in_memory(plan)?;
    for (s, &slot) in slots.iter().enumerate() {
        let side = if matches!(slot, Slot::Query { .. }) { 1.0 } else { -1.0 };
        let mut random = Random(s as u64 * 7919);
        let shrinking = |axis: usize| (1.0 + axis as f32).powf(-0.6);
        let centers: Vec<f32> = (0..width * GROUPS * WIDTH)
            .map(|i| 3.0 * shrinking(i % WIDTH) * random.normal() + side * shrinking(i % WIDTH))
            .collect();
        for sequence in 0..SEQUENCES {
            let mut words = Random(sequence as u64);
            let groups: Vec<usize> = (0..TOKENS)
                .map(|_| ((GROUPS as f32).powf(words.unit()) as usize).min(GROUPS - 1))
                .collect();
            let mut values = Vec::with_capacity(width * TOKENS * WIDTH);
            for head in 0..width {
                for &group in &groups {
                    let start = (head * GROUPS + group) * WIDTH;
                    let center = &centers[start..start + WIDTH];
                    values.extend((0..WIDTH).map(|axis| center[axis] + shrinking(axis) * random.normal()));
                }
            }
            writer.write(slot, sequence, &values)?;
        }
    }
    writer.commit(&(0..SEQUENCES).collect::<Vec<_>>())?;
    writer.finish()
}
