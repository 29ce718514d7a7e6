//! The work of an application: an embedded model, a capture, a study, its scenes and its report.

#![allow(clippy::unwrap_used, reason = "a test")]

use attn_sdk::{
    Error, Study,
    core::{Attention, Capture, HeadId, Limits, Side, ndarray::Array2},
    embedded::{self, EmbeddedModel, IMAGES, SENTENCES_CONLLU, dates, sentences},
    models::{
        Capturer, Inputs, Model,
        generate::{Generated, GenerationParams, Generator},
    },
    project::{AtlasParams, Projector, pca::Pca},
    render::{
        Cells, Interaction, Plot, ViewState,
        pick::{Hit, Picker},
        plots::overlay,
        projection::Projection,
    },
    study::{
        gallery::{Gallery, GalleryParams},
        summary::{Summary, SummaryParams},
    },
};

/// PCA is exact and fast: what is tested here is how the parts fit together.
fn params() -> AtlasParams {
    AtlasParams {
        method: Pca.into(),
        ..AtlasParams::default()
    }
}

fn text_capture(model: EmbeddedModel, lines: usize) -> Capture {
    let capturer = Capturer::load(&model.checkpoint().unwrap()).unwrap();
    capturer.capture_lines(sentences().take(lines)).unwrap()
}

fn picture_capture(pictures: &[&str]) -> Capture {
    let chosen = IMAGES.iter().filter(|(name, _)| pictures.contains(name));
    let capturer = Capturer::load(&embedded::VISION.checkpoint().unwrap()).unwrap();
    capturer.capture_images(chosen).unwrap()
}

#[test]
fn embedded_data_belongs_together() {
    assert_eq!(sentences().count(), 200);
    assert_eq!(IMAGES.len(), 24);
    let tagged: Vec<&str> = SENTENCES_CONLLU
        .lines()
        .filter_map(|line| line.strip_prefix("# text = "))
        .collect();
    assert_eq!(tagged, sentences().collect::<Vec<_>>());
}

#[test]
fn every_point_is_the_token_it_says() {
    for (model, attention) in [
        (embedded::TEXT_ENCODER, Attention::EncoderSelf),
        (embedded::TEXT_DECODER, Attention::DecoderSelf),
    ] {
        let capture = text_capture(model, 12);
        let all: Vec<_> = capture
            .sequences()
            .iter()
            .flat_map(|s| s.tokens(attention.query_side()).to_vec())
            .collect();
        let study = Study::project(capture, &params()).unwrap();
        assert_eq!(study.heads().count(), 16);
        let head = HeadId::new(attention, 1, 2);
        for (row, token) in all.iter().enumerate() {
            let query = study.place(head, row as u32).unwrap();
            let key = study.place(head, (row + all.len()) as u32).unwrap();
            assert_eq!((study.token(query), study.token(key)), (Some(token), Some(token)));
            assert!(query.query && !key.query);
        }
        assert_eq!(study.place(head, 2 * all.len() as u32), None);
    }
}

fn dates_capture(lines: usize) -> Capture {
    let capturer = Capturer::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
    capturer.capture_lines(dates().take(lines)).unwrap()
}

/// Queries of one stack and keys of the other in one plane.
#[test]
fn cross_attention_joins_both_stacks() {
    let capture = dates_capture(12);
    let tokens = |side: Side| -> Vec<_> {
        let sequences = capture.sequences().iter();
        sequences.flat_map(|sequence| sequence.tokens(side).to_vec()).collect()
    };
    let (targets, sources) = (tokens(Side::Decoder), tokens(Side::Encoder));
    let study = Study::project(capture, &params()).unwrap();
    assert_eq!(study.heads().count(), 3 * 2 * 4);
    let head = HeadId::new(Attention::Cross, 1, 2);
    for (row, token) in targets.iter().enumerate() {
        let place = study.place(head, row as u32).unwrap();
        assert!(place.query && study.token(place) == Some(token));
    }
    for (row, token) in sources.iter().enumerate() {
        let place = study.place(head, (targets.len() + row) as u32).unwrap();
        assert!(!place.query && study.token(place) == Some(token));
    }
}

