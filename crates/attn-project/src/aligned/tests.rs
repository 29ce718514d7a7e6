use ndarray::{Array2, s};

use super::*;
use crate::{
    Dims, Method,
    metric::{Cosine, Euclidean},
    pca::Pca,
    rng::Rng,
    tsne::{Tsne, TsneParams},
    umap::{Umap, UmapParams},
};

const N: usize = 150;

/// Five groups of 30; in later frames a little noise, and group 0 has gone over to group 1.
fn frames() -> [Array2<f32>; 3] {
    let mut rng = Rng::new(4, 0);
    let centers = Array2::from_shape_simple_fn((5, 6), || 8.0 * rng.normal() as f32);
    let first = Array2::from_shape_fn((N, 6), |(i, c)| centers[[i % 5, c]] + rng.normal() as f32);
    let mut noisy = || &first + &Array2::from_shape_simple_fn((N, 6), || 0.05 * rng.normal() as f32);
    let (second, mut third) = (noisy(), noisy());
    for i in (0..N).step_by(5) {
        let gone = &third.row(i) - &centers.row(0) + centers.row(1);
        third.row_mut(i).assign(&gone);
    }
    [first, second, third]
}

fn methods() -> [Method; 3] {
    let tsne = TsneParams {
        perplexity: 10.0,
        exaggerated_iterations: 100,
        iterations: 200,
        ..TsneParams::default()
    };
    let umap = UmapParams {
        epochs: Some(150),
        ..UmapParams::default()
    };
    [
        Pca.into(),
        Tsne::new(tsne).unwrap().into(),
        Umap::new(umap).unwrap().into(),
    ]
}

fn aligned(method: &Method, dims: Dims, alignment: Alignment) -> AlignedProjection {
    let frames = frames();
    let views: Vec<_> = frames.iter().map(|frame| frame.view()).collect();
    Projector::new(method)
        .dims(dims)
        .seed(1)
        .fit_aligned(&views, alignment, &())
        .unwrap()
}

/// What is still in the frames is nearly so in the layouts, and what moves goes at least twice as far.
fn only_what_moved_moves(method: &Method) {
    for dims in [Dims::Two, Dims::Three] {
        let found = aligned(method, dims, Alignment::default());
        assert_eq!((found.frames.len(), found.movements.len()), (3, 2));
        let [still, moving] = [&found.movements[0], &found.movements[1]];
        let mean = |of: &dyn Fn(usize) -> bool| {
            let points: Vec<f32> = (0..N).filter(|&i| of(i)).map(|i| moving.points[i]).collect();
            points.iter().sum::<f32>() / points.len() as f32
        };
        let (gone, stayed) = (mean(&|i| i % 5 == 0), mean(&|i| i % 5 > 1));
        // In the last layout the group lies among the one that it joined.
        let map = &found.frames[2].points;
        let neighbors = Neighbors::exact(map.view(), 10, Euclidean, &()).unwrap();
        let joined = (0..N)
            .step_by(5)
            .filter(|&i| neighbors.indices(i).iter().all(|&j| j as usize % 5 <= 1))
            .count();
        let said = format!(
            "{dims:?}: still {}, {gone} against {stayed}, {joined} of 30",
            still.relative
        );
        // Unrelated layouts are at 1.4.
        assert!(still.relative < 0.2 && gone > 2.0 * stayed && joined >= 28, "{said}");
    }
}

#[test]
fn only_what_moved_moves_in_tsne() {
    only_what_moved_moves(&methods()[1]);
}

#[test]
fn only_what_moved_moves_in_umap() {
    only_what_moved_moves(&methods()[2]);
}

#[test]
fn the_penalty_reduces_movement() {
    for method in &methods()[1..] {
        let moved = |strength| aligned(method, Dims::Two, Alignment::Penalty { strength }).movements[1].relative;
        let (free, held, tight) = (moved(0.0), moved(0.1), moved(1.0));
        assert!(tight < held && held < free, "{}: {free} {held} {tight}", method.name());
    }
}

