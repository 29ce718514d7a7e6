//! What a person learns of a model: the page about its heads, experiments, guests, twins.

#![allow(clippy::unwrap_used, reason = "a test")]

use attn_sdk::{
    Distance, Error, ExperimentOptions, Study, Summary, SummaryOptions, Task, Way, ablate,
    analyze::heads::LabelKind,
    core::{Attention, Capture, HeadId, Side, ndarray::Array2},
    embedded::{Embedded, PICTURES, sentences},
    intervene,
    models::{Capturer, Edit, Inputs, Interventions, Picture, split_lines},
    project::{AtlasParams, Method},
    render::{View, views::overlay},
};

fn capturer(model: Embedded) -> Capturer {
    Capturer::load(&model.checkpoint().unwrap()).unwrap()
}

fn read(capturer: &Capturer, text: &str) -> Capture {
    let lines = split_lines(text.as_bytes(), "text".as_ref()).unwrap();
    capturer.text(&lines, None, &()).unwrap().capture
}

fn some_sentences(count: usize) -> String {
    sentences().take(count).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_page_names_what_heads_do() {
    let capturer = capturer(Embedded::TextEncoder);
    let capture = read(&capturer, &some_sentences(60));
    let summary = Summary::new(&capture, Some(&capturer), &SummaryOptions::default(), &()).unwrap();
    assert_eq!(summary.heads.len(), 16);
    assert!(summary.repeated);
    // Every label has its reason, with an example that exists.
    for label in summary.heads.iter().flat_map(|head| &head.labels) {
        assert!(
            label.reason.contains("chance") || label.reason.contains("entropy"),
            "{}",
            label.reason
        );
        let example = label.example.as_ref().unwrap();
        if !matches!(label.kind, LabelKind::Induction | LabelKind::Duplicate) {
            let tokens = &capture.sequences()[example.sequence].encoder;
            assert_eq!(tokens[example.key].text, example.key_text);
        }
    }
    let page = summary.markdown();
    for part in [
        "## Habits",
        "## What stands out",
        "## Heads that look at the same places",
        "## Every head",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // A row per layer, a column per head.
    let rows = page
        .split("## Every head")
        .nth(1)
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| "))
        .count();
    assert_eq!(rows, 1 + 4);
    serde_json::to_string(&summary).unwrap();
}

/// The ratio of the strongest pair, with whole matrices.
#[test]
fn the_page_names_heads_that_read_earlier_ones() {
    let capturer = capturer(Embedded::TextEncoder);
    let capture = read(&capturer, &some_sentences(10));
    let summary = Summary::new(&capture, Some(&capturer), &SummaryOptions::default(), &()).unwrap();
    assert!(summary.chained.len() == 8 && summary.markdown().contains("## Heads that read earlier heads"));
    let weights = capturer.model().head_weights().unwrap();
    let of = |head: HeadId| weights.iter().find(|weights| weights.head == head).unwrap();
    for pair in &summary.chained {
        let (earlier, later) = (of(pair.earlier), of(pair.later));
        let written = earlier.value.dot(&earlier.output);
        let read = match pair.way {
            Way::Query => later.query.dot(&later.key.t()),
            Way::Key => later.key.dot(&later.query.t()),
            Way::Value => later.value.dot(&later.output),
        };
        let norm = |matrix: &Array2<f32>| matrix.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
        let ratio = norm(&written.dot(&read)) / (norm(&written) * norm(&read));
        assert!((ratio - pair.ratio).abs() < 1e-4, "{pair:?}: {ratio}");
        assert!(pair.earlier.layer < pair.later.layer && pair.ratio > pair.median);
        // One over the root of the width, 128.
        assert!((pair.random - 0.088).abs() < 0.005);
    }
    assert!(
        Summary::new(&capture, None, &SummaryOptions::default(), &())
            .unwrap()
            .chained
            .is_empty()
    );
}

#[test]
fn heads_of_pictures_are_asked_for_what_patches_look_like() {
    let capturer = capturer(Embedded::Vision);
    let pictures: Vec<Picture> = PICTURES
        .iter()
        .map(|(name, bytes)| Picture::Memory((*name).into(), (*bytes).into()))
        .collect();
    let capture = capturer.pictures(&pictures, None, &()).unwrap().capture;
    let summary = Summary::new(&capture, Some(&capturer), &SummaryOptions::default(), &()).unwrap();
    let attributes: Vec<&str> = summary.heads[0]
        .content
        .iter()
        .map(|content| content.attribute.as_str())
        .collect();
    for attribute in ["brightness", "hue", "orientation", "frequency"] {
        assert!(attributes.contains(&attribute), "{attributes:?}");
    }
    assert!(!summary.repeated);
}

/// Mean cross-entropy of the next token, one sequence at a time, in double precision.
fn loss_alone(capturer: &Capturer, capture: &Capture, heads: &[HeadId]) -> Vec<f64> {
    let edits = heads.iter().map(|head| {
        Edit::HeadMask {
            heads: (*head).into(),
            factor: 0.0,
        }
        .into()
    });
    let edits: Vec<_> = edits.collect();
    capture
        .sequences()
        .iter()
        .map(|sequence| {
            let ids: Vec<u32> = sequence.decoder.iter().map(|token| token.id.unwrap()).collect();
            let inputs = Inputs::from_ids(std::slice::from_ref(&ids), 0).unwrap();
            let model = capturer.model();
            let mut tap = Interventions::new(model.info(), edits.clone()).unwrap();
            let logits = model.forward(&inputs, &mut tap).unwrap().logits.unwrap();
            let logits: Vec<Vec<f32>> = logits.get(0).unwrap().to_vec2().unwrap();
            let losses = ids.iter().skip(1).zip(&logits).map(|(id, row)| {
                let total: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                total.ln() - f64::from(row[*id as usize])
            });
            losses.sum::<f64>() / (ids.len() - 1) as f64
        })
        .collect()
}

#[test]
fn an_ablation_is_what_the_model_loses_without_the_head() {
    let capturer = capturer(Embedded::TextDecoder);
    let capture = read(&capturer, &some_sentences(20));
    let heads = [
        HeadId::new(Attention::DecoderSelf, 1, 2),
        HeadId::new(Attention::DecoderSelf, 0, 0),
    ];
    let options = ExperimentOptions {
        random: 3,
        batch_tokens: 80,
        ..ExperimentOptions::default()
    };
    let found = ablate(&capturer, capture.sequences(), &heads, &options, &()).unwrap();
    let (before, after) = (
        loss_alone(&capturer, &capture, &[]),
        loss_alone(&capturer, &capture, &heads),
    );
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let change = found.effect.loss_change.unwrap();
    assert_eq!(
        (found.effect.task, found.effect.distance),
        (Task::NextToken, Distance::Divergence)
    );
    assert!((found.effect.loss.unwrap().mean - mean(&before)).abs() < 1e-4);
    assert!(
        (change.mean - (mean(&after) - mean(&before))).abs() < 1e-4,
        "{change:?}"
    );
    assert!(change.low <= change.mean && change.mean <= change.high);
    // The random heads are others, and their effects are their own.
    for random in &found.random {
        assert!(random.heads.iter().all(|head| !heads.contains(head)) && random.heads.len() == 2);
        let alone = mean(&loss_alone(&capturer, &capture, &random.heads)) - mean(&before);
        assert!((random.loss_change.unwrap() - alone).abs() < 1e-4);
    }
    let reached = found
        .random
        .iter()
        .filter(|random| random.loss_change.unwrap() >= change.mean)
        .count();
    assert_eq!(found.p_value, (1 + reached) as f64 / 4.0);
    // The same numbers again, and on one thread.
    let again = || ablate(&capturer, capture.sequences(), &heads, &options, &()).unwrap();
    assert_eq!(again(), found);
}

#[test]
fn masked_models_and_edges_of_single_sequences() {
    let capturer = capturer(Embedded::TextEncoder);
    let capture = read(&capturer, &some_sentences(10));
    let options = ExperimentOptions::default();
    let nothing = intervene(&capturer, capture.sequences(), &|_| Vec::new(), &options, &()).unwrap();
    assert_eq!(nothing.task, Task::MaskedToken);
    assert_eq!(nothing.loss_change.unwrap().mean, 0.0);
    assert!(nothing.output_change.mean < 1e-9);
    // Only the first sequence is changed: the others do not move.
    let first = capture.sequences()[0].name.clone();
    let edit = |sequence: &attn_sdk::core::Sequence| {
        let head = HeadId::new(Attention::EncoderSelf, 0, 2);
        let cut = Edit::HeadMask {
            heads: head.into(),
            factor: 0.0,
        };
        if sequence.name == first { vec![cut] } else { Vec::new() }
    };
    let one = intervene(&capturer, capture.sequences(), &edit, &options, &()).unwrap();
    let all_of_one = intervene(&capturer, &capture.sequences()[..1], &edit, &options, &()).unwrap();
    assert!(one.output_change.mean > 1e-6);
    assert!(
        (10.0 * one.output_change.mean - all_of_one.output_change.mean).abs() < 1e-4 * all_of_one.output_change.mean
    );
}

#[test]
fn experiments_refuse_what_they_cannot_do() {
    let text = capturer(Embedded::TextEncoder);
    let options = ExperimentOptions::default();
    assert!(matches!(ablate(&text, &[], &[], &options, &()), Err(Error::NoHeads)));
    let far = [HeadId::new(Attention::EncoderSelf, 9, 0)];
    let capture = read(&text, "the dog sleeps .");
    assert!(matches!(
        ablate(&text, capture.sequences(), &far, &options, &()),
        Err(Error::Models(_))
    ));
    let vision = capturer(Embedded::Vision);
    assert!(matches!(ablate(&vision, &[], &far, &options, &()), Err(Error::NotText)));
}

#[test]
fn a_guest_that_is_known_lands_on_itself() {
    let capturer = capturer(Embedded::TextEncoder);
    let text = some_sentences(20);
    for method in [
        Method::Pca,
        Method::Tsne(Default::default()),
        Method::Umap(Default::default()),
    ] {
        let params = AtlasParams {
            method,
            ..AtlasParams::default()
        };
        let head = HeadId::new(Attention::EncoderSelf, 1, 1);
        let mut study = Study::new(read(&capturer, &text), &params).unwrap();
        let projection = attn_sdk::project::project_head(study.capture(), head, &params, &()).unwrap();
        study.insert(projection);
        let placer = study.placer(head, &()).unwrap();
        let line = sentences().nth(7).unwrap();
        let guest = placer.place(&read(&capturer, line), 0, &()).unwrap();
        let first = study.point(head, 7).unwrap() as usize;
        let points = &study.projection(head).unwrap().embedding.points;
        // Read in another batch it is equal but for rounding: PCA is linear, the others put it among its neighbours.
        let near = if method == Method::Pca { 1e-3 } else { 5e-2 };
        let extent = points.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (row, placed) in guest.queries.rows().into_iter().enumerate() {
            for (a, b) in placed.iter().zip(points.row(first + row)) {
                assert!(
                    (a - b).abs() < near * extent,
                    "{}: {a} {b}",
                    study.params().method.name()
                );
            }
        }
        // It is drawn over the matrix and over the open head.
        let mut view = View::default();
        let mut scene = study.scene(&view, [800.0, 600.0]).unwrap();
        let before = scene.layers.len();
        guest.draw(&mut scene, &view.colors());
        assert_eq!(scene.layers.len(), before + 1);
        view.open_head(head);
        let mut scene = study.scene(&view, [800.0, 600.0]).unwrap();
        guest.draw(&mut scene, &view.colors());
        assert_eq!(scene.layers.last().unwrap().labels.len(), 2 * guest.query_texts.len());
        overlay::clear(&mut scene);
    }
}

#[test]
fn a_twin_without_positions_sees_no_order() {
    let mut twin = capturer(Embedded::TextEncoder);
    twin.interventions = vec![Edit::RemovePositions { side: Side::Encoder }.into()];
    let original = capturer(Embedded::TextEncoder);
    let head = HeadId::new(Attention::EncoderSelf, 0, 0);
    let text = "the dog saw the dog .\na cat sleeps .\n";
    let same_word = |capture: &Capture| {
        let queries = capture.queries(head).unwrap();
        let tokens = &capture.sequences()[0].encoder;
        let places: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].text == "dog").collect();
        assert_eq!(places.len(), 2);
        let (a, b) = (queries.row(places[0]).to_owned(), queries.row(places[1]).to_owned());
        a.iter().zip(&b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()))
    };
    let (with, without) = (read(&original, text), read(&twin, text));
    assert!(same_word(&with) > 0.1);
    assert!(same_word(&without) < 1e-5);
    assert_ne!(with.fingerprint(), without.fingerprint());
}
