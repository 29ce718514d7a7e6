//! Every method through the one entry point.

use std::ops::ControlFlow;

use attn_core::Progress;
use ndarray::{Array2, ArrayView2, s};

use super::*;
use crate::{
    Error, Projector,
    mds::Mds,
    metric::{Cosine, Euclidean},
    pca::{EXPLAINED_VARIANCE, Pca},
    quality::{QualityParams, quality},
    rng::Rng,
    tsne::{KL_DIVERGENCE, PERPLEXITY, Tsne, TsneParams},
    umap::{Umap, UmapParams},
};

/// Ten far groups of points in eight dimensions.
fn groups(n: usize) -> Array2<f32> {
    let mut rng = Rng::new(12, 0);
    let centers = Array2::from_shape_simple_fn((10, 8), || 10.0 * rng.normal() as f32);
    Array2::from_shape_fn((n, 8), |(i, c)| centers[[i % 10, c]] + rng.normal() as f32)
}

fn every_method() -> Vec<Projector> {
    let methods: [Method; 4] = [Pca.into(), Tsne::default().into(), Umap::default().into(), Mds.into()];
    in_both(&methods)
}

fn in_both(methods: &[Method]) -> Vec<Projector> {
    let with = |method: &Method| [Dims::Two, Dims::Three].map(|dims| Projector::new(method).dims(dims).seed(1));
    methods.iter().flat_map(with).collect()
}

fn is_pca(projector: &Projector) -> bool {
    projector.method == Pca.into()
}

fn tsne(params: TsneParams) -> Projector {
    Projector::new(Tsne::new(params).unwrap()).seed(1)
}

#[test]
fn groups_stay_groups() {
    let points = groups(600);
    for projector in in_both(&[Tsne::default().into(), Umap::default().into()]) {
        let embedding = projector.fit(points.view(), &()).unwrap();
        let map = &embedding.points;
        assert_eq!(map.dim(), (600, projector.dims.count()));
        // Ten nearest in the layout all belong to the same group, for all but a few points.
        let neighbors = Neighbors::exact(map.view(), 10, Euclidean, &()).unwrap();
        let pure = (0..600)
            .filter(|&i| neighbors.indices(i).iter().all(|&j| j as usize % 10 == i % 10))
            .count();
        assert!(pure > 590, "{projector:?}: {pure}");
        let found = quality(points.view(), map.view(), Euclidean, &QualityParams::default(), &()).unwrap();
        let value = found.trustworthiness.value;
        assert!(value > 0.95, "{projector:?}: {value}");
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let points = groups(1100);
    let quick = TsneParams {
        exaggerated_iterations: 30,
        iterations: 30,
        ..TsneParams::default()
    };
    let umap = UmapParams {
        epochs: Some(20),
        ..UmapParams::default()
    };
    let methods = [
        Pca.into(),
        Tsne::new(quick).unwrap().into(),
        Umap::new(umap).unwrap().into(),
    ];
    for projector in in_both(&methods) {
        let on = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let projector = projector.clone().metric(Cosine).seed(seed);
            pool.install(|| projector.fit(points.view(), &()).unwrap())
        };
        let one = on(1, 5);
        assert_eq!(one, on(2, 5), "{projector:?}");
        assert_eq!(one, on(8, 5), "{projector:?}");
        assert_eq!(one == on(1, 6), is_pca(&projector), "{projector:?}");
    }
}

#[test]
fn one_table_serves_every_method() {
    let points = groups(300);
    let table = |k| Neighbors::exact(points.view(), k, Euclidean, &()).unwrap();
    let wide = table(120);
    for projector in every_method() {
        let alone = projector.fit(points.view(), &()).unwrap();
        assert_eq!(projector.fit((points.view(), &wide), &()).unwrap(), alone);
    }
    for (method, needed) in [(Method::default(), 90), (Umap::default().into(), 14)] {
        let projector = Projector::new(method);
        let error = projector.fit((points.view(), &table(10)), &()).unwrap_err();
        assert!(
            matches!(error, Error::TooFewNeighbors { needed: n, found: 10, .. } if n == needed),
            "{error}"
        );
        let error = projector.fit((groups(200).view(), &wide), &()).unwrap_err();
        assert!(matches!(error, Error::Shape { what: "neighbors", .. }), "{error}");
    }
}

