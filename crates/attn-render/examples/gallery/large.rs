//! Made-up data for what is large or moves: every head at one sequence, long sequences, contours of density, the way from one
//! projection to another. Shared by the gallery and the tests; the same on every machine.

use std::sync::Arc;

use attn_core::{Attention, HeadId};
use attn_render::{
    Error, Plot, Scene, Transition, ViewState,
    plots::{ColorBy, Coordinates, Head, Overview, OverviewHead, Sentence, SentenceToken, Texts},
};

use crate::samples::{Noise, cloud, head};

const WORDS: [&str; 12] = [
    "the", "old", "keeper", "of", "light", "said", "that", "ship", "would", "come", "before", "storm",
];

/// Attention of a causal head with one of four roles; rows sum to 1.
fn role(kind: usize, tokens: usize) -> Vec<f32> {
    let mut noise = Noise(kind as u64 + 40);
    let mut weights = vec![0.0; tokens * tokens];
    for query in 0..tokens {
        let row = &mut weights[query * tokens..(query + 1) * tokens];
        for (key, weight) in row.iter_mut().enumerate().take(query + 1) {
            let back = query - key;
            let score = match kind % 4 {
                0 if back == 1 => 5.0,
                1 if key == 0 => 5.0,
                2 if key % 7 == query % 7 => 3.5,
                3 => -0.25 * back as f32 + 3.0,
                _ => 0.0,
            };
            *weight = (score + 0.4 * noise.normal()).exp();
        }
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|weight| *weight /= sum);
    }
    weights
}

/// Every head of a decoder at a sequence of `tokens` tokens.
pub(crate) fn overview(
    layers: usize,
    heads: usize,
    tokens: usize,
    view: &ViewState,
    size: Option<[f32; 2]>,
) -> Result<Scene, Error> {
    let weights: Vec<Vec<f32>> = (0..layers * heads)
        .map(|i| role(i * 5 % 7 + i / heads, tokens))
        .collect();
    let all = weights.into_iter().enumerate().map(|(i, attention)| OverviewHead {
        head: HeadId::new(Attention::DecoderSelf, i / heads, i % heads),
        queries: tokens,
        keys: tokens,
        attention: attention.into(),
    });
    let overview = Overview {
        subtitle: "the old keeper of the light said that the ship would come before the storm".into(),
        ..Overview::new(all.collect())
    };
    overview.scene(view, size.unwrap_or(overview.natural_size()))
}

/// A part of a text of `tokens` tokens.
pub(crate) fn window(tokens: usize, first: u32, view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let words: Arc<[SentenceToken]> = (0..tokens)
        .map(|i| SentenceToken::new(WORDS[i * 7 % 12], i == 0))
        .collect();
    let attention = role(3, tokens);
    let view = ViewState {
        first_token: first,
        ..view.clone()
    };
    Sentence {
        subtitle: "a long text, scrolled by a click on a box or on the strip".into(),
        ..Sentence::new(head(3, 9), words.clone(), words, attention)
    }
    .scene(&view, size)
}

/// A crowded head with the contours of its queries and keys, or of its classes.
pub(crate) fn contours(by_class: bool, view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let points = 12_000;
    let values = cloud(if by_class { 1 } else { 2 }, points, 2);
    let classes: Vec<f32> = (0..points).map(|i| (i % (points / 2) % 17 / 6) as f32).collect();
    Head {
        subtitle: "12,000 points".into(),
        values: by_class.then(|| classes.into()),
        color_by: Some(ColorBy::classes("part of speech", ["nouns", "verbs", "others"])),
        contours: [0.5, 0.9].into(),
        ..Head::new(head(2, 6), Coordinates::new(values, 2)?, points / 2)
    }
    .scene(view, size)
}

/// A moment of the way from one projection of a head to another, without the last tenth of the points.
pub(crate) fn transition(t: f32, view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let scene = |kind: usize, scale: f32, points: usize| {
        let values: Vec<f32> = cloud(kind, 1_000, 2)[..2 * points].iter().map(|v| scale * v).collect();
        let labels: Texts = (0..points).map(|i| WORDS[i % 12]).collect();
        Head {
            labels,
            subtitle: "between two projections".into(),
            ..Head::new(head(1, 1), Coordinates::new(values, 2)?, 500)
        }
        .scene(view, size)
    };
    Ok(Transition::new(&scene(0, 1.0, 1_000)?, scene(1, 9.0, 900)?, view).at(t))
}
