//! Latencies of the renderer: vector drawings, scenes of long texts, finding the point under the cursor and what a lasso holds among
//! 1.5 million points in the plane and in space, and the matrix of 12 x 12 heads with 10,112 points each: building the scene, the first
//! frame with its upload, a steady frame after a camera move.
//!
//! Frames are compared with a bare instanced draw of as many equal dots (`bare.rs`), in turn, in one run: on a software
//! rasteriser and on a busy machine only the ratio says something. `cargo bench --bench render -- ratios` does only that.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot run has nothing to report"
)]

#[path = "render/bare.rs"]
mod bare;
mod common;
#[path = "common/cost.rs"]
mod cost;

use attn_core::{Attention, HeadId};
use attn_render::{
    Area, Headless, Plot, SvgOptions, Transition, ViewState,
    pick::Picker,
    plots::{Coordinates, Head, Matrix, MatrixPanel, Sentence, SentenceToken},
    projection::Projection,
    scene::Blending,
    svg,
};
use cost::measured;
use criterion::{Criterion, criterion_group};

const SIDE: usize = 12;
const POINTS: usize = 10_112;

const SIZE: [f32; 2] = [1200.0, 1300.0];

fn clouds() -> Vec<Vec<f32>> {
    (0..SIDE * SIDE)
        .map(|i| common::cloud(POINTS, 2, i as u64).into_raw_vec_and_offset().0)
        .collect()
}

fn matrix(clouds: &[Vec<f32>]) -> Matrix {
    let panels = clouds.iter().enumerate().map(|(i, cloud)| {
        let head = HeadId::new(Attention::EncoderSelf, i / SIDE, i % SIDE);
        MatrixPanel::new(head, Coordinates::new(cloud.as_slice(), 2).unwrap(), POINTS / 2)
    });
    Matrix {
        title: "12 x 12".into(),
        panels: panels.collect(),
        ..Matrix::default()
    }
}

fn scenes(c: &mut Criterion) {
    let clouds = clouds();
    let matrix = matrix(&clouds);
    let mut group = c.benchmark_group("scene");
    group.sample_size(10);
    group.bench_function("12 x 12 x 10112 points", |b| {
        b.iter(|| matrix.scene(&ViewState::default(), SIZE).unwrap())
    });
    let words = vec![SentenceToken::new("word", false); 4_000];
    let weights = vec![1.0 / 4_000.0; 4_000 * 4_000];
    let window = Sentence::new(HeadId::new(Attention::EncoderSelf, 0, 0), words.clone(), words, weights);
    let view = ViewState {
        first_token: 2_000,
        ..ViewState::default()
    };
    group.bench_function("window on 4000 tokens", |b| {
        b.iter(|| window.scene(&view, [640.0, 900.0]).unwrap())
    });
    let from = matrix.scene(&ViewState::default(), SIZE).unwrap();
    let moved: Vec<Vec<f32>> = clouds.iter().map(|cloud| cloud.iter().map(|v| -v).collect()).collect();
    let way = Transition::new(
        &from,
        self::matrix(&moved).scene(&ViewState::default(), SIZE).unwrap(),
        &ViewState::default(),
    );
    group.bench_function("moment of a transition of 1456128 points", |b| b.iter(|| way.at(0.5)));
    group.finish();
}

/// Frames against the bare draw, in turn; CPU seconds of the whole process, the rasteriser's threads included, and wall time.
fn ratios() {
    const ROUNDS: u16 = 8;
    let clouds = clouds();
    let scene = matrix(&clouds).scene(&ViewState::default(), SIZE).unwrap();
    for _ in 0..3 {
        let [cpu, wall] = measured(|| drop(matrix(&clouds).scene(&ViewState::default(), SIZE).unwrap()));
        println!("scene: {cpu:.2} CPU seconds, {wall:.3} wall seconds");
    }
    let mut view = ViewState::default();
    let projection = Projection::new(&scene, &view, SIZE);
    let dots: Vec<bare::Dot> = scene.layers[1]
        .points
        .iter()
        .map(|point| {
            let [x, y, _] = projection.panels[point.panel()].px_from_data.apply(point.position);
            bare::Dot {
                position: [x, y],
                color: point.color.0,
            }
        })
        .collect();
    // Those of a typical panel: the same for all.
    let panel = scene
        .panels
        .iter()
        .filter(|panel| panel.head.is_some())
        .nth(70)
        .unwrap();
    let mut peer = bare::Bare::new(&dots, SIZE.map(|v| v as u32), panel.point_radius, panel.point_opacity);
    let first_device = Headless::new().unwrap();
    println!(
        "{}: {} points, radius {}",
        first_device.adapter(),
        dots.len(),
        panel.point_radius
    );
    peer.frame();
    let mut firsts = Vec::new();
    let mut headless = first_device;
    firsts.push(measured(|| headless.draw_frame(&scene, &view, 1.0).unwrap()));
    // The same points, each over those before it instead of mixed.
    let mut in_order = scene.clone();
    in_order
        .layers
        .iter_mut()
        .for_each(|layer| layer.blending = Blending::InOrder);
    let mut ordered = Headless::new().unwrap();
    ordered.draw_frame(&in_order, &view, 1.0).unwrap();
    let (mut bares, mut steadies, mut orders) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        bares.push(measured(|| peer.frame()));
        view.stage.center[0] = 0.5 + 1e-4 * f32::from(round % 2 + 1);
        steadies.push(measured(|| headless.draw_frame(&scene, &view, 1.0).unwrap()));
        orders.push(measured(|| ordered.draw_frame(&in_order, &view, 1.0).unwrap()));
        if round % 4 == 3 {
            let mut fresh = Headless::new().unwrap();
            firsts.push(measured(|| {
                fresh.draw_frame(&scene, &ViewState::default(), 1.0).unwrap()
            }));
        }
    }
    let median = |times: &[[f64; 2]], which: usize| {
        let mut sorted: Vec<f64> = times.iter().map(|time| time[which]).collect();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    for (which, unit) in ["CPU seconds", "wall seconds"].into_iter().enumerate() {
        let [bare, steady, order, first] = [&bares, &steadies, &orders, &firsts].map(|times| median(times, which));
        println!(
            "{unit}: bare {bare:.3}, steady frame {steady:.3} ({:.2} x), in order {order:.3} ({:.2} x), first frame {first:.3} \
             ({:.2} x)",
            steady / bare,
            order / bare,
            first / bare
        );
    }
}

