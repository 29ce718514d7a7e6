//! Similarity of heads and rollout, against sums by hand.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::ops::ControlFlow;

use attn_sdk::{
    Error, Study,
    core::{Attention, Capture, HeadId, ndarray::Array2},
    embedded,
    models::Capturer,
    project::AtlasParams,
    render::{Cells, Plot, ViewState},
    study::summary::{Summary, SummaryParams},
};

/// Dates and their other writing, read by the embedded encoder-decoder.
fn dates() -> (Capturer, Capture) {
    let capturer = Capturer::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
    let capture = capturer.capture_lines(embedded::dates().take(5)).unwrap();
    (capturer, capture)
}

fn drawn(plot: &dyn Plot) -> attn_sdk::render::Scene {
    plot.scene(&ViewState::default(), plot.natural_size()).unwrap()
}

fn bits(row: impl Iterator<Item = f64>) -> f64 {
    row.filter(|p| *p > 0.0).map(|p| -p * p.log2()).sum()
}

/// Mean over sequences of the mean over rows with a choice of the Jensen-Shannon divergence.
fn by_hand(capture: &Capture, a: HeadId, b: HeadId) -> f64 {
    let sequences = capture.sequences().len();
    let mean = |sequence| {
        let [p, q] = [a, b].map(|head| capture.attention(head, sequence).unwrap().mapv(f64::from));
        let (mut sum, mut rows) = (0.0, 0.0);
        for (row, (p, q)) in p.rows().into_iter().zip(q.rows()).enumerate() {
            // The first row of a causal attention sees one key.
            if a.attention != Attention::DecoderSelf || row > 0 {
                let middle = p.iter().zip(q).map(|(p, q)| 0.5 * (p + q));
                sum += bits(middle) - 0.5 * (bits(p.iter().copied()) + bits(q.iter().copied()));
                rows += 1.0;
            }
        }
        sum / rows
    };
    (0..sequences).map(mean).sum::<f64>() / sequences as f64
}

#[test]
fn every_head_knows_those_most_like_it() {
    let (capturer, capture) = dates();
    let summary = Summary::new(&capture, Some(&capturer), &SummaryParams::default(), &()).unwrap();
    let attentions: Vec<Attention> = summary
        .similarity
        .iter()
        .map(|similarity| similarity.attention)
        .collect();
    assert_eq!(
        attentions,
        [Attention::EncoderSelf, Attention::DecoderSelf, Attention::Cross]
    );
    for head in &summary.heads {
        let like = summary.most_similar(head.head);
        let others = summary
            .heads
            .iter()
            .filter(|other| other.head.attention == head.head.attention);
        assert_eq!(like.len(), others.count() - 1);
        assert!(like.is_sorted_by(|a, b| a.1 <= b.1));
        for (other, found) in like {
            let expected = by_hand(&capture, head.head, other);
            assert!(
                (f64::from(found) - expected).abs() < 1e-4,
                "{} {other}: {found} {expected}",
                head.head
            );
        }
    }
    // Groups are as near as they say, and nobody is in two.
    let mut seen = Vec::new();
    for similarity in &summary.similarity {
        for group in &similarity.groups {
            assert!(group.len() > 1 && !group.iter().any(|head| seen.contains(head)));
            seen.extend(group);
            for (i, a) in group.iter().enumerate() {
                for b in &group[i + 1..] {
                    assert!(by_hand(&capture, *a, *b) < f64::from(0.5 * similarity.median) + 1e-4);
                }
            }
        }
    }
}

#[test]
fn the_map_has_a_point_per_head() {
    let (capturer, capture) = dates();
    let summary = Summary::new(&capture, Some(&capturer), &SummaryParams::default(), &()).unwrap();
    let map = summary.map(None).unwrap();
    let scene = map.scene(&ViewState::default(), map.natural_size()).unwrap();
    // A panel of its own for each attention, and ids in the order of the heads.
    let points = &scene.layers[1].points;
    assert_eq!(points.len(), summary.heads.len());
    for (index, point) in points.iter().enumerate() {
        assert_eq!(point.id as usize, index);
        let before = summary.heads[..index].iter();
        let same = before.filter(|head| head.head.attention == summary.heads[index].head.attention);
        let first = &points[index - same.count()];
        assert_eq!(point.panel(), first.panel());
    }
    let head = summary.heads[3].head;
    let marked = summary.map(Some(head)).unwrap();
    let marked = marked.scene(&ViewState::default(), [600.0, 500.0]).unwrap();
    let bright = marked.layers[1]
        .points
        .iter()
        .filter(|point| !point.is_dimmed())
        .count();
    assert_eq!(bright, 1 + summary.most_similar(head).len().min(5));
    let table = summary.map(None).unwrap().table(&ViewState::default()).unwrap();
    assert_eq!((table.rows(), table.columns().len()), (summary.heads.len(), 8));
    // Another model's head is unknown here.
    assert!(
        summary
            .most_similar(HeadId::new(Attention::EncoderSelf, 99, 0))
            .is_empty()
    );
}

