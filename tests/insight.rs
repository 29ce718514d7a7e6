//! Insight into a model: the page about its heads, experiments, new points, control models.

#![allow(clippy::unwrap_used, reason = "a test")]

use attn_sdk::{
    Error, Study, Weighting,
    analyze::heads::{Reads, Role, Rule, Rules, ScoreId},
    core::{Attention, Capture, HeadId, Sequence, Side, ndarray::Array2},
    embedded::{self, EmbeddedModel, IMAGES, sentences},
    models::{
        Capturer, Inputs,
        control::Control,
        images::Image,
        intervene::{Edit, Interventions},
    },
    project::{
        AtlasParams, Method, aligned::Alignment, atlas::project_head_checkpoints, pca::Pca, tsne::Tsne, umap::Umap,
    },
    render::{Plot, ViewState, plots::overlay},
    study::{
        checkpoints::Checkpoints,
        contrast::{Contrast, read_again},
        experiment::{Distance, Edges, ExperimentParams, Task, ablate, intervene, knock_out},
        summary::{CompositionKind, Summary, SummaryParams},
    },
};

fn capturer(model: EmbeddedModel) -> Capturer {
    Capturer::load(&model.checkpoint().unwrap()).unwrap()
}

fn read<'t>(capturer: &Capturer, texts: impl IntoIterator<Item = &'t str>) -> Capture {
    capturer.capture_lines(texts).unwrap()
}

fn some_sentences(count: usize) -> impl Iterator<Item = &'static str> {
    sentences().take(count)
}

