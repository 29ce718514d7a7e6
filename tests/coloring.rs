//! Colors of points, against the capture itself.

#![allow(clippy::unwrap_used, reason = "a test")]

use attn_sdk::{
    Error, Study, TokenFilter,
    core::{
        self, Attention, Capture, HeadId, Side, TokenColumn,
        column::ColumnKind,
        text::{Dataset, TextParams},
    },
    embedded::{self, IMAGES, SENTENCES_CONLLU, sentences},
    models::Capturer,
    project::{AtlasParams, atlas::head_points, pca::Pca},
    render::{
        Plot, Scene, ViewState,
        scene::Point,
        state::{ColorChoice, Shared},
    },
};

const HEAD: HeadId = HeadId {
    attention: Attention::EncoderSelf,
    layer: 1,
    head: 2,
};

fn study(capture: Capture) -> Study {
    let params = AtlasParams {
        method: Pca.into(),
        ..AtlasParams::default()
    };
    Study::project(capture, &params).unwrap()
}

fn text() -> Study {
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
    study(capturer.capture_lines(sentences().take(8)).unwrap())
}

fn view(name: &str) -> ViewState {
    ViewState::from(Shared {
        color: ColorChoice::values(name),
        ..Shared::default()
    })
}

/// A head's picture.
fn head(study: &Study, sequence: Option<usize>, view: &ViewState) -> Scene {
    let plot = study.head(HEAD, sequence, view).unwrap();
    plot.scene(view, plot.natural_size()).unwrap()
}

/// That of all heads.
fn matrix(study: &Study, view: &ViewState) -> Scene {
    let plot = study.matrix(view).unwrap();
    plot.scene(view, plot.natural_size()).unwrap()
}

/// The points of a head's plot, by id.
fn points(scene: &Scene) -> Vec<Point> {
    let mut points: Vec<Point> = scene.layers[1].points.iter().copied().collect();
    points.sort_by_key(|point| point.id);
    points
}

#[test]
fn positions_modulo_five_are_five_hues() {
    let study = text();
    let view = view("position-mod-5");
    let points = points(&head(&study, None, &view));
    let colors = view.colors();
    for (id, point) in points.iter().enumerate() {
        let place = study.place(HEAD, id as u32).unwrap();
        let class = colors.class(place.token % 5);
        if place.query {
            assert_eq!(point.color, class);
        } else {
            assert_eq!(point.color, colors.panel.mix(class, 0.68), "keys are paler");
        }
    }
}

#[test]
fn norms_are_those_of_the_captured_vectors() {
    let study = text();
    let view = view("norm");
    let points = points(&head(&study, None, &view));
    let length = |row: ndarray::ArrayView1<'_, f32>| row.dot(&row).sqrt();
    let (queries, keys) = (
        study.capture().queries(HEAD).unwrap(),
        study.capture().keys(HEAD).unwrap(),
    );
    let norms: Vec<f32> = queries.rows().into_iter().chain(keys.rows()).map(length).collect();
    assert_eq!(norms.len(), points.len());
    let most = (0..norms.len()).max_by(|a, b| norms[*a].total_cmp(&norms[*b])).unwrap();
    let least = (0..norms.len()).min_by(|a, b| norms[*a].total_cmp(&norms[*b])).unwrap();
    let colors = view.colors();
    let scale = |id: usize| {
        if id < queries.nrows() {
            colors.query_scale
        } else {
            colors.key_scale
        }
    };
    assert_eq!(points[most].color, scale(most).at(1.0));
    assert_eq!(points[least].color, scale(least).at(0.0));
}