#[test]
fn dates_are_converted_as_the_card_says() {
    let checkpoint = embedded::DATES.checkpoint().unwrap();
    let model = Model::load(&checkpoint).unwrap();
    let tokenizer = checkpoint.tokenizer().unwrap();
    let mut pairs: Vec<(&str, &str)> = dates().map(|line| line.split_once('\t').unwrap()).collect();
    assert_eq!(pairs.len(), 500);
    // Those that Seq2Seq-Vis compares.
    pairs.extend([("March 21, 2000", "2000-03-21"), ("May 21, 2000", "2000-05-21")]);
    let sources: Vec<Vec<u32>> = pairs
        .iter()
        .map(|(source, _)| tokenizer.encode(source, model.info()).unwrap().ids())
        .collect();
    let inputs = Inputs::from_ids(&sources, 0).unwrap();
    for beams in [1, 3] {
        let params = GenerationParams {
            beams,
            ..GenerationParams::read(&checkpoint).unwrap()
        };
        let generated = Generator::new(&model, &params)
            .unwrap()
            .run(&inputs, &mut (), &())
            .unwrap();
        let right = |((_, target), generated): &(&(&str, &str), &Generated)| {
            let best = &generated.hypotheses[0];
            best.ended && tokenizer.decode(&best.tokens).unwrap() == *target
        };
        let rights: Vec<bool> = pairs.iter().zip(&generated).map(|pair| right(&pair)).collect();
        // All of the validation set, and both of the others.
        let wrong = rights.iter().filter(|right| !**right).count();
        assert_eq!(wrong, 0, "{beams} beams");
        assert!(rights[500] && rights[501], "{beams} beams");
    }
}

#[test]
fn the_report_agrees_with_the_study() {
    let study = Study::project(text_capture(embedded::TEXT_ENCODER, 10), &params()).unwrap();
    let report = serde_json::to_value(study.report()).unwrap();
    let tokens = study.capture().tokens(Side::Encoder);
    assert_eq!(report["encoder_rows"].as_array().unwrap().len(), tokens);
    assert_eq!(report["sequences"][3]["text"], sentences().nth(3).unwrap());
    let heads = report["heads"].as_array().unwrap();
    assert_eq!(heads.len(), 16);
    for head in heads {
        assert_eq!(head["queries"].as_array().unwrap().len(), tokens);
        assert_eq!(head["keys"][0].as_array().unwrap().len(), 2);
        let correlation = head["correlation"]["value"].as_f64().unwrap();
        assert!((-1.0..=1.0).contains(&correlation));
        assert!(head["scale"].as_f64().unwrap() > 0.0);
        assert!(head["quality"]["trustworthiness"]["value"].as_f64().unwrap() > 0.4);
    }
    // The ranking is by what plots show of attention, most first.
    let shown = |head: &HeadId| study.projection(*head).unwrap().plane.above_chance().unwrap();
    assert!(
        study
            .ranking()
            .windows(2)
            .all(|pair| shown(&pair[0]) >= shown(&pair[1]))
    );
}

/// What stands under a plot, computed again from the coordinates that are exported and the vectors of the capture.
#[test]
fn what_holds_in_the_plane_follows_from_what_is_exported() {
    let study = Study::project(text_capture(embedded::TEXT_DECODER, 12), &params()).unwrap();
    let report = serde_json::to_value(study.report()).unwrap();
    let capture = study.capture();
    for of in report["heads"].as_array().unwrap() {
        let head: HeadId = serde_json::from_value(of.clone()).unwrap();
        let place = |list: &str, row: usize| [0, 1].map(|axis: usize| of[list][row][axis].as_f64().unwrap());
        let (queries, keys) = (capture.queries(head).unwrap(), capture.keys(head).unwrap());
        let (mut hits, mut chance, mut count) = (0.0, 0.0, 0.0);
        for sequence in 0..capture.sequences().len() {
            let rows = capture.rows(sequence, Side::Decoder);
            for query in rows.clone().skip(1) {
                let seen: Vec<usize> = (rows.start..=query).collect();
                let apart = |key: &usize| {
                    let ([a, b], [c, d]) = (place("queries", query), place("keys", *key));
                    (a - c).powi(2) + (b - d).powi(2)
                };
                let score = |key: &usize| queries.row(query).mapv(f64::from).dot(&keys.row(*key).mapv(f64::from));
                let nearest = seen.iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap();
                let most = seen.iter().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
                hits += f64::from(u8::from(nearest == most));
                chance += 1.0 / seen.len() as f64;
                count += 1.0;
            }
        }
        let told = |name: &str| of["plane"][name].as_f64().unwrap();
        assert_eq!(told("queries"), count, "{head}");
        assert!(
            (told("nearest") - hits / count).abs() < 0.01,
            "{head}: {} {}",
            told("nearest"),
            hits / count
        );
        assert!((told("chance") - chance / count).abs() < 1e-5, "{head}");
    }
    let table = study.heads_table().to_csv();
    assert!(table.starts_with("head,nearest key attended most,"), "{table}");
    assert_eq!(table.lines().count(), 17);
}

