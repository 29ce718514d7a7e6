//! attn-project alone: points of a host's own, laid out and judged, new points among them, and a table of neighbors
//! from elsewhere.
//!
//! ```sh
//! cargo run --release -p attn-project --example project_alone
//! ```

#![allow(clippy::print_stdout, reason = "a command-line program")]

use attn_project::{
    FittedProjection, Method, Neighbors, Projector, Result,
    metric::Euclidean,
    ndarray::{Array2, Axis},
    quality::{QualityParams, quality},
    tsne::Tsne,
    umap::Umap,
};

fn main() -> Result<()> {
    // Five groups in eight dimensions; the last ten points are new.
    let points = Array2::from_shape_fn((510, 8), |(i, j)| {
        ((i % 5) * (j + 1)) as f32 + ((i * (j + 3)) as f32).sin()
    });
    let (old, new) = points.view().split_at(Axis(0), 500);

    // One search serves every method; it is as wide as the widest asks for.
    let methods = [Method::from(Tsne::default()), Umap::default().into()];
    let k = methods.iter().map(|method| method.neighbors(500)).max().unwrap_or(15);
    let table = Neighbors::search(old, k, Euclidean, &())?;

    for method in methods {
        let fitted = FittedProjection::fit((old, &table), &Projector::new(&method).seed(7), &())?;
        let layout = fitted.embedding();
        let judged = quality(old, layout.points.view(), Euclidean, &QualityParams::default(), &())?;
        println!("{}: trustworthiness {:.3}", method.name(), judged.trustworthiness.value);
        println!("  {:.0} % of the neighbors kept", 100.0 * judged.neighbors_kept.value);
        for warning in &layout.warnings {
            println!("  warning: {warning}");
        }
        println!("  the first new point lies at {}", fitted.transform(new, &())?.row(0));
    }

    // A table from elsewhere, here of all pairs: 20 neighbors per point, nearest first, without the point itself.
    let (mut indices, mut distances) = (Vec::new(), Vec::new());
    for (i, row) in old.rows().into_iter().enumerate() {
        let distance = |j: usize| (&old.row(j) - &row).mapv(|x| x * x).sum().sqrt();
        let mut near: Vec<(f32, usize)> = (0..500).filter(|j| *j != i).map(|j| (distance(j), j)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        indices.extend(near[..20].iter().map(|(_, j)| *j as u32));
        distances.extend(near[..20].iter().map(|(distance, _)| *distance));
    }
    let foreign = Neighbors::from_parts(20, Euclidean, indices, distances)?;
    let layout = Projector::new(Umap::default()).fit((old, &foreign), &())?;
    println!("UMAP of that table: {} points", layout.points.nrows());
    Ok(())
}