/// One panel of 1,500,000 points in the plane and one in space, the index built.
fn picking(c: &mut Criterion) {
    for dims in [2, 3] {
        let cloud = common::cloud(1_500_000, dims, 3);
        let coordinates = Coordinates::new(cloud.as_slice().unwrap(), dims).unwrap();
        let head = Head::new(HeadId::new(Attention::EncoderSelf, 0, 0), coordinates, 750_000);
        let view = ViewState::default();
        let size = [1200.0, 1000.0];
        let mut group = c.benchmark_group(format!("1500000 points in {dims} dimensions"));
        group.sample_size(10);
        group.bench_function("scene", |b| b.iter(|| head.scene(&view, size).unwrap()));
        let scene = head.scene(&view, size).unwrap();
        let projection = Projection::new(&scene, &view, size);
        let panel = projection.panels[1].rect;
        group.bench_function("first question, which builds the index", |b| {
            b.iter(|| Picker::default().hit(&scene, &projection, panel.center(), 8.0))
        });
        let mut picker = Picker::default();
        picker.hit(&scene, &projection, panel.center(), 8.0);
        let mut step = 0_u16;
        group.bench_function("point under the cursor", |b| {
            b.iter(|| {
                // All over the panel, its crowds included.
                step = step.wrapping_add(1);
                let at = [
                    panel.min[0] + panel.width() * f32::from(step % 101) / 101.0,
                    panel.min[1] + panel.height() * f32::from(step % 97) / 97.0,
                ];
                picker.hit(&scene, &projection, at, 8.0)
            });
        });
        let [x, y] = panel.center();
        let lasso = Area::Lasso(
            (0..40_u8)
                .map(|i| {
                    let (sin, cos) = (f32::from(i) / 40.0 * std::f32::consts::TAU).sin_cos();
                    [x + 120.0 * cos, y + 80.0 * sin]
                })
                .collect(),
        );
        group.bench_function("lasso", |b| b.iter(|| picker.within(&scene, &projection, 1, &lasso)));
        group.finish();
    }
}

fn drawings(c: &mut Criterion) {
    let words = "the old keeper of the light house said that the ship would come before the storm".split(' ');
    let tokens: Vec<SentenceToken> = words.map(|text| SentenceToken::new(text, false)).collect();
    let count = tokens.len();
    let attention = vec![1.0 / count as f32; count * count];
    let id = HeadId::new(Attention::EncoderSelf, 0, 0);
    let sentence = Sentence::new(id, tokens.clone(), tokens, attention);
    let view = ViewState::default();
    let options = SvgOptions::default();
    let mut group = c.benchmark_group("svg");
    group.bench_function("sentence", |b| {
        b.iter(|| {
            let scene = sentence.scene(&view, sentence.natural_size()).unwrap();
            svg(&scene, &view, &options).unwrap()
        });
    });
    let cloud = common::cloud(POINTS, 2, 3);
    let head = Head::new(id, Coordinates::new(cloud.as_slice().unwrap(), 2).unwrap(), POINTS / 2);
    let scene = head.scene(&view, [900.0, 800.0]).unwrap();
    group.bench_function("head of 10112 points", |b| {
        b.iter(|| svg(&scene, &view, &options).unwrap())
    });
    group.finish();
}

criterion_group!(all, drawings, scenes, picking);

fn main() {
    let only_ratios = std::env::args().any(|argument| argument == "ratios");
    if !only_ratios {
        all();
        Criterion::default().configure_from_args().final_summary();
    }
    ratios();
}