#[test]
fn several_perplexities() {
    let points = groups(400);
    let params = TsneParams {
        further_perplexities: [Some(60.0), Some(5000.0), None],
        ..TsneParams::default()
    };
    assert_eq!(params.neighbors(400), 399);
    assert_eq!(params.effective_perplexities(400), [30.0, 60.0, 133.0]);
    // Two that few points make the same count once.
    assert_eq!(params.effective_perplexities(100), [30.0, 33.0]);
    assert_eq!(params.effective_perplexities(20), [19.0 / 3.0]);
    let found = tsne(params).fit(points.view(), &()).unwrap();
    assert_eq!(found.diagnostic(PERPLEXITY), Some(&[30.0][..]));
    assert!(found.diagnostic(KL_DIVERGENCE).unwrap()[0] > 0.0);
    assert_eq!(found.diagnostic(EXPLAINED_VARIANCE), None);
    assert!(found.warnings.contains(&Warning::PerplexityReduced {
        asked: 5000.0,
        used: 133.0
    }));
    // The same perplexity twice is that perplexity once.
    let twice = TsneParams {
        further_perplexities: [Some(30.0), None, None],
        ..TsneParams::default()
    };
    let [twice, once] = [twice, TsneParams::default()].map(|params| tsne(params).fit(points.view(), &()).unwrap());
    assert_eq!(twice, once);
    assert_ne!(found.points, once.points);
}