#[test]
fn the_same_study_twice_is_the_same() {
    let capture = text_capture(embedded::TEXT_DECODER, 8);
    let study = || serde_json::to_string(&Study::project(capture.clone(), &params()).unwrap().report()).unwrap();
    assert_eq!(study(), study());
}

#[test]
fn every_view_is_a_scene_and_what_is_missing_is_named() {
    let study = Study::project(text_capture(embedded::TEXT_ENCODER, 6), &params()).unwrap();
    let view = ViewState::default();
    let head = study.ranking()[0];
    assert_eq!(
        study
            .scene(&view, study.natural_size())
            .unwrap()
            .panels
            .iter()
            .filter(|panel| panel.head.is_some())
            .count(),
        16
    );
    let drawn = |plot: &dyn Plot| plot.scene(&view, plot.natural_size());
    assert!(drawn(&study.head(head, Some(2), &view).unwrap()).is_ok());
    assert!(drawn(&study.sentence(head, 2).unwrap()).is_ok());
    assert!(matches!(study.image(head, 2, None), Err(Error::NotAnImage { .. })));
    assert!(matches!(study.sentence(head, 6), Err(Error::Core(_))));
    let overview = drawn(&study.overview(2).unwrap()).unwrap();
    let drawn: Vec<HeadId> = overview.panels.iter().filter_map(|panel| panel.head).collect();
    assert_eq!(drawn, study.capture().model().heads().collect::<Vec<_>>());
    let lines = |head| {
        let panel = overview.panel_of(head).unwrap() as u32;
        let edges = overview.layers.iter().flat_map(|layer| layer.edges.iter());
        edges.filter(|edge| edge.panel == panel).count()
    };
    let weights = study.capture().attention(head, 2).unwrap();
    let strong = |row: attn_sdk::core::ndarray::ArrayView1<'_, f32>| row.iter().filter(|w| **w >= 0.05).count().min(5);
    assert_eq!(
        lines(head),
        weights.rows().into_iter().map(strong).sum::<usize>(),
        "of every query the five strongest"
    );
    assert!(matches!(study.overview(6), Err(Error::Core(_))));
    // A row can be pointed at for every position that any sequence has.
    let aggregate = study.aggregate(head).unwrap();
    let aggregate = aggregate.scene(&view, aggregate.natural_size()).unwrap();
    let lengths = study
        .capture()
        .sequences()
        .iter()
        .map(|sequence| sequence.encoder.len());
    let rows = aggregate.layers.iter().map(|layer| layer.regions.len()).sum::<usize>();
    assert_eq!(Some(rows), lengths.max());
    let absent = HeadId::new(Attention::Cross, 0, 0);
    assert!(matches!(study.aggregate(absent), Err(Error::Core(_))));
    assert!(matches!(
        study.head(absent, None, &view),
        Err(Error::NotProjected { projected: 16, .. })
    ));
    let empty = Study::new(study.capture().clone(), &params());
    assert!(
        empty.scene(&view, [400.0, 300.0]).is_ok(),
        "a window may open before the first head is there"
    );
}

