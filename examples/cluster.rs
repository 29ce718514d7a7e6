//! Clusters any points: .npy in, .npy out. For comparing clusterings with other programs, or using them from one.
//!
//! ```sh
//! cargo run --release --example cluster -- --points X.npy --method ward --clusters 600 --out labels.npy
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "a command-line program"
)]

use std::{error::Error, path::PathBuf, process::ExitCode, time::Instant};

use attn_sdk::analyze::concepts::{KMeansParams, Partition, k_means, leaders_ward, means, ward};
use clap::{Parser, ValueEnum};
use examples_common::Terminal;
use ndarray::Array1;

/// Divides points into clusters.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Points, an array [point, dimension] of floats or integers
    #[arg(long, value_name = "X.npy")]
    points: PathBuf,
    /// How clusters are found
    #[arg(long, value_enum, default_value = "ward")]
    method: Method,
    /// How many
    #[arg(long, value_name = "K", default_value_t = 600)]
    clusters: usize,
    /// k-means: points per step instead of all of them
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Same seed, same clusters
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads [default: all]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where to write the cluster of each point, int32 [point]
    #[arg(long, value_name = "labels.npy")]
    out: Option<PathBuf>,
    /// Prints seconds, the within-cluster sum of squares and, for ward, the sum of the merges' heights as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Method {
    /// Ward linkage on all points
    Ward,
    /// k-means
    KMeans,
    /// Leaders, then Ward linkage on them
    LeadersWard,
}

fn main() -> ExitCode {
    let options = Options::parse();
    examples_common::run(|| run(&options))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    use ndarray_npy::WriteNpyExt;
    let terminal = Terminal::new();
    let points = examples_common::points(&options.points, options.threads)?;
    let start = Instant::now();
    let mut heights = None;
    let partition: Partition = match options.method {
        Method::Ward => {
            let tree = ward(points.view(), None, &terminal)?;
            heights = Some(tree.merges().iter().map(|merge| merge.height).sum::<f64>());
            tree.cut(options.clusters)?
        }
        Method::KMeans => {
            let settings = KMeansParams {
                clusters: options.clusters,
                batch: options.batch,
                seed: options.seed,
                ..KMeansParams::default()
            };
            k_means(points.view(), &settings, &terminal)?.partition
        }
        Method::LeadersWard => leaders_ward(points.view(), options.clusters, None, options.seed, &terminal)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    if let Some(out) = &options.out {
        let labels: Array1<i32> = partition.labels().iter().map(|&label| label as i32).collect();
        let mut bytes = Vec::new();
        labels.write_npy(&mut bytes)?;
        attn_sdk::core::files::write_atomically(out, &bytes)?;
    }
    if options.json {
        let centroids = means(points.view(), &partition);
        let rows = points.rows().into_iter().zip(partition.of());
        let squares = rows.filter_map(|(point, cluster)| {
            let cluster = (*cluster)?;
            let pairs = point.into_iter().zip(centroids.row(cluster));
            Some(pairs.map(|(&x, &c)| (f64::from(x) - f64::from(c)).powi(2)).sum::<f64>())
        });
        let report = serde_json::json!({
            "points": points.dim(),
            "clusters": partition.count(),
            "cluster_s": seconds,
            "within_squares": squares.sum::<f64>(),
            "height_sum": heights,
        });
        println!("{report}");
    }
    Ok(())
}