/// Of a point: how many of its ten nearest in the space, of any head's points, are among its ten nearest in the picture.
#[test]
fn trust_is_what_the_picture_keeps_of_the_space() {
    let study = text();
    let kept = study.attribute(HEAD, "neighbors-kept").unwrap().unwrap();
    let space = head_points(study.capture(), HEAD, study.params()).unwrap().points;
    let picture = &study.projection(HEAD).unwrap().embedding.points;
    assert_eq!(kept.len(), picture.nrows());
    let nearest = |i: usize, distance: &dyn Fn(usize) -> f32| -> Vec<usize> {
        let mut others: Vec<usize> = (0..kept.len()).filter(|&j| j != i).collect();
        others.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        others.truncate(10);
        others
    };
    // The atlas lays heads out by cosine.
    let length = |i: usize| space.row(i).dot(&space.row(i)).sqrt();
    let mut exact = 0;
    for i in (0..kept.len()).step_by(9) {
        let shown = nearest(i, &|j| (&picture.row(i) - &picture.row(j)).mapv(|x| x * x).sum());
        let near = nearest(i, &|j| -space.row(i).dot(&space.row(j)) / (length(i) * length(j)));
        let found = near.iter().filter(|j| shown.contains(j)).count();
        // Tokens that equal each other may be counted in another order.
        let off = (kept[i] - found as f32 / 10.0).abs();
        assert!(off < 0.11, "{i}: {} {found}", kept[i]);
        exact += usize::from(off < 1e-6);
    }
    let asked = kept.len().div_ceil(9);
    assert!(20 * exact >= 19 * asked, "{exact} of {asked}");
    assert_eq!(study.attribute(HEAD, "nothing").unwrap(), None);
    let view = view("neighbors-kept");
    let scene = matrix(&study, &view);
    let quality = study.projection(HEAD).unwrap().quality.as_ref().unwrap();
    let percent = 100.0 * quality.neighbors_kept.value;
    let note = format!("{percent:.0} % kept");
    let mut labels = scene.layers.iter().flat_map(|layer| &layer.labels);
    assert!(labels.any(|label| *label.text == *note), "{note}");
}

#[test]
fn every_mode_that_applies_is_drawn_with_its_legend() {
    let study = text();
    let names = study.color_names();
    assert_eq!(names.len(), 11, "{names:?}");
    assert!(names.contains(&"attended-nearest".to_owned()), "{names:?}");
    for name in names.into_iter().chain(["query-key".into()]) {
        let view = ViewState::from(Shared {
            color: ColorChoice::from(name.as_str()),
            ..Shared::default()
        });
        for scene in [matrix(&study, &view), head(&study, None, &view)] {
            let ramps = scene.layers[0].blocks.len() > 5;
            let classes = scene.layers[0].regions.len();
            match name.as_str() {
                "query-key" => assert!(!ramps && classes == 0),
                "position-mod-5" => assert_eq!(classes, 5),
                "punctuation" => assert_eq!(classes, 3),
                _ => assert!(ramps, "{name}"),
            }
        }
    }
}

#[test]
fn patches_have_rows_and_columns_and_the_class_token_is_grey() {
    let capturer = Capturer::load(&embedded::VISION.checkpoint().unwrap()).unwrap();
    let study = study(capturer.capture_images(&IMAGES[..2]).unwrap());
    assert!(study.has_color(&ColorChoice::values("patch-row")));
    assert!(!study.has_color(&ColorChoice::values("punctuation")));
    let view = view("patch-column");
    for point in points(&head(&study, None, &view)) {
        let token = study.token(study.place(HEAD, point.id).unwrap()).unwrap();
        assert_eq!(token.special, point.color == view.colors().muted);
        if token.patch.is_some_and(|(_, column)| column == 0) {
            let first = [view.colors().query_scale.at(0.0), view.colors().key_scale.at(0.0)];
            assert!(first.contains(&point.color));
        }
    }
}

#[test]
fn columns_of_the_user_are_drawn_and_checked() {
    let mut study = text();
    let tokens: usize = study
        .capture()
        .sequences()
        .iter()
        .map(|sequence| sequence.encoder.len())
        .sum();
    let column = |values: Vec<f64>| TokenColumn {
        name: "part of speech".into(),
        kind: ColumnKind::Categorical((0..200).map(|class| format!("class {class}")).collect()),
        encoder: values,
        decoder: vec![],
    };
    let error = study.add_column(column(vec![0.0; 3])).unwrap_err();
    assert!(matches!(error, Error::Core(core::Error::Column { found: 3, expected, .. }) if expected == tokens));
    assert!(!study.has_color(&ColorChoice::values("part of speech")));
    study
        .add_column(column((0..tokens).map(|row| (row % 200) as f64).collect()))
        .unwrap();
    let mut view = view("part of speech");
    view.shared.toggle_class(1);
    let points = points(&head(&study, None, &view));
    for (id, point) in points.iter().enumerate() {
        assert_eq!(point.is_hidden(), id % tokens % 200 == 1);
    }
    assert_eq!(points[tokens - 1].color, view.colors().class((tokens - 1) % 200));
    // A column that is called as something of the SDK's own is reached all the same.
    let mut own = column((0..tokens).map(|row| (row % 200) as f64).collect());
    own.name = "position".into();
    study.add_column(own).unwrap();
    let drawn = |name: &str| self::points(&head(&study, None, &self::view(name)));
    assert_eq!(drawn("column:position")[tokens - 1].color, points[tokens - 1].color);
    assert_ne!(drawn("position")[tokens - 1].color, points[tokens - 1].color);
}

