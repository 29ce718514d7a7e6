//! Made-up data with the shapes that real heads have: spirals of positions, clumps of equal tokens, clouds.
//! Shared by the gallery and the snapshot tests; the same numbers on every machine.

use std::sync::Arc;

use attn_core::{Attention, HeadId};
use attn_render::{
    Error, Image, Plot, Scene, ViewState,
    pick::Picker,
    plot::{Tooltip, TooltipWord},
    plots::{
        ClusterMap, ColorBy, Coordinates, Flows, Head, HeadSequence, ImageAttention, LineGrid, Lines, MapCluster,
        Matrix, MatrixPanel, Sentence, SentenceToken, Series, Texts, overlay,
    },
    projection::Projection,
    scene::{PatchStyle, Patches},
    state::ColorChoice,
};

const TEXT: &str = "[CLS] the old keeper of the light ##house said that the ship would come before the storm [SEP]";

/// Uniform numbers in -1..1 (a splitmix generator).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Roughly normal.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..4).map(|_| self.uniform()).sum::<f32>() * 0.85
    }
}

/// `[points, dims]` of one head: queries, then keys; `kind` chooses the shape.
pub(crate) fn cloud(kind: usize, points: usize, dims: usize) -> Vec<f32> {
    let mut noise = Noise(kind as u64 * 977 + 5);
    let half = points / 2;
    let mut values = Vec::with_capacity(points * dims);
    for i in 0..points {
        let (t, key) = ((i % half) as f32 / half as f32, i >= half);
        let side = if key { 1.0 } else { -1.0 };
        let mut p = match kind % 5 {
            0 => {
                let (y, x) = (t * 12.0 + 0.15 * side).sin_cos();
                [(1.0 + 4.0 * t) * x, (1.0 + 4.0 * t) * y, 3.0 * t]
            }
            1 => {
                let clump = (i % 17) as f32;
                let (y, x) = (clump * 2.4).sin_cos();
                [
                    (1.0 + 0.3 * clump) * x + 0.12 * side,
                    (1.0 + 0.3 * clump) * y,
                    (clump * 1.7).sin() * 3.0,
                ]
            }
            2 => [2.2 * side + noise.normal(), 1.6 * noise.normal(), noise.normal()],
            3 => [5.0 * t - 2.5, (t * 9.0).sin() * 1.5 + 0.4 * side, (t * 9.0).cos() * 1.5],
            _ => [2.0 * noise.normal(), 1.5 * noise.normal(), 1.5 * noise.normal()],
        };
        for v in &mut p {
            *v += 0.16 * noise.normal();
        }
        values.extend_from_slice(&p[..dims]);
    }
    values
}

pub(crate) fn head(layer: usize, head: usize) -> HeadId {
    HeadId::new(Attention::EncoderSelf, layer, head)
}

/// A matrix of `layers` x `heads`, each with `points` points.
pub(crate) fn matrix(
    layers: usize,
    heads: usize,
    points: usize,
    dims: usize,
    view: &ViewState,
    size: Option<[f32; 2]>,
) -> Result<Scene, Error> {
    let heads: Vec<HeadId> = (0..layers * heads).map(|i| head(i / heads, i % heads)).collect();
    matrix_of("tiny-bert", &heads, &[], (points, dims), view, size)
}

/// A decoder whose layer 1 has no attention, and whose last layer has fewer heads.
pub(crate) fn hybrid(points: usize, view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let all = || (0..4).flat_map(|layer| (0..4).map(move |at| HeadId::new(Attention::DecoderSelf, layer, at)));
    let absent = |head: &HeadId| head.layer == 1 || head.layer == 3 && head.head >= 2;
    let (gone, there): (Vec<HeadId>, Vec<HeadId>) = all().partition(absent);
    matrix_of("tiny-hybrid", &there, &gone, (points, 2), view, size)
}