#[test]
fn a_picture_is_drawn_with_its_patches() {
    let capture = picture_capture(&["hue-gradient.png", "grating-045.png"]);
    let sequence = &capture.sequences()[0];
    let image = sequence.image.as_ref().unwrap();
    assert_eq!(sequence.encoder.len(), 1 + image.rows * image.columns);
    let study = Study::project(capture, &params()).unwrap();
    let head = study.ranking()[0];
    let view = ViewState::default();
    assert!(study.is_image(0));
    let drawn = |patch| {
        let plot = study.image(head, 1, patch).map_err(attn_sdk::render::Error::from)?;
        plot.scene(&view, plot.natural_size())
    };
    let scene = drawn(Some((0, 0))).unwrap();
    // The picture itself is there: the capture brought it.
    assert!(scene.layers.iter().any(|layer| !layer.pictures.is_empty()));
    assert!(drawn(Some((99, 0))).is_err());
}

#[test]
fn the_pointer_finds_the_token_it_is_over() {
    let study = Study::project(text_capture(embedded::TEXT_ENCODER, 6), &params()).unwrap();
    let head = study.ranking()[0];
    let mut view = ViewState::default();
    view.open_head(head);
    let size = [900.0, 700.0];
    let mut scene = study.scene(&view, size).unwrap();
    let projection = Projection::new(&scene, &view, size);
    // The first layer's points are the marks of the legend.
    let layer = scene.layers.iter().position(|layer| layer.points.len() > 17).unwrap();
    let point = scene.layers[layer].points[17];
    let [x, y, _] = projection.panels[point.panel()].px_from_data.apply(point.position);
    let hit: Hit = Picker::default().hit(&scene, &projection, [x, y], 1.0).unwrap();
    let place = study.place(head, hit.pick().unwrap().id).unwrap();
    let interaction = Interaction {
        head: Some(head),
        pick: hit.pick(),
        ..Interaction::default()
    };
    let pointer = overlay::Pointer {
        size,
        position: [x, y],
        hit: Some(hit),
    };
    overlay::point_out(&mut scene, &study, &view, &interaction, Some(&pointer));
    let shown: Vec<&str> = scene.overlay.labels.iter().map(|label| &*label.text).collect();
    assert!(shown.contains(&study.token(place).unwrap().text.as_str()), "{shown:?}");
    // A click on it highlights its sentence.
    view.selection = hit.pick();
    let lines = |scene: &attn_sdk::render::Scene| scene.layers.iter().map(|layer| layer.edges.len()).sum::<usize>();
    assert!(lines(&study.scene(&view, size).unwrap()) > lines(&scene));
}

/// Principal components of the chosen rows alone, and the points' own labels and places.
#[test]
fn some_points_are_laid_out_as_if_there_were_no_others() {
    let study = Study::project(text_capture(embedded::TEXT_ENCODER, 12), &params()).unwrap();
    let head = HeadId::new(Attention::EncoderSelf, 2, 1);
    let ids: Vec<u32> = study.matches(head, "the").ids().collect();
    for &id in &ids {
        let token = study.token(study.place(head, id).unwrap()).unwrap();
        assert!(token.text.to_lowercase().contains("the"), "{}", token.text);
    }
    // In any order, repeated or not.
    let given = ids.iter().rev().chain(&ids[..2]).copied();
    let subset = study.subset(head, given, &()).unwrap();
    assert_eq!(subset.points(), ids.iter().map(|&id| id as usize).collect::<Vec<_>>());
    let view = ViewState::default();
    let scene = subset
        .plot(&study, &view)
        .unwrap()
        .scene(&view, [800.0, 700.0])
        .unwrap();
    let all = attn_sdk::project::atlas::head_points(study.capture(), head, study.params())
        .unwrap()
        .points;
    let rows = all.select(ndarray::Axis(0), subset.points()).mapv(f64::from);
    let centered = &rows - &rows.mean_axis(ndarray::Axis(0)).unwrap();
    // What two components keep of the variance is the most that two directions can: the trace of the two largest
    // eigenvalues, found by squaring the covariance until one direction is left.
    let mut covariance = centered.t().dot(&centered);
    let mut most = 0.0;
    for _ in 0..2 {
        let mut power = covariance.clone();
        for _ in 0..12 {
            power /= power.diag().sum();
            power = power.dot(&power);
        }
        let column = (0..power.ncols())
            .max_by(|&a, &b| power[[a, a]].total_cmp(&power[[b, b]]))
            .unwrap();
        let mut direction = power.column(column).to_owned();
        direction /= direction.dot(&direction).sqrt();
        let value = direction.dot(&covariance.dot(&direction));
        most += value;
        for i in 0..direction.len() {
            for j in 0..direction.len() {
                covariance[[i, j]] -= value * direction[i] * direction[j];
            }
        }
    }
    let kept: f64 = (0..2)
        .map(|axis| {
            let points = scene.layers[1].points.iter();
            let values: Vec<f64> = points.map(|point| f64::from(point.position[axis])).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
        })
        .sum();
    assert!((kept / most - 1.0).abs() < 1e-3, "{kept} {most}");
    assert!(study.subset(head, [1_000_000], &()).is_err());
    assert!(study.subset(head, [], &()).is_err());
}