/// What a host knows of tokens is one more name in the list.
#[test]
fn an_attribute_of_a_host_is_drawn_by_its_name() {
    #[derive(Debug)]
    struct Index;
    impl attn_sdk::study::attributes::TokenAttribute for Index {
        fn name(&self) -> &str {
            "index"
        }
        fn values(&self, study: &Study, head: HeadId) -> Result<Vec<f32>, Error> {
            Ok((0..study.projection(head)?.embedding.points.nrows())
                .map(|i| i as f32)
                .collect())
        }
    }
    let mut study = text();
    study.add_attribute(Index);
    assert!(study.color_names().contains(&"index".to_owned()));
    let view = view("index");
    let found = points(&head(&study, None, &view));
    assert_eq!(found[0].color, view.colors().query_scale.at(0.0));
    assert_eq!(found[found.len() - 1].color, view.colors().key_scale.at(1.0));
}

#[test]
fn a_search_counts_tokens_in_the_matrix() {
    let study = text();
    let view = ViewState::from(Shared {
        search: "the".into(),
        ..Shared::default()
    });
    let all = study.capture().sequences();
    let count = all
        .iter()
        .flat_map(|sequence| &sequence.encoder)
        .filter(|token| token.text.to_lowercase().contains("the"))
        .count();
    assert!(count > 3);
    let scene = matrix(&study, &view);
    let told = format!("“the”: {count} queries, {count} keys");
    assert!(scene.layers[0].labels.iter().any(|label| *label.text == *told));
    let shown = scene.layers[1].points.iter().filter(|point| !point.is_dimmed()).count();
    assert_eq!(shown, 16 * 2 * count, "in all heads at once");
}

/// 30 sentences with their annotation.
fn annotated() -> (Study, String) {
    let file: String = SENTENCES_CONLLU.split_inclusive("\n\n").take(30).collect();
    let data = Dataset::parse(file.as_bytes(), "sentences.conllu", &TextParams::default()).unwrap();
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).unwrap();
    let capture = capturer.capture_lines(&data.lines).unwrap();
    let columns = data.columns(&capture).unwrap();
    let mut study = study(capture);
    columns.into_iter().for_each(|column| study.add_column(column).unwrap());
    (study, file)
}

/// The part of speech of every token, by counting letters: words and tokens are the same letters in the same order.
fn parts_of_speech(study: &Study, file: &str) -> Vec<Option<String>> {
    let mut tags = Vec::new();
    for (sentence, sequence) in file.split("\n\n").zip(study.capture().sequences()) {
        let words = sentence.lines().filter(|line| !line.starts_with('#'));
        let letters: Vec<String> = words
            .flat_map(|line| {
                let fields: Vec<&str> = line.split('\t').collect();
                vec![fields[3].to_owned(); fields[1].chars().count()]
            })
            .collect();
        let mut at = 0;
        for token in &sequence.encoder {
            tags.push((!token.special).then(|| letters[at].clone()));
            if !token.special {
                at += token.text.trim_start_matches("##").chars().count();
            }
        }
        assert_eq!(at, letters.len());
    }
    tags
}