/// A model whose heads have roles: on one line, on two, cut, and in the frame of a head that is still to come.
pub(crate) fn matrix_with_roles(points: usize, view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let there: Vec<HeadId> = (0..5).map(|i| head(i / 3, i % 3)).collect();
    let mut matrix = sample("tiny-bert", &there, &[], (points, 2))?;
    matrix.pending = vec![head(1, 2)];
    let roles = [
        "previous token",
        "same word",
        "none beside the first token of its segment",
        "offset −2",
    ];
    let named = [head(0, 0), head(0, 1), head(0, 2), head(1, 2)].into_iter().zip(roles);
    matrix.roles = named.map(|(head, role)| (head, role.to_owned())).collect();
    matrix.scene(&by_role(view), size)
}

/// The three attentions of an encoder-decoder with these layers on its sides.
pub(crate) fn encoder_decoder(
    layers: [usize; 2],
    heads: usize,
    points: usize,
    view: &ViewState,
    size: Option<[f32; 2]>,
) -> Result<Scene, Error> {
    let stacks = [
        (Attention::EncoderSelf, layers[0]),
        (Attention::DecoderSelf, layers[1]),
        (Attention::Cross, layers[1]),
    ];
    let stack = |(attention, layers)| (0..layers * heads).map(move |i| HeadId::new(attention, i / heads, i % heads));
    let heads: Vec<HeadId> = stacks.into_iter().flat_map(stack).collect();
    matrix_of("tiny-bart", &heads, &[], (points, 2), view, size)
}

/// A matrix of these heads, each with `points` points, and of places without one.
fn matrix_of(
    model: &str,
    heads: &[HeadId],
    absent: &[HeadId],
    of: (usize, usize),
    view: &ViewState,
    size: Option<[f32; 2]>,
) -> Result<Scene, Error> {
    let matrix = sample(model, heads, absent, of)?;
    matrix.scene(&by_role(view), size.unwrap_or(matrix.natural_size()))
}

fn sample(model: &str, heads: &[HeadId], absent: &[HeadId], (points, dims): (usize, usize)) -> Result<Matrix, Error> {
    let clouds: Vec<Vec<f32>> = (0..heads.len()).map(|i| cloud(i * 7 % 11 + i, points, dims)).collect();
    let positions: Arc<[f32]> = (0..points).map(|i| (i % (points / 2)) as f32).collect();
    let panels = clouds.iter().enumerate().map(|(i, values)| {
        Ok(MatrixPanel {
            values: Some(positions.clone()),
            note: format!("ρ −0.{}", 95 - i % 40),
            ..MatrixPanel::new(heads[i], Coordinates::new(values.as_slice(), dims)?, points / 2)
        })
    });
    Ok(Matrix {
        title: format!("{model}, 200 sentences"),
        subtitle: "t-SNE, cosine, perplexity 30; ρ: rank correlation of distance and attention".into(),
        panels: panels.collect::<Result<_, Error>>()?,
        color_by: Some(ColorBy::sequential("position")),
        absent: absent.to_vec(),
        ..Matrix::default()
    })
}

/// Queries and keys have their colors, unless values are asked for.
fn by_role(state: &ViewState) -> ViewState {
    let mut state = state.clone();
    if state.shared.color == ColorChoice::Auto {
        state.shared.color = ColorChoice::Role;
    }
    state
}

/// One head of `points` points; with a highlighted sequence or without.
pub(crate) fn single(
    kind: usize,
    points: usize,
    dims: usize,
    with_sequence: bool,
    view: &ViewState,
    size: [f32; 2],
) -> Result<Scene, Error> {
    let values = cloud(kind, points, dims);
    let words: Vec<&str> = TEXT.split(' ').collect();
    let labels: Texts = (0..points).map(|i| words[i % (points / 2) % words.len()]).collect();
    let length = words.len() as u32;
    let half = points as u32 / 2;
    // The sequence's tokens are strewn over the cloud.
    let queries: Vec<u32> = (0..length).map(|i| i * (half / length)).collect();
    let keys: Vec<u32> = queries.iter().map(|q| q + half).collect();
    let attention = attention(length as usize);
    let norms: Vec<f32> = (0..points).map(|i| 1.0 + (i % 23) as f32).collect();
    let positions: Vec<f32> = (0..points).map(|i| (i % (points / 2)) as f32).collect();
    let head = Head {
        subtitle: "distance-attention correlation −0.94; scale c = 1.8; trustworthiness 0.97".into(),
        labels,
        values: Some(positions.into()),
        color_by: Some(ColorBy::sequential("position")),
        sizes: (kind == 2).then(|| norms.into()),
        sequence: with_sequence.then(|| HeadSequence {
            queries: queries.into(),
            keys: keys.into(),
            attention: attention.into(),
        }),
        ..Head::new(head(3, 9), Coordinates::new(values, dims)?, points / 2)
    };
    head.scene(&by_role(view), size)
}