/// A frame and its noisy copy keep together, and what moved goes farther.
#[test]
fn a_noisy_copy_says_what_movement_means_nothing() {
    for method in methods() {
        let name = method.name().to_owned();
        let moved = aligned(&method, Dims::Two, Alignment::default());
        let floor = Projector::new(method)
            .noise_floor(frames()[0].view(), Alignment::default(), &())
            .unwrap();
        assert!(floor.relative < 0.1, "{name}: {}", floor.relative);
        // UMAP draws the points that push: its two layouts are pushed by others.
        let times = if name == "UMAP" { 2.0 } else { 3.0 };
        assert!(
            moved.movements[1].relative > times * floor.relative,
            "{name}: {} {}",
            moved.movements[1].relative,
            floor.relative
        );
    }
    let bad = Projector::default().noise_floor(frames()[0].view(), Alignment::Penalty { strength: 2.0 }, &());
    assert!(matches!(bad, Err(Error::Parameter { name: "strength", .. })));
}

#[test]
fn procrustes_leaves_no_change_of_view() {
    for method in &methods() {
        let found = aligned(method, Dims::Two, Alignment::Procrustes);
        for movement in &found.movements {
            // Turning once more gains nothing.
            assert!(
                (movement.relative - movement.residual).abs() < 0.02,
                "{}: {movement:?}",
                method.name()
            );
        }
        // Shape is kept: the first layout is the one made alone.
        let alone = Projector::new(method).seed(1).fit(frames()[0].view(), &()).unwrap();
        assert_eq!(found.frames[0], alone);
    }
    assert_eq!(
        aligned(&Pca.into(), Dims::Three, Alignment::default()),
        aligned(&Pca.into(), Dims::Three, Alignment::Procrustes)
    );
}

#[test]
fn movement_by_hand() {
    let before = ndarray::array![[0.0f32, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]];
    let found = Movement::between(before.view(), (&before + 3.0).view()).unwrap();
    // Every point goes 3 √2; the square's corners are √2 from its middle.
    assert!((found.root_mean_square - 18f32.sqrt()).abs() < 1e-6 && (found.relative - 3.0).abs() < 1e-6);
    assert!(found.residual < 1e-6);
    let mut after = before.clone();
    after[[2, 0]] = 4.0;
    let found = Movement::between(before.view(), after.view()).unwrap();
    assert_eq!(found.points, [0.0, 0.0, 2.0, 0.0]);
    assert!(found.root_mean_square == 1.0 && found.residual > 0.0 && found.residual <= found.relative);
    let one = Array2::<f32>::zeros((3, 2));
    assert_eq!(Movement::between(one.view(), one.view()).unwrap().relative, 0.0);
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    for method in &methods() {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| aligned(method, Dims::Two, Alignment::default()))
        };
        assert_eq!(on(1), on(3));
    }
}

#[test]
fn bad_input_is_refused() {
    let [first, second, _] = frames();
    let run = |frames: &[ArrayView2<'_, f32>], strength| {
        let alignment = Alignment::Penalty { strength };
        let projector = Projector::new(&methods()[2]).metric(Cosine);
        projector.fit_aligned(frames, alignment, &()).unwrap_err()
    };
    assert!(matches!(
        run(&[], 0.1),
        Error::TooFewPoints {
            needed: 1,
            found: 0,
            ..
        }
    ));
    let short = second.slice(s![..100, ..]);
    assert!(matches!(
        run(&[first.view(), short], 0.1),
        Error::Shape { what: "frames", .. }
    ));
    for strength in [f32::NAN, -0.1, 2.0] {
        let error = run(&[first.view(), second.view()], strength);
        assert!(matches!(error, Error::Parameter { name: "strength", .. }));
    }
    let mut broken = second.clone();
    broken[[7, 3]] = f32::NAN;
    assert!(matches!(
        run(&[first.view(), broken.view()], 0.1),
        Error::NotFinite { row: 7, column: 3, .. }
    ));
}
