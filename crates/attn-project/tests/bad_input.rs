//! Whatever comes in, a typed error or a finite layout comes out: never a panic, NaN or infinity.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

use attn_project::{
    Dims, Error, FittedProjection, Method, Metric, Neighbors, Points, Projector, Warning,
    aligned::Alignment,
    mds::Mds,
    method::Links,
    ndarray::{Array2, s},
    neighbors::ApproximateParams,
    pca::{Components, Pca},
    quality::{QualityParams, quality},
    tsne::{AttentionTsne, AttentionTsneParams, Tsne, TsneParams},
    umap::{Umap, UmapParams},
};
use proptest::{prelude::*, sample::select};

/// Kinds of trouble a cloud can be made of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Equal,
    Duplicates,
    Zeros,
    Some0,
    Huge,
    Tiny,
    Line,
    Mixed,
}

const KINDS: [Kind; 9] = [
    Kind::Plain,
    Kind::Equal,
    Kind::Duplicates,
    Kind::Zeros,
    Kind::Some0,
    Kind::Huge,
    Kind::Tiny,
    Kind::Line,
    Kind::Mixed,
];

fn cloud(kind: Kind, n: usize, d: usize, salt: usize) -> Array2<f32> {
    let wave = |i: usize, c: usize| (((i + salt) * (c + 3) * 7 + c) as f32 * 0.731).sin();
    Array2::from_shape_fn((n, d), |(i, c)| match kind {
        Kind::Plain => wave(i, c),
        Kind::Equal => 2.5,
        Kind::Duplicates => wave(i % 3, c),
        Kind::Zeros => 0.0,
        Kind::Some0 if i % 3 == 0 => 0.0,
        Kind::Some0 => wave(i, c),
        Kind::Huge => 1e30 * wave(i, c),
        Kind::Tiny => 1e-30 * wave(i, c),
        Kind::Line => i as f32,
        Kind::Mixed if i % 2 == 0 => 1e18 * wave(i, c),
        Kind::Mixed => 1e-18 * wave(i, c),
    })
}

fn methods() -> impl Strategy<Value = Method> {
    let further = select(vec![None, Some(2.0f32), Some(300.0)]);
    let tsne = (select(vec![1.0f32, 5.0, 30.0, 1000.0]), further).prop_map(|(perplexity, further)| {
        let params = TsneParams {
            perplexity,
            further_perplexities: [further, None, None],
            exaggerated_iterations: 15,
            iterations: 15,
            ..TsneParams::default()
        };
        Method::from(Tsne::new(params).unwrap())
    });
    let umap = select(vec![2usize, 15, 500]).prop_map(|neighbors| {
        let params = UmapParams {
            neighbors,
            epochs: Some(15),
            ..UmapParams::default()
        };
        Method::from(Umap::new(params).unwrap())
    });
    let attention = select(vec![0.0f32, 0.2, 1.0]).prop_map(|share| {
        let params = AttentionTsneParams {
            share,
            tsne: TsneParams {
                exaggerated_iterations: 15,
                iterations: 15,
                ..TsneParams::default()
            },
            ..AttentionTsneParams::default()
        };
        Method::from(AttentionTsne::new(params).unwrap())
    });
    prop_oneof![Just(Method::from(Pca)), Just(Method::from(Mds)), tsne, umap, attention]
}

/// Whether equal points have equal coordinates.
fn keeps_copies(method: &Method) -> bool {
    *method == Pca.into() || *method == Mds.into()
}

/// A metric that the method takes: inner products are no distances, which MDS asks for.
fn taken(method: &Method, metric: Metric) -> Metric {
    match *method == Mds.into() && metric == Metric::INNER_PRODUCT {
        true => Metric::EUCLIDEAN,
        false => metric,
    }
}

fn dims() -> impl Strategy<Value = Dims> {
    select(vec![Dims::Two, Dims::Three])
}

fn metrics() -> impl Strategy<Value = Metric> {
    select(Metric::builtin().to_vec())
}

