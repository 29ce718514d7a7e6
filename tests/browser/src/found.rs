//! Models, projections and scores.

use std::error::Error;

use attn_core::ndarray::Array2;
use attn_sdk::{
    Study,
    core::{Attention, Capture, HeadId},
    embedded::{self, IMAGES, dates, sentences},
    models::{
        Capturer, Inputs,
        generate::{GenerationParams, Generator},
    },
    project::{
        AtlasParams, Embedding, Metric, Neighbors, Projector,
        method::Methods,
        neighbors::ApproximateParams,
        quality::{QualityParams, quality},
    },
    project_gpu::Gpu,
    study::summary::{Summary, SummaryParams},
};

use crate::{Findings, samples::Noise};

/// Runs three embedded models. The study of the first one is drawn later.
pub(crate) fn models(findings: &mut Findings) -> Result<Study, Box<dyn Error>> {
    let encoder = Capturer::load(&embedded::TEXT_ENCODER.checkpoint()?)?;
    let capture = encoder.capture_lines(sentences().take(8))?;
    let tokens = capture.sequences().iter().flat_map(|sequence| &sequence.encoder);
    let all: Vec<&str> = tokens.map(|token| token.text.as_str()).collect();
    findings.exact.insert("tokens".into(), all.join(" "));
    record(findings, "encoder", &capture, HeadId::new(Attention::EncoderSelf, 2, 1))?;

    let summary = Summary::new(&capture, Some(&encoder), &SummaryParams::default(), &())?;
    let roles = summary.heads.iter().map(|head| {
        let roles: Vec<String> = head.labels.iter().map(|label| label.role.to_string()).collect();
        format!("{}: {}\n", head.head, roles.join(", "))
    });
    findings.exact.insert("roles".into(), roles.collect());

    let vision = Capturer::load(&embedded::VISION.checkpoint()?)?;
    let seen = vision.capture_images(&IMAGES[..2])?;
    record(findings, "vision", &seen, HeadId::new(Attention::EncoderSelf, 0, 0))?;

    let checkpoint = embedded::DATES.checkpoint()?;
    let converter = Capturer::load(&checkpoint)?;
    let tokenizer = checkpoint.tokenizer()?;
    let generator = Generator::new(converter.model(), &GenerationParams::read(&checkpoint)?)?;
    for line in dates().take(3) {
        let source = tokenizer.encode(line, converter.model().info())?;
        let generated = generator.run(&Inputs::from_ids(&[source.ids()], 0)?, &mut (), &())?;
        let text = tokenizer.decode(&generated[0].hypotheses[0].tokens)?;
        findings.exact.insert(format!("generated from {line}"), text);
    }

    let params = AtlasParams {
        method: Methods::builtin().get("pca")?,
        ..AtlasParams::default()
    };
    Ok(Study::project(capture, &params)?)
}

/// The vectors of a head, and its attention.
fn record(findings: &mut Findings, name: &str, capture: &Capture, head: HeadId) -> Result<(), Box<dyn Error>> {
    let mut add = |what: &str, values: Vec<f32>| findings.rounded.insert(format!("{name}: {what}"), values);
    add("queries", capture.queries(head)?.iter().copied().collect());
    add("keys", capture.keys(head)?.iter().copied().collect());
    add("values", capture.values(head)?.iter().copied().collect());
    add("attention", capture.attention(head, 1)?.iter().copied().collect());
    Ok(())
}

/// 240 points of 12 dimensions in four clouds.
fn points() -> Array2<f32> {
    let mut noise = Noise(1);
    Array2::from_shape_fn((240, 12), |(row, column)| {
        let center = if row % 4 == column % 4 { 4.0 } else { 0.0 };
        center + noise.normal()
    })
}

/// Every built-in method: the layout where it is stable, its quality where it is not.
pub(crate) fn projections(findings: &mut Findings) -> Result<(), Box<dyn Error>> {
    let points = points();
    findings.exact.insert(
        "neighbors".into(),
        table(&Neighbors::exact(points.view(), 10, Metric::EUCLIDEAN, &())?),
    );
    let params = ApproximateParams::default();
    let (nearly, _) = Neighbors::approximate(points.view(), 10, Metric::EUCLIDEAN, &params, &())?;
    findings.exact.insert("approximate neighbors".into(), table(&nearly));
    for key in ["attention", "pca", "mds", "tsne", "umap"] {
        let embedding = Projector::new(Methods::builtin().get(key)?).fit(points.view(), &())?;
        judge(findings, key, &points, &embedding)?;
        if ["pca", "mds"].contains(&key) {
            findings
                .rounded
                .insert(key.into(), embedding.points.iter().copied().collect());
        }
    }
    Ok(())
}

/// Neighbors and t-SNE on the GPU.
pub(crate) async fn on_gpu(findings: &mut Findings) -> Result<(), Box<dyn Error>> {
    let points = points();
    let gpu = Gpu::headless_async().await?;
    findings.adapters.push(gpu.adapter());
    let neighbors = gpu.neighbors_async(points.view(), 10, Metric::EUCLIDEAN, &()).await?;
    findings.exact.insert("neighbors on the GPU".into(), table(&neighbors));
    let projector = Projector::new(Methods::builtin().get("tsne")?);
    let embedding = gpu.fit_async(&projector, points.view(), &()).await?;
    judge(findings, "t-SNE on the GPU", &points, &embedding)
}

fn judge(findings: &mut Findings, name: &str, points: &Array2<f32>, found: &Embedding) -> Result<(), Box<dyn Error>> {
    let params = QualityParams::default().clamped(points.nrows());
    let judged = quality(points.view(), found.points.view(), &Metric::EUCLIDEAN, &params, &())?;
    for (score, value) in [
        ("trustworthiness", judged.trustworthiness),
        ("continuity", judged.continuity),
    ] {
        findings.quality.insert(format!("{name}: {score}"), value.value);
    }
    Ok(())
}

/// The indices of the neighbors, a line per point.
fn table(neighbors: &Neighbors) -> String {
    let lines = (0..neighbors.len()).map(|point| format!("{:?}\n", neighbors.indices(point)));
    lines.collect()
}