/// A head of a vision transformer, each token as its patch: queries and keys in the order of their hues, class tokens as points.
pub(crate) fn patches(dims: usize, view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    const SIDE: u16 = 12;
    let cells = usize::from(SIDE) * usize::from(SIDE);
    let mut noise = Noise(11);
    let mut coordinates = Vec::new();
    for i in 0..2 * (cells + 1) {
        let (patch, key) = (i % (cells + 1), i > cells);
        let hue = (patch % usize::from(SIDE)) as f32 / f32::from(SIDE);
        let (y, x) = (hue * std::f32::consts::TAU).sin_cos();
        let out = if key { 2.2 } else { 1.5 } + 0.3 * noise.normal();
        let p = [out * x + 0.2 * noise.normal(), out * y, noise.normal()];
        coordinates.extend_from_slice(&p[..dims]);
    }
    // Hues from left to right, stripes that get finer from top to bottom.
    let pixels = 8 * usize::from(SIDE);
    let rgba = (0..pixels * pixels).flat_map(|i| {
        let (x, y) = ((i % pixels) as f32 / pixels as f32, (i / pixels) as f32 / pixels as f32);
        let light = 0.75 + 0.25 * (y * y * 260.0).sin();
        let channel = |turn: f32| (255.0 * light * (0.5 + 0.5 * (std::f32::consts::TAU * (x - turn)).cos())) as u8;
        [channel(0.0), channel(1.0 / 3.0), channel(2.0 / 3.0), 255]
    });
    // The class token comes first and has no patch.
    let part = |i: u16| [i % SIDE * 8, i / SIDE * 8, 8, 8];
    let tokens = || std::iter::once([0; 4]).chain((0..SIDE * SIDE).map(part));
    let patches = Patches {
        sheet: Arc::new(Image::new(8 * u32::from(SIDE), 8 * u32::from(SIDE), rgba.collect())?),
        parts: tokens().chain(tokens()).collect(),
        style: PatchStyle::default(),
    };
    let head = Head {
        subtitle: "a vision transformer".into(),
        patches: Some(patches),
        ..Head::new(head(0, 2), Coordinates::new(coordinates, dims)?, cells + 1)
    };
    head.scene(view, size)
}

/// Attention of `tokens` tokens, mostly to the previous one; rows sum to 1.
pub(crate) fn attention(tokens: usize) -> Vec<f32> {
    let mut noise = Noise(3);
    let mut weights = Vec::with_capacity(tokens * tokens);
    for query in 0..tokens {
        let row: Vec<f32> = (0..tokens)
            .map(|key| {
                let previous = if key + 1 == query { 3.2 } else { 0.0 };
                let first = if key == 0 { 1.5 + (query % 3) as f32 } else { 0.0 };
                (previous + first + 1.2 * noise.normal()).exp()
            })
            .collect();
        let sum: f32 = row.iter().sum();
        weights.extend(row.iter().map(|w| w / sum));
    }
    weights
}

