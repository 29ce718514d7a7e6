//! Directions in half precision against brute force over what they were made of.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use attn_project::{
    attn_core::Rng,
    metric::{Cosine, Distance},
    neighbors::{HalfCells, HalfCellsParams, HalfExact, HalfRows, NeighborSearch},
};
use ndarray::Array2;

/// Points around some directions, as states of a model are.
fn points(count: usize, columns: usize) -> Array2<f32> {
    let mut rng = Rng::new(3, &[count]);
    let directions = Array2::from_shape_fn((20, columns), |_| rng.normal() as f32);
    let of: Vec<usize> = (0..count).map(|_| rng.below(20)).collect();
    Array2::from_shape_fn((count, columns), |(row, column)| {
        directions[(of[row], column)] + 0.6 * rng.normal() as f32
    })
}

fn rows(points: &Array2<f32>) -> HalfRows {
    let mut bytes = Vec::new();
    for row in points.rows() {
        HalfRows::encode(&row.to_vec(), &mut bytes);
    }
    HalfRows::new(bytes.into(), points.ncols()).unwrap()
}

#[test]
fn exact_is_what_every_pair_says() {
    let points = points(1500, 21);
    let rows = rows(&points);
    let search = HalfExact(rows.clone());
    let new = points.slice(ndarray::s![..3, ..]).to_owned() * 2.5;
    let found = search.query(new.view(), 9, &()).unwrap();
    let near = search.within(new.view(), 0.2, &()).unwrap();
    for query in 0..3 {
        // Brute force over the points before they were rounded: the same but for what rounding leaves open.
        let mut all: Vec<(u32, f32)> = (0..1500)
            .map(|row| {
                let (a, b) = (new.row(query).to_vec(), points.row(row as usize).to_vec());
                (row, Cosine.distance(&a, &b))
            })
            .collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        assert_eq!(found.indices(query)[0], query as u32);
        for (own, true_one) in found.distances(query).iter().zip(&all) {
            assert!((own - true_one.1).abs() < 2e-3);
        }
        let inside = all.iter().filter(|found| found.1 <= 0.2).count();
        assert!(near.indices(query).len().abs_diff(inside) <= 3);
    }
    assert_eq!(search.query(new.view(), 5000, &()).unwrap().indices(0).len(), 1500);
    let table = search.neighbors(3, &()).unwrap();
    assert_eq!(table.len(), 1500);
    assert!(table.indices(7).iter().all(|other| *other != 7));
}

#[test]
fn cells_find_what_they_say() {
    let points = points(4000, 24);
    let rows = rows(&points);
    let cells = HalfCells::new(rows.clone(), &HalfCellsParams::default(), &()).unwrap();
    assert!(cells.recall() >= 0.98 && cells.cells().0 == 63 && cells.cells().1 < 63);
    // On rows of which the sample has few.
    let own: Vec<usize> = (0..200).map(|at| 20 * at + 7).collect();
    let queries = rows.select(own.iter().copied());
    let exact = HalfExact(rows.clone()).query(queries.view(), 20, &()).unwrap();
    let found = cells.query(queries.view(), 20, &()).unwrap();
    let hits = (0..own.len()).map(|at| {
        let there = exact.indices(at);
        found.indices(at).iter().filter(|row| there.contains(row)).count()
    });
    let recall = hits.sum::<usize>() as f64 / (20 * own.len()) as f64;
    assert!(recall > 0.96, "{recall}");
    // As bytes and back; on one thread and on two.
    let bytes = cells.to_bytes();
    let again = HalfCells::from_bytes(rows.clone(), &bytes).unwrap();
    assert_eq!(again.query(queries.view(), 20, &()).unwrap(), found);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let alone = pool.install(|| HalfCells::new(rows.clone(), &HalfCellsParams::default(), &()).unwrap());
    assert_eq!(alone.to_bytes(), bytes);
    assert_eq!(cells.neighbors(5, &()).unwrap().len(), 4000);
}

#[test]
fn damaged_bytes_are_refused_and_nothing_panics() {
    let rows = rows(&points(300, 8));
    let bytes = HalfCells::new(rows.clone(), &HalfCellsParams::default(), &())
        .unwrap()
        .to_bytes();
    for cut in [0, 3, 4, 11, bytes.len() / 2, bytes.len() - 4] {
        assert!(HalfCells::from_bytes(rows.clone(), &bytes[..cut]).is_err(), "{cut}");
    }
    for at in (0..bytes.len()).step_by(17) {
        let mut bad = bytes.clone();
        bad[at] ^= 0xff;
        if let Ok(cells) = HalfCells::from_bytes(rows.clone(), &bad) {
            assert!(cells.query(rows.select([0]).view(), 4, &()).is_ok());
        }
    }
    assert!(HalfRows::new(vec![0; 9].into(), 2).is_err() && HalfRows::new(vec![].into(), 0).is_err());
    // Not a number in a file, and in a row.
    let rows = HalfRows::new(vec![0xff; 16].into(), 2).unwrap();
    let found = HalfExact(rows)
        .query(ndarray::array![[1.0, 0.0]].view(), 2, &())
        .unwrap();
    assert_eq!(found.distances(0), [2.0, 2.0]);
    let mut odd = Vec::new();
    HalfRows::encode(&[f32::NAN, 1.0], &mut odd);
    assert_eq!(
        HalfRows::new(odd.into(), 2).unwrap().select([0, 9]),
        ndarray::array![[0.0, 1.0], [0.0, 0.0]]
    );
    let none = HalfRows::new(vec![].into(), 4).unwrap();
    assert!(HalfCells::new(none, &HalfCellsParams::default(), &()).is_err());
}
