use attn_project::*;
use ndarray::Array2;
use std::time::Instant;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let x: Array2<f32> = ndarray_npy::read_npy(&a[1]).unwrap();
    let method = a[2].as_str();
    let dims = if a[3] == "3" { Dims::Three } else { Dims::Two };
    let cpu = || {
        let s = std::fs::read_to_string("/proc/self/stat").unwrap();
        let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
        (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
    };
    let get = |name: &str| std::env::var(name).ok();
    let (t, c) = (Instant::now(), cpu());
    match method {
        "knn" => {
            let k = get("K").map_or(90, |k| k.parse().unwrap());
            for _ in 0..3 {
                let (t, c) = (Instant::now(), cpu());
                let _ = Neighbors::exact(x.view(), k, Metric::Euclidean, &()).unwrap();
                println!("knn {:.3} s, cpu {:.3}", t.elapsed().as_secs_f64(), cpu() - c);
            }
        }
        "quality" => {
            let y: Array2<f32> = ndarray_npy::read_npy(&a[4]).unwrap();
            let q = quality(x.view(), y.view(), Metric::Euclidean, &QualityParams::default(), &()).unwrap();
            println!(
                "quality {:.3} s, cpu {:.3} trust {} cont {} nn {}",
                t.elapsed().as_secs_f64(),
                cpu() - c,
                q.trustworthiness.value,
                q.continuity.value,
                q.neighbors_kept.value
            );
        }
        _ => {
            let method = match method {
                "pca" => Method::Pca,
                "tsne" => Method::Tsne(TsneParams {
                    theta: get("THETA").map_or(0.5, |s| s.parse().unwrap()),
                    ..TsneParams::default()
                }),
                _ => Method::Umap(UmapParams {
                    start: if get("PCA").is_some() {
                        Start::Pca
                    } else {
                        Start::Spectral
                    },
                    ..UmapParams::default()
                }),
            };
            let seed = get("SEED").map_or(1, |s| s.parse().unwrap());
            let k = method.neighbors(x.nrows()).max(1);
            let n = Neighbors::exact(x.view(), k, Metric::Euclidean, &()).unwrap();
            println!("knn {:.3} s, cpu {:.3}", t.elapsed().as_secs_f64(), cpu() - c);
            let e = project_with(x.view(), &n, &method, dims, seed, &()).unwrap();
            println!(
                "all {:.3} s, cpu {:.3}, kl {:?}, {:?}, span {}",
                t.elapsed().as_secs_f64(),
                cpu() - c,
                e.kl_divergence,
                e.explained_variance,
                e.points.iter().fold(0.0f32, |m, x| m.max(x.abs()))
            );
            ndarray_npy::write_npy(&a[4], &e.points).unwrap();
        }
    }
}