#[test]
fn the_page_names_what_heads_do() {
    let capturer = capturer(embedded::TEXT_ENCODER);
    let capture = read(&capturer, some_sentences(60));
    let summary = Summary::new(&capture, Some(&capturer), &SummaryParams::default(), &()).unwrap();
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
        if summary.scores.get(&label.score).unwrap().reads() != Reads::RepeatedTokens {
            let tokens = &capture.sequences()[example.sequence].encoder;
            assert_eq!(tokens[example.key].text, example.key_text);
        }
    }
    let page = summary.markdown();
    for part in [
        "## Roles",
        "## Anomalies",
        "## Heads with similar attention",
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

#[test]
fn the_page_prints_the_score_that_gave_a_role() {
    let capturer = capturer(embedded::TEXT_ENCODER);
    let capture = read(&capturer, some_sentences(20));
    // Rules of a host: semantic by entropy, diffuse by sparsity. No score can be guessed from such a role.
    let rules = Rules(vec![
        Rule::new(Role::SEMANTIC, ScoreId::ENTROPY, 0.5),
        Rule::new(Role::DIFFUSE, ScoreId::SPARSITY, 0.2),
    ]);
    let params = SummaryParams {
        rules: Some(rules),
        ..SummaryParams::default()
    };
    let summary = Summary::new(&capture, None, &params, &()).unwrap();
    let page = summary.markdown();
    let roles = summary.roles();
    assert_eq!(roles.len(), 2);
    for (role, labels) in roles {
        let score = summary
            .head(labels[0].head)
            .unwrap()
            .scores
            .get(&labels[0].score)
            .unwrap();
        let printed = match role == Role::SEMANTIC {
            true => format!("{:.3} (1 is even)", score.value),
            false => format!("{:.2} ({:.2})", score.value, score.baseline()),
        };
        assert!(page.contains(&printed), "{role}: {printed}");
        assert_eq!((labels[0].value, labels[0].chance), (score.value, score.baseline()));
    }
    let row = page.lines().find(|line| line.starts_with("| semantic |")).unwrap();
    assert!(row.contains("(1 is even)"), "{row}");
}

/// The ratio of the strongest pair, with whole matrices.
#[test]
fn the_page_names_heads_that_read_earlier_ones() {
    let capturer = capturer(embedded::TEXT_ENCODER);
    let capture = read(&capturer, some_sentences(10));
    let summary = Summary::new(&capture, Some(&capturer), &SummaryParams::default(), &()).unwrap();
    assert!(summary.composition.len() == 8 && summary.markdown().contains("## Heads that read earlier heads"));
    let weights = capturer.model().head_weights().unwrap();
    let of = |head: HeadId| weights.iter().find(|weights| weights.head == head).unwrap();
    for pair in &summary.composition {
        let (earlier, later) = (of(pair.earlier), of(pair.later));
        let written = earlier.value.dot(&earlier.output);
        let read = match pair.kind {
            CompositionKind::Query => later.query.dot(&later.key.t()),
            CompositionKind::Key => later.key.dot(&later.query.t()),
            CompositionKind::Value => later.value.dot(&later.output),
        };
        let norm = |matrix: &Array2<f32>| matrix.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
        let ratio = norm(&written.dot(&read)) / (norm(&written) * norm(&read));
        assert!((ratio - pair.ratio).abs() < 1e-4, "{pair:?}: {ratio}");
        assert!(pair.earlier.layer < pair.later.layer && pair.ratio > pair.median);
        // One over the root of the width, 128.
        assert!((pair.random - 0.088).abs() < 0.005);
    }
    assert!(
        Summary::new(&capture, None, &SummaryParams::default(), &())
            .unwrap()
            .composition
            .is_empty()
    );
}

#[test]
fn heads_of_pictures_are_asked_for_what_patches_look_like() {
    let capturer = capturer(embedded::VISION);
    let capture = capturer.capture_images(IMAGES).unwrap();
    let summary = Summary::new(&capture, Some(&capturer), &SummaryParams::default(), &()).unwrap();
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
    let capturer = capturer(embedded::TEXT_DECODER);
    let capture = read(&capturer, some_sentences(20));
    let heads = [
        HeadId::new(Attention::DecoderSelf, 1, 2),
        HeadId::new(Attention::DecoderSelf, 0, 0),
    ];
    let options = ExperimentParams {
        random: 3,
        batch_tokens: 80,
        ..ExperimentParams::default()
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
    assert_eq!((found.reached, found.p_value), (reached, (1 + reached) as f64 / 4.0));
    // The same numbers again, and on one thread.
    let again = || ablate(&capturer, capture.sequences(), &heads, &options, &()).unwrap();
    assert_eq!(again(), found);
}

#[test]
fn masked_models_and_edges_of_single_sequences() {
    let capturer = capturer(embedded::TEXT_ENCODER);
    let capture = read(&capturer, some_sentences(10));
    let options = ExperimentParams::default();
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
fn cut_edges_are_beside_those_of_other_heads_and_other_edges() {
    let capturer = capturer(embedded::TEXT_DECODER);
    let capture = read(&capturer, some_sentences(12));
    let options = ExperimentParams {
        random: 3,
        batch_tokens: 80,
        ..ExperimentParams::default()
    };
    let heads = [HeadId::new(Attention::DecoderSelf, 1, 2)];
    let cut = |edges: &Edges| knock_out(&capturer, capture.sequences(), &heads, edges, &options, &());
    let found = cut(&Edges::First).unwrap();
    // The same by a selection of queries and keys.
    let select = |heads: &[HeadId], sequence: &Sequence| -> Vec<Edit> {
        let edit = |head: &HeadId| Edit::KnockOut {
            heads: (*head).into(),
            queries: (1..sequence.decoder.len()).into(),
            keys: 0.into(),
        };
        heads.iter().map(edit).collect()
    };
    let by_hand = |heads: &[HeadId]| {
        let edits = |sequence: &Sequence| select(heads, sequence);
        intervene(&capturer, capture.sequences(), &edits, &options, &()).unwrap()
    };
    assert_eq!(found.effect, by_hand(&heads));
    assert_eq!(
        found.edge_count,
        capture.sequences().iter().map(|s| s.decoder.len() - 1).sum::<usize>()
    );
    for random in &found.random_heads {
        let wanted = by_hand(&random.heads);
        assert!(!random.heads.contains(&heads[0]) && random.heads.len() == 1);
        assert_eq!(random.loss_change, wanted.loss_change.map(|change| change.mean));
    }
    let change = found.effect.loss_change.unwrap().mean;
    let share = |changes: Vec<Option<f64>>| {
        (1 + changes.iter().filter(|random| random.unwrap() >= change).count()) as f64 / 4.0
    };
    assert_eq!(
        found.p_value_heads,
        share(found.random_heads.iter().map(|r| r.loss_change).collect())
    );
    assert_eq!(
        found.p_value_edges,
        share(found.random_edges.iter().map(|r| r.loss_change).collect())
    );
    assert_eq!((found.random_heads.len(), found.random_edges.len()), (3, 3));
    assert_eq!(cut(&Edges::First).unwrap(), found);
    assert!(matches!(cut(&Edges::Offset(1)), Err(Error::NoEdges { .. })));
}

#[test]
fn experiments_refuse_what_they_cannot_do() {
    let text = capturer(embedded::TEXT_ENCODER);
    let options = ExperimentParams::default();
    assert!(matches!(ablate(&text, &[], &[], &options, &()), Err(Error::NoHeads)));
    let far = [HeadId::new(Attention::EncoderSelf, 9, 0)];
    let capture = read(&text, ["the dog sleeps ."]);
    assert!(matches!(
        ablate(&text, capture.sequences(), &far, &options, &()),
        Err(Error::Models(_))
    ));
    let vision = capturer(embedded::VISION);
    let unknown = [Sequence::default()];
    assert!(matches!(
        ablate(&vision, &unknown, &far, &options, &()),
        Err(Error::NotAnImage { .. })
    ));
}

/// Log-probabilities of the classes of a picture, read alone.
fn classes(capturer: &Capturer, image: &Image, without: &[HeadId]) -> Vec<f32> {
    let inputs = capturer.image_inputs([image]).unwrap();
    let edit = |head: &HeadId| Edit::HeadMask {
        heads: (*head).into(),
        factor: 0.0,
    };
    let edits = without.iter().map(|head| edit(head).into());
    let mut tap = Interventions::new(capturer.model().info(), edits).unwrap();
    let output = capturer.model().forward(&inputs, &mut tap).unwrap();
    let logits: Vec<f32> = output.logits.unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let sum = logits.iter().map(|logit| logit.exp()).sum::<f32>().ln();
    logits.into_iter().map(|logit| logit - sum).collect()
}

fn best(row: &[f32]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
}

#[test]
fn pictures_without_a_head_are_other_classes() {
    let capturer = capturer(embedded::VISION);
    let images: Vec<Image> = IMAGES.iter().map(Image::from).collect();
    let mut capture = capturer.capture_images(&images).unwrap().sequences().to_vec();
    let heads = [0, 1, 2, 3].map(|head| HeadId::new(Attention::EncoderSelf, 0, head));
    let options = ExperimentParams {
        random: 1,
        ..ExperimentParams::default()
    };
    let rows = |without: &[HeadId]| -> Vec<Vec<f32>> {
        images.iter().map(|image| classes(&capturer, image, without)).collect()
    };
    let (before, after) = (rows(&[]), rows(&heads));
    let same = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| best(before) == best(after))
        .count();
    assert!(same < images.len(), "a whole layer is missed");
    let found = ablate(&capturer, &capture, &heads, &options, &()).unwrap().effect;
    assert_eq!(
        (found.task, found.distance, &found.loss),
        (Task::None, Distance::Divergence, &None)
    );
    assert!((found.agreement.unwrap().mean - same as f64 / images.len() as f64).abs() < 1e-9);
    // With labels there is a loss.
    let labels = capturer.model().labels().to_vec();
    capture
        .iter_mut()
        .for_each(|sequence| sequence.label = Some(labels[1].clone()));
    let found = ablate(&capturer, &capture, &heads, &options, &()).unwrap().effect;
    let mean = |rows: &[Vec<f32>]| -rows.iter().map(|row| f64::from(row[1])).sum::<f64>() / rows.len() as f64;
    assert_eq!(found.task, Task::Class);
    assert!((found.loss.unwrap().mean - mean(&before)).abs() < 1e-4);
    assert!((found.loss_change.unwrap().mean - (mean(&after) - mean(&before))).abs() < 1e-4);
}

#[test]
fn controls_are_read_beside_the_model() {
    let checkpoint = embedded::TEXT_ENCODER.checkpoint().unwrap();
    let capture = read(&Capturer::load(&checkpoint).unwrap(), some_sentences(20));
    let again = |control: Control| {
        let control = control.capturer(&checkpoint, 0).unwrap();
        read_again(&control, capture.sequences())
            .unwrap()
            .run()
            .unwrap()
            .capture
    };
    let itself = Contrast::new(&capture, &capture, &()).unwrap();
    assert!(
        itself
            .heads
            .iter()
            .all(|head| head.divergence == 0.0 && head.labels == head.other_labels)
    );
    for control in Control::ALL {
        let other = again(control);
        assert_eq!(other.sequences(), capture.sequences());
        let contrast = Contrast::new(&capture, &other, &()).unwrap();
        assert_eq!(contrast.other, format!("text-encoder, {control}"));
        // L0 H1 looks at the previous token, by position and not by content.
        let head = contrast.head(HeadId::new(Attention::EncoderSelf, 0, 1)).unwrap();
        let previous = head
            .scores
            .iter()
            .find(|score| score.score == ScoreId::PREVIOUS)
            .unwrap();
        assert!(
            previous.value > 0.6 && previous.same_head.unwrap() < 0.25,
            "{control}: {previous:?}"
        );
        assert!(head.divergence > 0.2, "{control}");
        assert!(contrast.markdown().contains("| L0 H1 |"));
    }
    let untrained = again(Control::Untrained);
    let entropies = Contrast::new(&untrained, &capture, &()).unwrap();
    let entropy = |head: &attn_sdk::study::contrast::HeadContrast| {
        head.scores
            .iter()
            .find(|score| score.score == ScoreId::ENTROPY)
            .unwrap()
            .value
    };
    assert!(
        entropies.heads.iter().all(|head| entropy(head) > 0.9),
        "who learned nothing looks everywhere"
    );
    // Images too.
    let checkpoint = embedded::VISION.checkpoint().unwrap();
    let capture = Capturer::load(&checkpoint)
        .unwrap()
        .capture_images([IMAGES[0]])
        .unwrap();
    let control = Control::ShuffledPositions.capturer(&checkpoint, 0).unwrap();
    let other = read_again(&control, capture.sequences())
        .unwrap()
        .run()
        .unwrap()
        .capture;
    assert_eq!(other.sequences(), capture.sequences());
}

/// Along attention, a head whose attention changes by 0.2 bits is seen to move, and noise is not.
#[test]
fn what_moves_in_attention_moves_in_the_picture() {
    let [first, second, ..] = embedded::SENTIMENT_EPOCHS;
    let read = |model: &EmbeddedModel| {
        read(
            &Capturer::load(&model.checkpoint().unwrap()).unwrap(),
            some_sentences(40),
        )
    };
    let captures = [read(&first), read(&second)];
    let head = HeadId::new(Attention::EncoderSelf, 3, 3);
    let captures: Vec<&Capture> = captures.iter().collect();
    let params = AtlasParams::default();
    let found = project_head_checkpoints(&captures, head, &params, Alignment::default(), &()).unwrap();
    let (moved, floor) = (found.movements[0].relative, found.floor);
    assert!(moved > 0.08 && moved > 5.0 * floor, "{moved} above {floor}");
}

#[test]
fn heads_over_a_training_move_as_far_as_their_attention() {
    let [first, second, third, last] = embedded::SENTIMENT_EPOCHS;
    // The last one twice: nothing moves.
    let models = [first, second, third, last, last];
    let read = |model: &EmbeddedModel| {
        read(
            &Capturer::load(&model.checkpoint().unwrap()).unwrap(),
            some_sentences(12),
        )
    };
    let captures: Vec<Capture> = models.iter().map(read).collect();
    let params = AtlasParams {
        method: Tsne::default().into(),
        ..AtlasParams::default()
    };
    let checkpoints = Checkpoints::project(captures, &params, &()).unwrap();
    for moved in checkpoints.movements() {
        assert_eq!((moved.moved.len(), moved.attention.len()), (4, 4));
        assert_eq!(moved.attention[3], 0.0);
        // Nothing moves by more than noise.
        assert!(moved.moved[3] < 0.1 && moved.moved[3] < moved.moved[0], "{moved:?}");
        assert!(moved.floor < 0.1 && moved.floor < moved.moved[0], "{moved:?}");
    }
    let size = [900.0, 700.0];
    let view = ViewState::default();
    let points = |at: f32| {
        let scene = checkpoints.at(at).scene(&view, size).unwrap();
        let panel = scene.panel_of(checkpoints.movements()[0].head).unwrap();
        let own = scene
            .layers
            .iter()
            .flat_map(|layer| layer.points.iter().copied().collect::<Vec<_>>());
        let mut own: Vec<_> = own
            .filter(|point| point.panel() == panel)
            .map(|point| (point.id, point.position))
            .collect();
        own.sort_by_key(|point| point.0);
        own
    };
    let (before, between, after) = (points(0.0), points(0.5), points(1.0));
    assert_eq!((before.len(), between.len()), (after.len(), after.len()));
    assert_ne!(before, after);
    assert_ne!(between, before);
    assert_ne!(between, after);
    let page = checkpoints.markdown();
    assert!(
        page.starts_with("# Heads at 5 checkpoints\n\n1. sentiment, epoch 1\n") && page.contains("| L0 H0 |"),
        "{page}"
    );
}

#[test]
fn a_known_sequence_is_placed_on_its_own_points() {
    let capturer = capturer(embedded::TEXT_ENCODER);
    for method in [Method::from(Pca), Tsne::default().into(), Umap::default().into()] {
        let params = AtlasParams {
            method: method.clone(),
            ..AtlasParams::default()
        };
        let head = HeadId::new(Attention::EncoderSelf, 1, 1);
        let mut study = Study::new(read(&capturer, some_sentences(20)), &params);
        let projection = attn_sdk::project::atlas::project_head(study.capture(), head, &params, &()).unwrap();
        study.insert(projection);
        let placer = study.placer(head, &()).unwrap();
        let line = sentences().nth(7).unwrap();
        let placed_tokens = placer.place(&read(&capturer, [line]), 0, &()).unwrap();
        let first = study.point(head, 7).unwrap() as usize;
        let points = &study.projection(head).unwrap().embedding.points;
        // Read in another batch it is equal but for rounding: PCA is linear, the others put it among its neighbors.
        let near = if method == Pca.into() { 1e-3 } else { 5e-2 };
        let extent = points.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (row, placed) in placed_tokens.queries.rows().into_iter().enumerate() {
            for (a, b) in placed.iter().zip(points.row(first + row)) {
                assert!(
                    (a - b).abs() < near * extent,
                    "{}: {a} {b}",
                    study.params().method.name()
                );
            }
        }
        // It is drawn over the matrix and over the open head.
        let mut view = ViewState::default();
        let mut scene = study.scene(&view, [800.0, 600.0]).unwrap();
        let before = scene.layers.len();
        placed_tokens.draw(&mut scene, &view.colors());
        assert_eq!(scene.layers.len(), before + 1);
        view.open_head(head);
        let mut scene = study.scene(&view, [800.0, 600.0]).unwrap();
        placed_tokens.draw(&mut scene, &view.colors());
        // Its labels join those of the other points, in whatever layer, and come before them.
        let labels = scene.layers.iter().flat_map(|layer| &layer.labels);
        let first = |label: &&attn_sdk::render::scene::Label| matches!(label.placement, attn_sdk::render::scene::Placement::Floating { priority, .. } if priority == f32::MAX);
        assert_eq!(labels.filter(first).count(), 2 * placed_tokens.query_texts.len());
        overlay::clear(&mut scene);
    }
}

#[test]
fn a_model_without_positions_sees_no_order() {
    let removed = Edit::RemovePositions { side: Side::Encoder };
    let control = capturer(embedded::TEXT_ENCODER).with_interventions(vec![removed.into()]);
    let original = capturer(embedded::TEXT_ENCODER);
    let head = HeadId::new(Attention::EncoderSelf, 0, 0);
    let text = ["the dog saw the dog .", "a cat sleeps ."];
    let same_word = |capture: &Capture| {
        let queries = capture.queries(head).unwrap();
        let tokens = &capture.sequences()[0].encoder;
        let places: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].text == "dog").collect();
        assert_eq!(places.len(), 2);
        let (a, b) = (queries.row(places[0]).to_owned(), queries.row(places[1]).to_owned());
        a.iter().zip(&b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()))
    };
    let (with, without) = (read(&original, text), read(&control, text));
    assert!(same_word(&with) > 0.1);
    assert!(same_word(&without) < 1e-5);
    assert_ne!(with.fingerprint(), without.fingerprint());
}

