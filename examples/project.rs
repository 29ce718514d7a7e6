//! Projects any points: .npy in, .npy out. For comparing projections with other programs, or using them from one.
//!
//! ```sh
//! cargo run --release --example project -- --points X.npy --method tsne --dims 2 --seed 0 --out Y.npy
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

mod common;

use std::{error::Error, path::PathBuf, process::ExitCode, time::Instant};

use attn_sdk::project::{Dims, Method, Metric, Neighbors, QualityParams, TsneParams, UmapParams, project, quality};
use clap::{Parser, ValueEnum};
use common::Terminal;
use ndarray::Array2;

/// Projects points to two or three dimensions.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Points, a float32 array [point, dimension]
    #[arg(long, value_name = "X.npy")]
    points: PathBuf,
    /// How points are laid out
    #[arg(long, value_enum, default_value = "tsne")]
    method: Name,
    /// 2 or 3
    #[arg(long, default_value = "2", value_parser = ["2", "3"])]
    dims: String,
    /// What near means
    #[arg(long, value_enum, default_value = "euclidean")]
    metric: Near,
    /// Same seed, same coordinates
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads [default: all]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where to write the coordinates, float32 [point, dims]
    #[arg(long, value_name = "Y.npy", required_unless_present = "neighbors")]
    out: Option<PathBuf>,
    /// Finds this many nearest neighbours instead of projecting; the table, int32 [point, k], goes to --out
    #[arg(long, value_name = "K")]
    neighbors: Option<usize>,
    /// Prints seconds per stage and the quality as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Pca,
    Tsne,
    Umap,
}

#[derive(Clone, Copy, ValueEnum)]
enum Near {
    Euclidean,
    Cosine,
    InnerProduct,
}

fn main() -> ExitCode {
    let options = Options::parse();
    common::run(|| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(options.threads.unwrap_or(0))
            .build_global()?;
        run(&options)
    })
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let points: Array2<f32> =
        ndarray_npy::read_npy(&options.points).map_err(|error| format!("{}: {error}", options.points.display()))?;
    let metric = match options.metric {
        Near::Euclidean => Metric::Euclidean,
        Near::Cosine => Metric::Cosine,
        Near::InnerProduct => Metric::InnerProduct,
    };
    let start = Instant::now();
    if let Some(k) = options.neighbors {
        let neighbors = Neighbors::exact(points.view(), k, metric, &terminal)?;
        let seconds = start.elapsed().as_secs_f64();
        if let Some(out) = &options.out {
            let table = Array2::from_shape_fn((neighbors.len(), k), |(row, column)| {
                neighbors.indices(row)[column] as i32
            });
            write(out, &table)?;
        }
        if options.json {
            println!(
                "{}",
                serde_json::json!({ "points": points.dim(), "neighbors": k, "neighbors_s": seconds })
            );
        }
        return Ok(());
    }
    let method = match options.method {
        Name::Pca => Method::Pca,
        Name::Tsne => Method::Tsne(TsneParams::default()),
        Name::Umap => Method::Umap(UmapParams::default()),
    };
    let dims = if options.dims == "3" { Dims::Three } else { Dims::Two };
    let embedding = project(points.view(), &method, dims, metric, options.seed, &terminal)?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(out) = &options.out {
        write(out, &embedding.points)?;
    }
    if options.json {
        let judged = quality(
            points.view(),
            embedding.points.view(),
            metric,
            &QualityParams::default(),
            &terminal,
        )?;
        let report = serde_json::json!({
            "points": points.dim(),
            "method": method.name(),
            "project_s": seconds,
            "kl_divergence": embedding.kl_divergence,
            "explained_variance": embedding.explained_variance,
            "quality": judged,
        });
        println!("{report}");
    }
    Ok(())
}

/// Writes an array so that the file is there whole or not at all.
fn write<T: ndarray_npy::WritableElement>(path: &std::path::Path, array: &Array2<T>) -> Result<(), Box<dyn Error>> {
    use ndarray_npy::WriteNpyExt;
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes)?;
    Ok(attn_sdk::core::write_atomically(path, &bytes)?)
}