/// A sentence of `tokens` tokens.
pub(crate) fn sentence(tokens: usize, view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let words = TEXT.split(' ').cycle().take(tokens);
    let tokens: Arc<[SentenceToken]> = words
        .map(|text| SentenceToken::new(text, text.starts_with('[')))
        .collect();
    let attention = attention(tokens.len());
    let sentence = Sentence {
        subtitle: "sentence 12 of 200; distance-attention correlation −0.94".into(),
        ..Sentence::new(head(3, 9), tokens.clone(), tokens, attention)
    };
    sentence.scene(view, size.unwrap_or(sentence.natural_size()))
}

/// A picture of a hill under a sky, and a head that looks at patches of its own brightness.
pub(crate) fn image(side: usize, flows: Flows, view: &ViewState, size: Option<[f32; 2]>) -> Result<Scene, Error> {
    let pixels = 8 * side;
    let mut rgba = Vec::with_capacity(4 * pixels * pixels);
    for y in 0..pixels {
        for x in 0..pixels {
            let (u, v) = (x as f32 / pixels as f32, y as f32 / pixels as f32);
            let sun = (u - 0.72).hypot(v - 0.25) < 0.13;
            let hill = v > 0.62 + 0.16 * (u * 5.0).sin();
            let color = match (sun, hill) {
                (true, _) => [250, 214, 120],
                (_, true) => [58 + (60.0 * v) as u8, 110, 64],
                _ => [120 + (80.0 * v) as u8, 170, 214],
            };
            rgba.extend_from_slice(&[color[0], color[1], color[2], 255]);
        }
    }
    let tokens = side * side + 1;
    let mut noise = Noise(11);
    let place = |id: usize| [((id - 1) % side) as f32, ((id - 1) / side) as f32];
    let mut attention = Vec::with_capacity(tokens * tokens);
    for query in 0..tokens {
        let row: Vec<f32> = (0..tokens)
            .map(|key| {
                if query == 0 || key == 0 {
                    return (0.6 * noise.normal() + if query % 7 == 3 { 3.0 } else { 0.0 }).exp();
                }
                let (a, b) = (place(query), place(key));
                let distance = (a[0] + 1.3 - b[0]).hypot(a[1] - 0.6 - b[1]);
                (3.4 - 1.6 * distance + 0.5 * noise.normal()).exp()
            })
            .collect();
        let sum: f32 = row.iter().sum();
        attention.extend(row.iter().map(|w| w / sum));
    }
    let picture = Arc::new(Image::new(pixels as u32, pixels as u32, rgba)?);
    let subtitle = "picture 3 of 24; distance-attention correlation −0.88".into();
    let view_of = ImageAttention {
        subtitle,
        flows,
        ..ImageAttention::new(head(0, 8), picture, side, side, 1, attention)
    };
    view_of.scene(view, size.unwrap_or(view_of.natural_size()))
}

/// The matrix with the pointer over a head.
pub(crate) fn hovered_matrix(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let mut scene = matrix(3, 4, 300, 2, view, Some(size))?;
    let colors = view.colors();
    overlay::frame_head(&mut scene, head(1, 2), &colors);
    let projection = Projection::new(&scene, view, size);
    let at = scene
        .panel_of(head(1, 2))
        .map_or([0.0; 2], |index| projection.panels[index].rect.center());
    let lines = vec!["distance-attention correlation −0.89".into(), "click to open".into()];
    let tip = Tooltip {
        title: "L1 H2".into(),
        lines,
        words: vec![],
    };
    overlay::tooltip(&mut scene, &projection, at, &tip, &colors);
    Ok(scene)
}

/// One head with the pointer over a token.
pub(crate) fn hovered_token(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let mut scene = single(0, 400, 2, false, view, size)?;
    let colors = view.colors();
    let projection = Projection::new(&scene, view, size);
    let place = &projection.panels[1];
    let [x, y, _] = place.px_from_data.apply(scene.layers[1].points[123].position);
    let Some(hit) = Picker::default().hit(&scene, &projection, [x, y], 2.0) else {
        return Ok(scene);
    };
    overlay::ring(&mut scene, hit, &colors);
    let word = |(i, text): (usize, &str)| TooltipWord {
        text: text.into(),
        weight: if i == 4 { 0.45 } else { 0.03 * i as f32 },
        key: i == 4,
        itself: false,
    };
    let words = TEXT.split(' ').enumerate().map(word).collect();
    let tip = Tooltip {
        title: "of".into(),
        lines: vec!["key 4 of sentence 12".into()],
        words,
    };
    overlay::tooltip(&mut scene, &projection, [x, y], &tip, &colors);
    Ok(scene)
}