#[test]
fn weights_are_attention_times_what_it_carries() {
    let capturer = capturer(embedded::TEXT_ENCODER);
    let capture = read(&capturer, some_sentences(3));
    let mut study = Study::new(capture, &AtlasParams::default());
    let head = HeadId::new(Attention::EncoderSelf, 1, 2);
    let attention = study.weights(head, 1).unwrap();
    let rows = study.capture().rows(1, Side::Encoder);
    let values = study.capture().values(head).unwrap().to_owned();
    let output = capturer.model().head_weights().unwrap();
    let output_map = output
        .iter()
        .find(|weights| weights.head == head)
        .unwrap()
        .output
        .clone();
    let expected = |carried: &Array2<f32>| {
        let lengths: Vec<f32> = rows
            .clone()
            .map(|row| carried.row(row).dot(&carried.row(row)).sqrt())
            .collect();
        Array2::from_shape_fn(attention.dim(), |(query, key)| {
            let sum: f32 = (0..lengths.len())
                .map(|key| attention[[query, key]] * lengths[key])
                .sum();
            attention[[query, key]] * lengths[key] / sum
        })
    };
    for (weighting, expected) in [
        (Weighting::Value, expected(&values)),
        (Weighting::Output(output.into()), expected(&values.dot(&output_map))),
    ] {
        study.set_weighting(weighting);
        let found = study.weights(head, 1).unwrap();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