#[test]
fn few_equal_zero_and_thin_points_give_finite_layouts() {
    let mut zeros = groups(50);
    zeros.slice_mut(s![..20, ..]).fill(0.0);
    let clouds = [
        groups(4),
        groups(7),
        Array2::from_elem((40, 5), 3.0),
        zeros,
        groups(50).slice_move(s![.., ..1]),
    ];
    for cloud in &clouds {
        for metric in Metric::builtin() {
            for projector in every_method() {
                let projector = projector.metric(&metric);
                match projector.fit(cloud.view(), &()) {
                    Ok(embedding) => assert!(embedding.points.iter().all(|x| x.is_finite()), "{projector:?}"),
                    // MDS wants distances, which the inner product is not.
                    Err(error) => assert!(
                        is_pca(&projector) && cloud.ncols() == 1 || projector.method == Mds.into(),
                        "{projector:?}: {error}"
                    ),
                }
            }
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let mut points = groups(30);
    let found = Projector::default().fit(groups(3).view(), &()).unwrap_err();
    assert!(matches!(
        found,
        Error::TooFewPoints {
            needed: 4,
            found: 3,
            ..
        }
    ));
    let (tsne, umap) = (TsneParams::default(), UmapParams::default());
    let wrong_tsne = [
        (
            "perplexity",
            TsneParams {
                perplexity: 0.0,
                ..tsne
            },
        ),
        (
            "further_perplexities",
            TsneParams {
                further_perplexities: [None, Some(f32::NAN), None],
                ..tsne
            },
        ),
        (
            "theta",
            TsneParams {
                theta: f32::NAN,
                ..tsne
            },
        ),
        (
            "learning_rate",
            TsneParams {
                learning_rate: Some(0.0),
                ..tsne
            },
        ),
        (
            "iterations",
            TsneParams {
                exaggerated_iterations: 0,
                iterations: 0,
                ..tsne
            },
        ),
    ];
    let wrong_umap = [
        ("neighbors", UmapParams { neighbors: 1, ..umap }),
        ("min_dist", UmapParams { min_dist: 2.0, ..umap }),
        (
            "spread",
            UmapParams {
                spread: f32::INFINITY,
                ..umap
            },
        ),
        (
            "epochs",
            UmapParams {
                epochs: Some(0),
                ..umap
            },
        ),
    ];
    let refused = wrong_tsne.map(|(name, params)| (name, Tsne::new(params).unwrap_err()));
    let refused = refused
        .into_iter()
        .chain(wrong_umap.map(|(name, params)| (name, Umap::new(params).unwrap_err())));
    for (expected, error) in refused {
        assert!(
            matches!(error, Error::Parameter { name, .. } if name == expected),
            "{error}"
        );
    }
    let stop = |stage: &str, done: usize, _: usize| {
        if stage == "t-SNE" && done == 7 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let stopped = Projector::default().fit(points.view(), &stop);
    assert!(stopped.unwrap_err().is_cancelled());
    for (value, huge) in [(f32::NEG_INFINITY, false), (3e38, true)] {
        points[[29, 7]] = value;
        for projector in every_method() {
            let error = projector.fit(points.view(), &()).unwrap_err();
            let named = match error {
                Error::NotFinite { row: 29, column: 7, .. } => !huge,
                Error::TooLarge { row: 29, column: 7, .. } => huge,
                _ => false,
            };
            assert!(named, "{error}");
        }
    }
}

#[test]
fn coordinates_serialize_as_rows() {
    let embedding = Embedding::new(ndarray::array![[1.0f32, 2.0], [3.0, 4.0]]);
    let value = serde_json::to_value(&embedding).unwrap();
    assert_eq!(value["points"], serde_json::json!([[1.0, 2.0], [3.0, 4.0]]));
}

#[test]
fn methods_are_written_and_read_as_they_always_were() {
    let text = |method: &Method| serde_json::to_string(method).unwrap();
    assert_eq!(text(&Pca.into()), "\"pca\"");
    let umap = text(&Umap::default().into());
    assert!(
        umap.starts_with("{\"umap\":{") && umap.contains("\"min_dist\":0.1,"),
        "{umap}"
    );
    // As files of before have it, with some parameters or all.
    let kept = r#"{"tsne":{"perplexity":50.0,"further_perplexities":[null,null,null],"exaggeration":12.0,
        "exaggerated_iterations":250,"iterations":50,"learning_rate":null,"theta":0.5}}"#;
    let read: Method = serde_json::from_str(kept).unwrap();
    assert_eq!(read, Tsne::new(TsneParams::published()).unwrap().into());
    assert_eq!(read.downcast::<Tsne>().unwrap().params(), &TsneParams::published());
    for method in [
        Pca.into(),
        Tsne::default().into(),
        Umap::default().into(),
        Method::from(Mds),
    ] {
        assert_eq!(serde_json::from_str::<Method>(&text(&method)).unwrap(), method);
        assert_eq!(method.key().parse::<Method>().unwrap(), method);
    }
    for wrong in [
        "\"tse\"",
        "{\"tsne\":{\"perplexity\":0}}",
        "{\"pca\":{},\"umap\":{}}",
        "3",
    ] {
        assert!(serde_json::from_str::<Method>(wrong).is_err(), "{wrong}");
    }
}

/// Fails, or gives what no method may give.
#[derive(Debug)]
struct Broken(fn(usize) -> Result<Array2<f32>>);

impl ProjectionMethod for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn fit(&self, input: &FitInput<'_>, _: &dyn Progress) -> Result<Embedding> {
        (self.0)(input.points.nrows()).map(Embedding::new)
    }
}

#[test]
fn what_a_method_gives_is_checked() {
    let points = groups(20);
    let fit = |method| Projector::new(Broken(method)).fit(points.view(), &());
    assert!(fit(|n| Ok(Array2::zeros((n, 2)))).is_ok());
    let short = fit(|n| Ok(Array2::zeros((n - 1, 2)))).unwrap_err();
    assert!(
        matches!(
            short,
            Error::Shape {
                what: "coordinates",
                ..
            }
        ),
        "{short}"
    );
    let nan = fit(|n| Ok(Array2::from_elem((n, 2), f32::NAN))).unwrap_err();
    assert!(
        matches!(
            nan,
            Error::NotFinite {
                what: "coordinates",
                ..
            }
        ),
        "{nan}"
    );
    let own = fit(|_| Err(Error::method("broken", "no license"))).unwrap_err();
    assert_eq!(own.to_string(), "broken: no license");
    let embedding = Embedding::new(Array2::zeros((20, 2)));
    let projector = Projector::new(Broken(|_| unreachable!()));
    let refused = crate::FittedProjection::new(points.view(), embedding, &projector, &()).unwrap_err();
    assert_eq!(refused.to_string(), "broken: placing new points is not supported");
}