#[test]
fn every_token_has_the_tag_of_its_word() {
    let (study, file) = annotated();
    let expected = parts_of_speech(&study, &file);
    let column = study.column("UPOS").unwrap();
    let found: Vec<Option<String>> = (column.encoder.iter())
        .map(|value| (!value.is_nan()).then(|| column.classes()[*value as usize].clone()))
        .collect();
    assert_eq!(found, expected);
    assert!(
        study
            .capture()
            .sequences()
            .iter()
            .flat_map(|s| &s.encoder)
            .any(|token| token.text.starts_with("##"))
    );
    let names: Vec<&str> = study.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["lemma", "upos", "misc.Class", "sent_id", "sentiment"]);
    // A line's value is that of all its tokens.
    let sentiment = study.column("sentiment").unwrap();
    for sequence in 0..30 {
        let values = &sentiment.encoder[study.capture().rows(sequence, Side::Encoder)];
        assert!(values.iter().all(|value| *value == values[0] && !value.is_nan()));
    }
}

#[test]
fn a_search_finds_values_of_columns() {
    let (study, file) = annotated();
    let count = parts_of_speech(&study, &file)
        .into_iter()
        .filter(|tag| tag.as_deref() == Some("VERB"))
        .count();
    assert!(count > 10);
    let matches = study.matches(HEAD, "upos=verb");
    assert_eq!((matches.queries, matches.keys), (count, count));
    let view = ViewState::from(Shared {
        search: "upos=VERB".into(),
        ..Shared::default()
    });
    for scene in [matrix(&study, &view), head(&study, None, &view)] {
        let heads = scene.panels.iter().filter(|panel| panel.head.is_some()).count();
        let shown = scene.layers[1].points.iter().filter(|point| !point.is_dimmed()).count();
        assert_eq!(shown, heads * 2 * count);
    }
    assert_eq!(
        study.matches(HEAD, "nothing=verb"),
        study.matches(HEAD, "a text that is not there")
    );
}

#[test]
fn frequent_words_and_other_values_are_not_drawn() {
    let (mut study, file) = annotated();
    let tags = parts_of_speech(&study, &file);
    let tokens: Vec<String> = (study.capture().sequences().iter())
        .flat_map(|sequence| &sequence.encoder)
        .map(|token| token.text.clone())
        .collect();
    let drawn = |study: &Study, sequence| {
        let points = points(&head(study, sequence, &ViewState::default()));
        let drawn: Vec<bool> = points.iter().map(|point| !point.is_hidden()).collect();
        let (queries, keys) = drawn.split_at(tokens.len());
        assert_eq!(queries, keys, "a token's query and key stay together");
        queries.to_vec()
    };
    let limited = TokenFilter {
        at_most: Some(3),
        ..TokenFilter::default()
    };
    study.set_filter(limited.clone()).unwrap();
    let found = drawn(&study, None);
    for text in &tokens {
        let of = |kept: bool| {
            (tokens.iter().zip(&found))
                .filter(|(other, drawn)| *other == text && (**drawn || !kept))
                .count()
        };
        assert_eq!(of(true), of(false).min(3), "{text}");
    }
    let all = drawn(&study, Some(7));
    let rows = study.capture().rows(7, Side::Encoder);
    assert!(all[rows].iter().all(|drawn| *drawn), "highlighted points are drawn");
    let only = [("upos".to_owned(), ["NOUN", "VERB"].map(str::to_owned).into())].into();
    study.set_filter(TokenFilter { at_most: None, only }).unwrap();
    let expected: Vec<bool> = tags
        .iter()
        .map(|tag| matches!(tag.as_deref(), Some("NOUN" | "VERB")))
        .collect();
    assert_eq!(drawn(&study, None), expected);
    // The sequence that is shown unless another is chosen has something that is drawn.
    let word = tokens
        .iter()
        .rposition(|text| tokens.iter().filter(|other| *other == text).count() == 1);
    let place = study.place(HEAD, word.unwrap() as u32).unwrap();
    study
        .add_column(TokenColumn {
            name: "one".into(),
            kind: ColumnKind::Categorical(["no", "yes"].map(str::to_owned).into()),
            encoder: (0..tokens.len())
                .map(|row| f64::from(u8::from(Some(row) == word)))
                .collect(),
            decoder: Vec::new(),
        })
        .unwrap();
    let only = [("one".to_owned(), ["yes".to_owned()].into())].into();
    study.set_filter(TokenFilter { at_most: None, only }).unwrap();
    assert_eq!(study.typical_sequence(), place.sequence);
    let unknown = TokenFilter {
        only: [("xpos".to_owned(), [].into())].into(),
        ..limited
    };
    assert!(matches!(study.set_filter(unknown), Err(Error::NoColumn { .. })));
}