#[test]
fn what_the_heads_of_a_layer_write_is_their_values_by_their_output_projections() {
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
    let capture = text_capture(embedded::TEXT_ENCODER, 12);
    let params = AtlasParams {
        method: Pca.into(),
        max_points: Some(400),
        ..params()
    };
    let study = Study::new(capture, &params);
    let weights = capturer.model().head_weights().unwrap();
    let layer = study.layer_values(Attention::EncoderSelf, 1, &weights, &()).unwrap();
    let points: Vec<(HeadId, &str)> = layer.points().collect();
    assert!(points.len() <= 400 && points.len() > 200, "{}", points.len());
    // The layout is that of the vectors, summed by hand, without any order of theirs.
    let sequences =
        attn_sdk::project::atlas::sequence_sample(study.capture(), Some(2 * 400 / layer.heads().len()), params.seed);
    let mut vectors = Vec::new();
    let mut texts = Vec::new();
    for head in layer.heads() {
        let output = &weights.iter().find(|weights| weights.head == *head).unwrap().output;
        let values = study.capture().values(*head).unwrap();
        for &sequence in &sequences {
            for (row, token) in study
                .capture()
                .rows(sequence, Side::Encoder)
                .zip(&study.capture().sequences()[sequence].encoder)
            {
                let sum = |column: usize| {
                    (0..values.ncols())
                        .map(|k| values[[row, k]] * output[[k, column]])
                        .sum::<f32>()
                };
                vectors.extend((0..output.ncols()).map(sum));
                texts.push((*head, token.text.as_str()));
            }
        }
    }
    assert_eq!(points, texts);
    let width = weights[0].output.ncols();
    let vectors = Array2::from_shape_vec((texts.len(), width), vectors).unwrap();
    let wanted = Projector::new(Pca).seed(params.seed).fit(vectors.view(), &()).unwrap();
    let most = wanted.points.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    for (a, b) in layer.embedding().points.iter().zip(&wanted.points) {
        assert!((a - b).abs() < 1e-3 * most, "{a} {b}");
    }
    let plot = layer.plot(&study).unwrap();
    let table = plot.table(&ViewState::default()).unwrap();
    assert_eq!((table.rows(), table.columns()[0].0.as_str()), (points.len(), "member"));
    let scene = plot.scene(&ViewState::default(), [800.0, 700.0]).unwrap();
    let drawn: usize = scene.layers.iter().map(|layer| layer.points.len()).sum();
    assert_eq!(drawn, points.len());
    let missing = study.layer_values(Attention::EncoderSelf, 1, &weights[..1], &());
    assert!(matches!(missing, Err(Error::NoHeadWeights { .. })));
    assert!(study.layer_values(Attention::EncoderSelf, 99, &weights, &()).is_err());
}

