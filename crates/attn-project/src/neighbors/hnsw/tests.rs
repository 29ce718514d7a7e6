//! The graph beside the exact search, on disk, and what never reaches it.

use super::*;
use crate::{
    metric::{Cosine, Euclidean, InnerProduct},
    rng::Rng,
};

fn cloud(n: usize, seed: u64) -> Array2<f32> {
    let mut rng = Rng::new(seed, 0);
    Array2::from_shape_fn((n, 8), |(i, _)| (rng.normal() + (i % 6) as f64) as f32)
}

fn recall(found: &Neighbors, truth: &Neighbors) -> f64 {
    let hits = |i: usize| found.indices(i).iter().filter(|j| truth.indices(i).contains(j)).count();
    (0..truth.len()).map(hits).sum::<usize>() as f64 / (truth.len() * truth.k()) as f64
}

#[test]
fn grows_and_finds_nearly_all() {
    let points = cloud(1200, 1);
    for metric in [Metric::EUCLIDEAN, Metric::COSINE] {
        let mut index = Hnsw::new(8, &metric, HnswParams::default()).unwrap();
        for part in points.axis_chunks_iter(ndarray::Axis(0), 500) {
            index.insert(part).unwrap();
        }
        let truth = Neighbors::exact(points.view(), 10, &metric, &()).unwrap();
        let found = index.neighbors(10, &()).unwrap();
        assert!(recall(&found, &truth) > 0.95, "{metric}: {}", recall(&found, &truth));
        let exact = super::super::Exact::new(points.view(), &metric).unwrap();
        let new = cloud(20, 2);
        let radius = truth.distances(0)[5];
        let [a, b] =
            [&index as &dyn NeighborSearch, &exact].map(|search| search.within(new.view(), radius, &()).unwrap());
        let counts = |of: &Matches| (0..20).map(|i| of.indices(i).len()).sum::<usize>();
        assert!(counts(&a).abs_diff(counts(&b)) <= 1);
        assert!(index.query(new.view(), 3, &()).unwrap().distances(4).is_sorted());
    }
}

#[test]
fn written_read_and_grown() {
    let folder = tempfile::tempdir().unwrap();
    let points = cloud(400, 3);
    let mut index = Hnsw::new(8, Cosine, HnswParams::default()).unwrap();
    assert!(matches!(index.save(folder.path(), "words"), Err(Error::Method { .. })));
    index.insert(points.view()).unwrap();
    index.save(folder.path(), "words").unwrap();
    let mut read = Hnsw::open(folder.path(), "words", Cosine).unwrap();
    assert_eq!((read.len(), read.columns(), read.metric()), (400, 8, &Metric::COSINE));
    let new = cloud(9, 4);
    let [before, after] = [&index, &read].map(|index| index.query(new.view(), 4, &()).unwrap());
    assert_eq!(before, after);
    read.insert(new.view()).unwrap();
    assert_eq!(read.query(new.view(), 1, &()).unwrap().indices(5), [405]);
    read.save(folder.path(), "words").unwrap();
    assert_eq!(Hnsw::open(folder.path(), "words", Cosine).unwrap().len(), 409);

    let wrong = Hnsw::open(folder.path(), "words", Euclidean);
    assert!(matches!(wrong, Err(Error::Parameter { name: "metric", .. })));
    assert!(matches!(Hnsw::open(folder.path(), "none", Cosine), Err(Error::Core(_))));
    let data = folder.path().join("words.hnsw.data");
    let mut bytes = fs::read(&data).unwrap();
    bytes[700] ^= 1;
    fs::write(&data, bytes).unwrap();
    assert!(matches!(
        Hnsw::open(folder.path(), "words", Cosine),
        Err(Error::Method { .. })
    ));
    // Nothing is left beside the three files.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    let nowhere = index.save(folder.path().join("gone"), "words");
    assert!(matches!(nowhere, Err(Error::Core(_))));
}

/// A file that another program cut, with a checksum that is right.
#[test]
fn a_panic_on_a_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Hnsw::new(8, Cosine, HnswParams::default()).unwrap();
    index.insert(cloud(60, 3).view()).unwrap();
    index.save(folder.path(), "words").unwrap();
    let files = Files::new(folder.path(), "words");
    let header = fs::read_to_string(&files.header).unwrap();
    for file in [&files.graph, &files.data] {
        let whole = fs::read(file).unwrap();
        for length in [0, 3, 20, whole.len() / 2, whole.len() - 1] {
            fs::write(file, &whole[..length]).unwrap();
            let mut changed: serde_json::Value = serde_json::from_str(&header).unwrap();
            let key = if file == &files.graph { "graph" } else { "data" };
            changed[key] = digest(file).unwrap().into();
            fs::write(&files.header, changed.to_string()).unwrap();
            let error = Hnsw::open(folder.path(), "words", Cosine).map(|_| ()).unwrap_err();
            assert!(
                matches!(error, Error::Method { .. }),
                "{key} of {length} bytes: {error}"
            );
        }
        fs::write(file, whole).unwrap();
    }
    fs::write(&files.header, header).unwrap();
    assert_eq!(Hnsw::open(folder.path(), "words", Cosine).unwrap().len(), 60);
}

#[test]
fn bad_input_never_reaches_the_graph() {
    let new = |params| Hnsw::new(8, Euclidean, params).map(|_| ()).unwrap_err();
    let params = HnswParams::default();
    for connections in [0, 1, 256, 5000] {
        let error = new(HnswParams { connections, ..params });
        assert!(
            matches!(
                error,
                Error::Parameter {
                    name: "connections",
                    ..
                }
            ),
            "{error}"
        );
    }
    assert!(Hnsw::new(8, InnerProduct, params).is_err() && Hnsw::new(0, Euclidean, params).is_err());
    let mut index = Hnsw::new(8, Euclidean, params).unwrap();
    assert!(index.query(cloud(2, 1).view(), 3, &()).unwrap().indices(0).is_empty());
    let mut points = cloud(30, 5);
    points[[4, 2]] = f32::NAN;
    assert!(matches!(
        index.insert(points.view()),
        Err(Error::NotFinite { row: 4, column: 2, .. })
    ));
    points[[4, 2]] = 1e20;
    assert!(matches!(
        index.insert(points.view()),
        Err(Error::TooLarge { row: 4, column: 2, .. })
    ));
    assert_eq!(index.len(), 0);
    points[[4, 2]] = 0.0;
    index.insert(points.view()).unwrap();
    assert_eq!(index.query(points.view(), 100, &()).unwrap().indices(3).len(), 30);
    let zeros = Array2::<f32>::zeros((40, 8));
    let mut same = Hnsw::new(8, Cosine, params).unwrap();
    same.insert(zeros.view()).unwrap();
    assert_eq!(same.neighbors(3, &()).unwrap().distances(0), [1.0; 3]);
}