#[test]
fn structure_that_the_others_hid() {
    // Two groups a unit apart, in a cloud of hundreds: alone, they fall apart as on the first axis.
    let mut rng = Rng::new(2, 0);
    let points = Array2::from_shape_fn((160, 4), |(i, c)| {
        let noise = rng.normal() as f32;
        match (i < 40, c) {
            (true, 0) => 0.02 * noise + (i % 2) as f32,
            (true, _) => 0.02 * noise,
            _ => 100.0 * noise,
        }
    });
    let selection: Vec<usize> = (0..40).rev().collect();
    let projector = tsne(TsneParams {
        perplexity: 6.0,
        ..TsneParams::default()
    });
    let run = |points: ArrayView2<'_, f32>, selection: &[usize]| projector.fit_selection(points, selection, &());
    let found = run(points.view(), &selection).unwrap();
    let near = Neighbors::exact(found.points.view(), 5, Euclidean, &()).unwrap();
    assert!((0..40).all(|i| near.indices(i).iter().all(|&j| j as usize % 2 == i % 2)));
    // The rows are those of the selection, in its order.
    let alone = projector.fit(points.slice(s![..40;-1, ..]), &()).unwrap();
    assert_eq!(found, alone);

    assert!(matches!(
        run(points.view(), &[1, 160]),
        Err(Error::Parameter { name: "selection", .. })
    ));
    assert!(matches!(
        run(points.view(), &[1, 2, 3, 1]),
        Err(Error::Parameter { name: "selection", .. })
    ));
    assert!(matches!(
        run(points.view(), &[1, 2, 3]),
        Err(Error::TooFewPoints { found: 3, .. })
    ));
    assert!(matches!(
        run(points.view(), &[]),
        Err(Error::TooFewPoints { found: 0, .. })
    ));
}

/// How far copies of one point are apart at most, as a share of the layout; and whether each point's nearest is a copy.
fn copies_apart(points: &Array2<f32>, map: &Array2<f32>) -> (f32, bool) {
    let equal = |i: usize, j: usize| points.row(i) == points.row(j);
    let distance = |i: usize, j: usize| {
        let difference = &map.row(i) - &map.row(j);
        difference.dot(&difference).sqrt()
    };
    let (mut widest, mut apart, mut together) = (0.0_f32, 0.0_f32, true);
    for i in 0..points.nrows() {
        let (mut own, mut other) = (f32::INFINITY, f32::INFINITY);
        let mut copies = 0;
        for j in (0..points.nrows()).filter(|&j| j != i) {
            let far = distance(i, j);
            widest = widest.max(far);
            if equal(i, j) {
                apart = apart.max(far);
                own = own.min(far);
                copies += 1;
            } else {
                other = other.min(far);
            }
        }
        together &= copies == 0 || own <= other;
    }
    (apart / widest.max(f32::MIN_POSITIVE), together)
}

/// What the documentation says about equal points, measured.
#[test]
fn copies_of_a_point_stay_with_each_other() {
    let mut rng = Rng::new(3, 0);
    let places = Array2::from_shape_simple_fn((7, 10), || rng.normal() as f32);
    let rows: Vec<usize> = (0..210).map(|i| i / 30).collect();
    let copies = places.select(ndarray::Axis(0), &rows);
    for projector in every_method() {
        let embedding = projector.fit(copies.view(), &()).unwrap();
        let (apart, together) = copies_apart(&copies, &embedding.points);
        assert!(together, "{projector:?}: another point is nearer than a copy");
        let most = match projector.method.key() {
            "tsne" => 0.001,
            "umap" => 0.1,
            _ => 1e-6,
        };
        assert!(apart < most, "{projector:?}: {apart} of the layout");
    }
}