/// Widths of a capture come from a file: they are compared with those of the weights before anything is allocated by them.
#[test]
fn widths_that_a_capture_names_are_not_allocated() {
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
    let weights = capturer.model().head_weights().unwrap();
    let hidden = capturer.model().info().hidden_size;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture");
    capturer.lines(sentences().take(3)).to_folder(&path).run().unwrap();
    let json = std::fs::read_to_string(path.join("capture.json")).unwrap();
    let with_width = |width: u64| {
        let mut changed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(changed["model"]["hidden_size"], hidden);
        changed["model"]["hidden_size"] = width.into();
        std::fs::write(path.join("capture.json"), changed.to_string()).unwrap();
        Capture::open(&path)
    };
    let study = Study::new(with_width(1 << 20).unwrap(), &params());
    let refused = study.layer_values(Attention::EncoderSelf, 1, &weights, &());
    assert!(matches!(refused, Err(Error::NoHeadWeights { .. })));
    assert!(with_width(1 << 62).is_err(), "no model is as wide");
    // And what the weights allow, the limits may not.
    let mut study = Study::new(text_capture(embedded::TEXT_ENCODER, 3), &params());
    study.set_limits(Limits::of(10_000));
    let refused = study.layer_values(Attention::EncoderSelf, 1, &weights, &());
    assert!(matches!(
        refused,
        Err(Error::Core(attn_sdk::core::Error::Memory { .. }))
    ));
}

/// The page about a model says what the model did not read.
#[test]
fn the_page_tells_what_was_cut() {
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
    let most = capturer.model().info().max_tokens.unwrap();
    let long = "the cat sat on the mat ".repeat(most);
    let capture = capturer.capture_lines(["The cat sat.", &long, "A dog ran."]).unwrap();
    let summary = Summary::new(&capture, None, &SummaryParams::default(), &()).unwrap();
    let sentence = "1 of 3 sequences was cut to the longest text of the model or its tokenizer, line 2 (";
    assert!(summary.markdown().contains(sentence), "{}", summary.markdown());
}

/// Files of images may move after a capture: what does not need them is made all the same.
#[test]
fn images_that_have_moved_leave_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<_> = IMAGES
        .iter()
        .take(3)
        .map(|(name, bytes)| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    let capturer = Capturer::load(&embedded::VISION.checkpoint().unwrap()).unwrap();
    let path = folder.path().join("capture");
    capturer
        .images(images.iter().map(|path| path.as_path()))
        .to_folder(&path)
        .run()
        .unwrap();
    for image in &images {
        std::fs::remove_file(image).unwrap();
    }
    let study = Study::project(Capture::open(&path).unwrap(), &params()).unwrap();
    let gallery = GalleryParams::default();
    let written = Gallery::new(&study, None, &gallery, &())
        .unwrap()
        .write(folder.path().join("out"), &())
        .unwrap();
    assert!(written.files.iter().any(|name| name.starts_with("matrix")));
    assert!(written.files.iter().any(|name| name == "summary.md"));
    assert!(!written.files.iter().any(|name| name.starts_with("image-")));
    assert!(written.notes[0].contains("left out"), "{:?}", written.notes);
    let page = std::fs::read_to_string(folder.path().join("out/summary.md")).unwrap();
    assert!(page.contains("3 of 3 images cannot be read again"), "{page}");
}

#[test]
fn every_view_has_its_numbers() {
    let study = Study::project(text_capture(embedded::TEXT_ENCODER, 6), &params()).unwrap();
    let (head, view) = (study.ranking()[0], ViewState::default());
    let open = ViewState {
        open: Some(head),
        ..ViewState::default()
    };
    let tokens = study.capture().tokens(Side::Encoder);
    let heads = study.heads().count();
    assert_eq!(study.table(&view).unwrap().rows(), 2 * tokens * heads);
    assert_eq!(study.table(&open).unwrap().rows(), 2 * tokens);
    let length = study.capture().sequences()[2].encoder.len();
    let sentence = study.sentence(head, 2).unwrap().table(&view).unwrap();
    assert_eq!(sentence.rows(), length * length);
    // The weights are those of the study, also after they were asked for in another way.
    let weight = |study: &Study| match &study.sentence(head, 2).unwrap().table(&view).unwrap().columns()[4].1 {
        Cells::Numbers(numbers) => numbers.clone(),
        Cells::Texts(_) => panic!("weights are numbers"),
    };
    let attention = study.capture().attention(head, 2).unwrap();
    assert!(
        weight(&study)
            .iter()
            .zip(&attention)
            .all(|(a, b)| (a - f64::from(*b)).abs() < 1e-6)
    );
    let mut by_value = study.clone();
    by_value.set_weighting(attn_sdk::Weighting::Value);
    let weighted = by_value.weights(head, 2).unwrap();
    assert!(
        weight(&by_value)
            .iter()
            .zip(&weighted)
            .all(|(a, b)| (a - f64::from(*b)).abs() < 1e-6)
    );
    assert!(
        weight(&study)
            .iter()
            .zip(&attention)
            .all(|(a, b)| (a - f64::from(*b)).abs() < 1e-6)
    );
    let positions = study.aggregate(head).unwrap().table(&view).unwrap().rows();
    assert!(positions >= length * length);
    assert!(study.overview(2).unwrap().table(&view).unwrap().rows() > 0);
    assert!(study.image(head, 2, None).is_err());
    let nothing = Study::new(text_capture(embedded::TEXT_ENCODER, 2), &params());
    assert_eq!(nothing.table(&view).unwrap().rows(), 0);
}