#[test]
fn a_rollout_is_the_product_of_what_layers_mix() {
    let (_, capture) = dates();
    let study = Study::new(capture, &AtlasParams::default());
    for attention in [Attention::EncoderSelf, Attention::DecoderSelf] {
        let info = study.capture().model().attention(attention).unwrap().clone();
        let mut expected: Option<Array2<f64>> = None;
        for layer in 0..info.layers.len() {
            let heads = (0..info.heads).map(|head| HeadId::new(attention, layer, head));
            let sum = heads.map(|head| study.capture().attention(head, 1).unwrap().mapv(f64::from));
            let mean = sum.reduce(|a, b| a + b).unwrap() / info.heads as f64;
            let mixed = (&mean + &Array2::<f64>::eye(mean.nrows())) / 2.0;
            expected = Some(expected.map_or(mixed.clone(), |before| mixed.dot(&before)));
        }
        let expected = expected.unwrap();
        let rollout = study.roll_out(attention, 1, &()).unwrap();
        let table = rollout
            .plot(&study, None)
            .unwrap()
            .table(&ViewState::default())
            .unwrap();
        let numbers = |column: usize| match &table.columns()[column].1 {
            Cells::Numbers(numbers) => numbers.clone(),
            Cells::Texts(_) => panic!("numbers"),
        };
        let (layers, tokens, from, shares) = (numbers(0), numbers(1), numbers(3), numbers(5));
        let mut found = Array2::<f64>::zeros(expected.raw_dim());
        for row in (0..table.rows()).filter(|&row| layers[row] as usize == info.layers.len()) {
            found[[tokens[row] as usize, from[row] as usize]] = shares[row];
        }
        // Shares below a thousandth are left out.
        let worst = (&found - &expected).fold(0.0_f64, |worst, x| worst.max(x.abs()));
        assert!(worst < 1.01e-3, "{attention}: {worst}");
        assert!(drawn(&rollout.plot(&study, None).unwrap()).layers[1].edges.len() > 4);
    }
}

#[test]
fn what_cannot_be_rolled_out_is_refused() {
    let (_, capture) = dates();
    let study = Study::new(capture.clone(), &AtlasParams::default());
    assert!(matches!(
        study.roll_out(Attention::Cross, 0, &()),
        Err(Error::Analyze(_))
    ));
    assert!(matches!(
        study.roll_out(Attention::EncoderSelf, 99, &()),
        Err(Error::Analyze(_))
    ));
    let stop = |_: &str, _: usize, _: usize| ControlFlow::Break(());
    assert!(
        study
            .roll_out(Attention::EncoderSelf, 0, &stop)
            .unwrap_err()
            .is_cancelled()
    );
    // Another study's rollout names what this one lacks.
    let rollout = study.roll_out(Attention::DecoderSelf, 0, &()).unwrap();
    let other = Capturer::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
    let other = Study::new(other.capture_text("a storm").unwrap(), &AtlasParams::default());
    assert!(matches!(rollout.plot(&other, None), Err(Error::Core(_))));
}

#[test]
fn long_texts_are_lines_and_pictures_heat() {
    let capturer = Capturer::load(&embedded::TEXT_DECODER.checkpoint().unwrap()).unwrap();
    let text = embedded::sentences().take(12).collect::<Vec<_>>().join(" ");
    let capture = capturer.capture_text(&text).unwrap();
    let tokens = capture.sequences()[0].decoder.len();
    assert!(tokens > 64, "{tokens}");
    let study = Study::new(capture, &AtlasParams::default());
    let rollout = study.roll_out(Attention::DecoderSelf, 0, &()).unwrap();
    // A word for each query and each key; a graph has a state per layer.
    let scene = drawn(&rollout.plot(&study, None).unwrap());
    assert_eq!(scene.layers[1].points.len(), 2 * tokens);
    assert_eq!(
        rollout
            .plot(&study, None)
            .unwrap()
            .table(&ViewState::default())
            .unwrap()
            .rows(),
        tokens * tokens
    );

    let capturer = Capturer::load(&embedded::VISION.checkpoint().unwrap()).unwrap();
    let capture = capturer.capture_images([embedded::IMAGES[0]]).unwrap();
    let tokens = capture.sequences()[0].encoder.len();
    let study = Study::new(capture, &AtlasParams::default());
    let rollout = study.roll_out(Attention::EncoderSelf, 0, &()).unwrap();
    assert_eq!(
        rollout
            .plot(&study, None)
            .unwrap()
            .table(&ViewState::default())
            .unwrap()
            .rows(),
        tokens * tokens
    );
    let scene = drawn(&rollout.plot(&study, Some((1, 1))).unwrap());
    assert!(scene.layers.iter().any(|layer| !layer.pictures.is_empty()));
    let outside = rollout.plot(&study, Some((99, 1)));
    assert!(outside.is_err() || outside.is_ok_and(|plot| plot.scene(&ViewState::default(), [400.0; 2]).is_err()));
}