/// The errors that points and parameters like these may be answered with.
fn is_expected(error: &Error, (method, metric): (&Method, &Metric), n: usize, d: usize, dims: Dims) -> bool {
    match error {
        Error::TooFewPoints { .. } => n < 4,
        // Inner products are no distances.
        Error::Parameter { .. } | Error::TooLarge { .. } if *method == Mds.into() => *metric == Metric::INNER_PRODUCT,
        Error::Parameter { .. } => *method == Pca.into() && d < dims.count(),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layouts_are_finite(
        kind in select(&KINDS[..]), n in 0usize..60, d in 1usize..6,
        method in methods(), dims in dims(), metric in metrics(), weight in select(vec![0.0f32, 1e-30, 1.0, 1e30]),
    ) {
        let points = cloud(kind, n, d, 0);
        let projector = Projector::new(&method).dims(dims).metric(&metric).seed(1);
        // Every other point to another one, as a query to a key, with a weight of any size.
        let to = |i: usize| if i.is_multiple_of(2) { vec![(((7 * i + 1) % n) as u32, weight)] } else { Vec::new() };
        let links = Links::new(n, (0..n).map(to)).unwrap();
        let linked = Points::from(points.view()).with_links(Some(&links));
        let embedding = match projector.fit(linked, &()) {
            Ok(embedding) => embedding,
            Err(error) => {
                prop_assert!(is_expected(&error, (&method, &metric), n, d, dims), "{error}");
                return Ok(());
            }
        };
        prop_assert_eq!(embedding.points.dim(), (n, dims.count()));
        prop_assert!(embedding.points.iter().all(|x| x.is_finite()));
        if !keeps_copies(&method) && matches!(kind, Kind::Equal | Kind::Zeros) {
            let all = Warning::Duplicates { share: 1.0, largest: n };
            prop_assert!(embedding.warnings.contains(&all), "{:?}", embedding.warnings);
        }
        if !keeps_copies(&method) && metric == Metric::COSINE && matches!(kind, Kind::Zeros) {
            let zeros = Warning::ZeroVectors { count: n };
            prop_assert!(embedding.warnings.contains(&zeros));
        }

        let params = QualityParams::default().clamped(n);
        match quality(points.view(), embedding.points.view(), &metric, &params, &()) {
            Ok(found) => {
                for score in [&found.trustworthiness, &found.continuity, &found.neighbors_kept] {
                    prop_assert!(score.value.is_finite() && score.value <= 1.0);
                    prop_assert!(score.points.len() == n && score.points.iter().all(|x| x.is_finite()));
                }
            }
            Err(error) => prop_assert!(matches!(error, Error::TooFewPoints { .. }) && n < 3, "{error}"),
        }

        let fitted = FittedProjection::new(points.view(), embedding, &projector, &()).unwrap();
        for other in KINDS {
            let placed = fitted.transform(cloud(other, 5, d, 17).view(), &()).unwrap();
            prop_assert_eq!(placed.dim(), (5, dims.count()));
            prop_assert!(placed.iter().all(|x| x.is_finite()), "{:?}", other);
        }
    }

    #[test]
    fn a_bad_number_is_named_wherever_it_is(
        n in 4usize..40, d in 3usize..6, at in any::<prop::sample::Index>(),
        value in select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -3e38]),
        method in methods(), dims in dims(), metric in metrics(),
    ) {
        let metric = taken(&method, metric);
        let good = cloud(Kind::Plain, n, d, 0);
        let place = at.index(n * d);
        let (row, column) = (place / d, place % d);
        let mut bad = good.clone();
        bad[[row, column]] = value;
        let named = |error: Error| match error {
            Error::NotFinite { row: r, column: c, .. } => !value.is_finite() && (r, c) == (row, column),
            Error::TooLarge { row: r, column: c, .. } => value.is_finite() && (r, c) == (row, column),
            _ => false,
        };
        let projector = Projector::new(&method).dims(dims).metric(&metric).seed(1);
        prop_assert!(named(Components::fit_randomized(bad.view(), 2, 0, &()).unwrap_err()));
        prop_assert!(named(Components::fit(bad.view(), 2, &()).unwrap_err()));
        prop_assert!(named(projector.fit(bad.view(), &()).unwrap_err()));
        prop_assert!(named(Neighbors::exact(bad.view(), 2, &metric, &()).unwrap_err()));
        let params = QualityParams::default().clamped(n);
        let map = good.slice(s![.., ..2]);
        prop_assert!(named(quality(bad.view(), map, &metric, &params, &()).unwrap_err()));
        let fitted = FittedProjection::fit(good.view(), &projector, &()).unwrap();
        prop_assert!(named(fitted.transform(bad.view(), &()).unwrap_err()));
        let frames = [good.view(), bad.view()];
        prop_assert!(named(projector.fit_aligned(&frames, Alignment::default(), &()).unwrap_err()));
    }

    #[test]
    fn neighbors_and_components_are_finite(
        kind in select(&KINDS[..]), n in 2usize..700, d in 1usize..5, k in 1usize..40, metric in metrics(),
    ) {
        let points = cloud(kind, n, d, 0);
        let params = ApproximateParams { recall: 0.9, sample: 20, seed: 1 };
        let exact = Neighbors::exact(points.view(), k, &metric, &());
        let approximate = Neighbors::approximate(points.view(), k, &metric, &params, &()).map(|(table, _)| table);
        for found in [exact, approximate] {
            match found {
                Ok(table) => for i in 0..n {
                    prop_assert!(table.distances(i).is_sorted() && table.distances(i).iter().all(|x| x.is_finite()));
                    let mut seen = table.indices(i).to_vec();
                    seen.sort_unstable();
                    seen.dedup();
                    prop_assert!(seen.len() == k && seen.iter().all(|&j| j as usize != i && (j as usize) < n));
                },
                Err(error) => prop_assert!(matches!(error, Error::TooFewPoints { .. }) && n <= k, "{error}"),
            }
        }
        for pca in [Components::fit(points.view(), d, &()), Components::fit_randomized(points.view(), d, 3, &())] {
            let pca = pca.unwrap();
            prop_assert!(pca.explained_variance_ratio().iter().all(|x| (0.0..=1.0 + 1e-6).contains(x)));
            prop_assert!(pca.components().iter().all(|x| x.is_finite()));
            prop_assert!(pca.transform(points.view()).unwrap().iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn selections_and_sequences_are_finite(
        kind in select(&KINDS[..]), n in 4usize..30, d in 3usize..6, picked in any::<prop::sample::Index>(),
        method in methods(), dims in dims(), metric in metrics(),
        alignment in select(vec![Alignment::Procrustes, Alignment::Penalty { strength: 1.0 }]),
    ) {
        let points = cloud(kind, n, d, 0);
        let metric = taken(&method, metric);
        let count = picked.index(n - 3) + 4;
        let selection: Vec<usize> = (0..count.min(n)).collect();
        let projector = Projector::new(method).dims(dims).metric(metric).seed(1);
        let found = projector.fit_selection(points.view(), &selection, &()).unwrap();
        prop_assert!(found.points.iter().all(|x| x.is_finite()));
        let later = cloud(kind, n, d, 1);
        let frames = [points.view(), later.view(), points.view()];
        let found = projector.fit_aligned(&frames, alignment, &()).unwrap();
        for frame in &found.frames {
            prop_assert!(frame.points.iter().all(|x| x.is_finite()));
        }
        for movement in &found.movements {
            prop_assert!(movement.relative.is_finite() && movement.residual.is_finite());
        }
    }
}