#[test]
fn a_selection_answers() {
    let study = Study::project(text_capture(embedded::TEXT_ENCODER, 40), &params()).unwrap();
    // A head of the previous token.
    let head = HeadId::new(Attention::EncoderSelf, 0, 1);
    let summary = study.selection(head, study.matches(head, "\"the\"").ids());
    assert_eq!((summary.queries, summary.queries), (summary.keys, summary.points / 2));
    let first = &summary.traits[0];
    assert_eq!(
        (first.of.as_str(), first.value.as_str(), first.share),
        ("token", "the", 1.0)
    );
    let points = study.projection(head).unwrap().embedding.points.nrows();
    assert!((first.chance - summary.points as f64 / points as f64).abs() < 1e-9);
    assert!(study.selection(head, [u32::MAX]).traits.is_empty());

    // Keys at the third place are looked at by the query one place behind.
    let third =
        (0..points as u32).filter(|&point| study.place(head, point).is_some_and(|at| !at.query && at.token == 3));
    let looks = study.attention_of(head, third, &()).unwrap();
    assert!(looks.looked_at.is_empty(), "no query is selected");
    let found = looks.looked_from.iter().find(|found| found.of == "offset").unwrap();
    assert_eq!(found.value, "+1");
    assert!(found.share > 0.4 && found.share > 3.0 * found.chance, "{found:?}");
    assert!(looks.received.unwrap() > 0.0 && looks.sequences == 40);

    let near = study.nearest_points(head, 5, 10).unwrap();
    assert_eq!(near.len(), 10);
    assert!(near.windows(2).all(|pair| pair[0].distance <= pair[1].distance));
    assert!(near.iter().all(|other| other.point != 5));
    assert!(study.nearest_points(head, u32::MAX, 3).unwrap().is_empty());
}

#[test]
fn tables_of_points_can_be_joined_and_leave_hidden_ones_out() {
    let mut study = Study::project(text_capture(embedded::TEXT_ENCODER, 20), &params()).unwrap();
    let head = study.ranking()[0];
    let filter = attn_sdk::TokenFilter {
        at_most: Some(1),
        ..attn_sdk::TokenFilter::default()
    };
    study.set_filter(filter).unwrap();
    let mut view = ViewState::default();
    view.shared.size_by = Some("norm".into());
    view.shared.contours = true;
    let plot = study.head(head, None, &view).unwrap();
    let csv = plot.table(&view).unwrap().to_csv();
    assert!(
        csv.starts_with("id,kind,x,y,sequence,position,token_id,token,size: norm"),
        "{}",
        &csv[..80]
    );
    let drawn = plot.hidden.iter().filter(|hidden| !**hidden).count();
    assert_eq!(csv.lines().count(), drawn + 1);
    assert!(drawn < plot.coordinates.len() / 2);
    assert_eq!(plot.contours.len(), 2);
    plot.scene(&view, plot.natural_size()).unwrap();
    let matrix = study.matrix(&view).unwrap().table(&view).unwrap().to_csv();
    assert!(matrix.starts_with("head,id,kind,x,y,sequence,position,token_id,token"));
    assert_eq!(matrix.lines().count(), 16 * drawn + 1);
}
