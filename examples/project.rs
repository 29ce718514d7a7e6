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

use std::{error::Error, path::PathBuf, process::ExitCode, time::Instant};

use attn_sdk::project::{
    Dims, Error as ProjectError, Method, Metric, Neighbors, Projector,
    method::Methods,
    pca::EXPLAINED_VARIANCE,
    quality::{QualityParams, quality},
    tsne::{KL_DIVERGENCE, Tsne, TsneParams},
};
use clap::Parser;
use examples_common::{Terminal, write_npy};
use ndarray::Array2;

/// Projects points to two or three dimensions.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Points, an array [point, dimension] of floats or integers
    #[arg(long, value_name = "X.npy")]
    points: PathBuf,
    /// How points are laid out: pca, tsne, umap or mds
    #[arg(long, value_name = "METHOD", default_value = "tsne")]
    method: String,
    /// 2 or 3
    #[arg(long, default_value = "2", value_parser = ["2", "3"])]
    dims: String,
    /// What near means: euclidean, cosine or inner-product
    #[arg(long, value_name = "METRIC", default_value = "euclidean")]
    metric: String,
    /// Perplexity of t-SNE, at least 1; several, as 30,300, for the mean of their affinities [default: 30]
    #[arg(long, value_name = "P[,P]", value_delimiter = ',', num_args = 1)]
    perplexity: Vec<f32>,
    /// Same seed, same coordinates
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads [default: all]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where to write the coordinates, float32 [point, dims]
    #[arg(long, value_name = "Y.npy", required_unless_present = "neighbors")]
    out: Option<PathBuf>,
    /// Finds this many nearest neighbors instead of projecting; the table, int32 [point, k], goes to --out
    #[arg(long, value_name = "K")]
    neighbors: Option<usize>,
    /// Share of the true neighbors to find, below 1 by the approximate search [default: all up to 30,000 points, 0.997 beyond]
    #[arg(long, value_name = "SHARE")]
    recall: Option<f32>,
    /// Prints seconds per stage and the quality as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| run(&options))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let terminal = Terminal::new();
    let points = examples_common::points(&options.points, options.threads)?;
    let (recall, seed) = (options.recall, options.seed);
    let metric: Metric = options.metric.replace('-', "_").parse()?;
    let start = Instant::now();
    if let Some(k) = options.neighbors {
        let (neighbors, recall) = Neighbors::with_recall(points.view(), k, &metric, recall, seed, &terminal)?;
        let seconds = start.elapsed().as_secs_f64();
        if let Some(out) = &options.out {
            let table = Array2::from_shape_fn((neighbors.len(), k), |(row, column)| {
                neighbors.indices(row)[column] as i32
            });
            write_npy(out, &table)?;
        }
        if options.json {
            println!(
                "{}",
                serde_json::json!({ "points": points.dim(), "neighbors": k, "neighbors_s": seconds, "recall": recall })
            );
        }
        return Ok(());
    }
    let method = match options.method.as_str() {
        "tsne" => Method::from(Tsne::new(
            TsneParams::default().with_perplexities(&options.perplexity)?,
        )?),
        key => Methods::builtin().get(key)?,
    };
    let projector = Projector {
        method,
        dims: if options.dims == "3" { Dims::Three } else { Dims::Two },
        metric: metric.clone(),
        seed: options.seed,
    };
    let (mut neighbors_s, mut found) = (None, None);
    let embedding = match projector.method.neighbors(points.nrows()) {
        0 => projector.fit(points.view(), &terminal)?,
        k => {
            projector.prepare(points.view())?;
            let (table, share) = Neighbors::with_recall(points.view(), k, &metric, recall, seed, &terminal)?;
            neighbors_s = Some(start.elapsed().as_secs_f64());
            found = share;
            projector.fit((points.view(), &table), &terminal)?
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    if let Some(out) = &options.out {
        write_npy(out, &embedding.points)?;
    }
    if options.json {
        let params = QualityParams::default().clamped(points.nrows());
        let judged = match quality(points.view(), embedding.points.view(), &metric, &params, &terminal) {
            Ok(judged) => Some(judged),
            // Two points have no neighborhoods to keep.
            Err(ProjectError::TooFewPoints { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let diagnostic = |name: &str| embedding.diagnostic(name).map(|values| values.to_vec());
        let report = serde_json::json!({
            "points": points.dim(),
            "method": projector.method.name(),
            "neighbors_s": neighbors_s,
            "recall": found,
            "project_s": seconds - neighbors_s.unwrap_or(0.0),
            "kl_divergence": diagnostic(KL_DIVERGENCE).and_then(|values| values.first().copied()),
            "explained_variance": diagnostic(EXPLAINED_VARIANCE),
            "quality": judged,
        });
        println!("{report}");
    }
    Ok(())
}