/// Four curves over 13 layers, one with its chance level.
/// Small multiples: six label sets, the last of a shallower model.
pub(crate) fn line_grid(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let names = [
        "upos",
        "deprel",
        "suffix",
        "casing",
        "polar (sentiment)",
        "clusters of one word",
    ];
    let charts = names.iter().enumerate().map(|(index, name)| {
        let values =
            |scale: f32| (0..7).map(move |layer| scale * (0.9 - 0.1 * (index as f32 - layer as f32 * 0.7).abs()));
        let line = |name: &str, scale: f32, broken| Series {
            name: name.into(),
            values: values(scale).collect(),
            broken,
            ..Series::default()
        };
        Lines {
            title: (*name).into(),
            across: "layer".into(),
            at: (0_u8..7).map(f32::from).collect(),
            series: vec![line("aligned clusters", 1.0, false), line("chance", 0.3, true)],
            range: Some([0.0, 1.0]),
            ..Lines::default()
        }
    });
    LineGrid {
        title: "Labels of clusters of several words".into(),
        subtitle: "tiny-bert, 600 clusters per layer".into(),
        caption: "Share of the clusters of each layer in which at least nine tenths of the words share a label. Dashed: the same with \
                  labels permuted."
            .into(),
        ..LineGrid::new(charts.collect())
    }
    .scene(view, size)
}

pub(crate) fn lines(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let at: Vec<f32> = (0..13_u8).map(f32::from).collect();
    let curve = |f: &dyn Fn(f32) -> f32| at.iter().map(|&x| f(x / 12.0)).collect::<Vec<_>>();
    let values = [
        curve(&|x| 0.2 + 1.6 * x * (1.1 - x)),
        curve(&|_| 0.11),
        curve(&|x| 0.55 - 0.4 * x),
        curve(&|x| 0.05 + 0.5 * x * x),
        curve(&|x| 0.9 - 0.75 * x),
    ];
    let names = [
        "parts of speech",
        "parts of speech by chance",
        "suffixes",
        "polar",
        "found again in the base",
    ];
    let series = names
        .iter()
        .zip(values)
        .enumerate()
        .map(|(index, (name, values))| Series {
            name: (*name).into(),
            values: values.into(),
            class: index.saturating_sub(1),
            broken: index == 1,
            ..Series::default()
        });
    Lines {
        title: "Alignment of clusters of words".into(),
        subtitle: "tiny-bert, 600 clusters per layer".into(),
        caption:
            "Share of the clusters of each layer in which at least nine tenths of the words share a label. Broken: the \
                  same with labels permuted."
                .into(),
        across: "layer (0: embeddings)".into(),
        up: "share of clusters".into(),
        series: series.collect(),
        at: at.into(),
        range: None,
    }
    .scene(view, size)
}

/// Clusters on a plane.
pub(crate) fn cluster_map(view: &ViewState, size: [f32; 2]) -> Result<Scene, Error> {
    let places = cloud(1, 600, 2);
    let of: Vec<usize> = (0..600).map(|member| member % 300 % 17).collect();
    let cluster = |cluster: usize| MapCluster {
        name: format!("cluster {cluster}"),
        size: of.iter().filter(|&&other| other == cluster).count(),
    };
    ClusterMap {
        title: "Clusters of words".into(),
        subtitle: "tiny-bert, layer 3".into(),
        caption: "Each point is a word; names are at the center of their cluster.".into(),
        ..ClusterMap::new(
            Coordinates::new(places, 2)?,
            of.as_slice(),
            (0..17).map(cluster).collect(),
        )
    }
    .scene(view, size)
}
