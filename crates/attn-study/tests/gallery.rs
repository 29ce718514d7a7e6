//! Galleries: names are refused before the work, files have the names that were listed.

use std::path::Path;

use attn_models::Capturer;
use attn_project::{AtlasParams, atlas::AtlasOptions, pca::Pca};
use attn_render::{ColorChoice, Format, ViewState};
use attn_study::{
    Dataset, Edges, Error, Gallery, GalleryParams, Opened, Source, Study, TextParams, TokenFilter, source::Data,
};

fn opened() -> Result<Opened, Error> {
    let text = attn_embedded::SENTENCES_CONLLU.split_inclusive("\n\n");
    let text: String = text.take(12).collect();
    let dataset = Dataset::parse(text.as_bytes(), Path::new("sentences.conllu"), &TextParams::default())?;
    let source = Source::Model {
        checkpoint: attn_embedded::TEXT_ENCODER.checkpoint()?,
        data: Data::Dataset(Box::new(dataset)),
    };
    source.open(None, &())
}

fn study(opened: &Opened) -> Result<Study, Error> {
    let params = AtlasParams {
        method: Pca.into(),
        ..AtlasParams::default()
    };
    let mut study = Study::new(opened.capture.clone(), &params)?;
    let mut columns = opened.columns.iter().cloned();
    columns.try_for_each(|column| study.add_column(column))?;
    Ok(study)
}

fn refused(params: &GalleryParams, study: &Study, capturer: Option<&Capturer>) -> String {
    params
        .check(study, capturer)
        .map_or_else(|error| error.to_string(), |()| "accepted".into())
}

fn state(color: &str, search: &str) -> ViewState {
    let mut state = ViewState::default();
    state.shared.color = ColorChoice::from(color);
    state.shared.search = search.into();
    state
}

#[test]
fn names_are_checked_before_heads_are_projected() -> Result<(), Error> {
    let opened = opened()?;
    let (mut study, capturer) = (study(&opened)?, opened.capturer.as_ref());
    let fine = GalleryParams::default();
    assert_eq!(refused(&fine, &study, capturer), "accepted");
    let head = GalleryParams {
        heads: vec!["9:9".parse().unwrap()],
        ..fine.clone()
    };
    let all = "head 9:9: the model has layers 0 to 3, heads 0 to 3";
    assert_eq!(refused(&head, &study, capturer), all);
    for number in [0, 9999] {
        let sequence = GalleryParams {
            sequence: Some(number),
            ..fine.clone()
        };
        let expected = format!("sequence {number}: expected a number from 1 to 12");
        assert_eq!(refused(&sequence, &study, capturer), expected);
    }
    let colored = |color: &str, search: &str| GalleryParams {
        state: state(color, search),
        ..fine.clone()
    };
    let color = refused(&colored("nope", ""), &study, capturer);
    assert!(
        color.starts_with("color nope: this data has query-key") && color.contains("upos"),
        "{color}"
    );
    let search = refused(&colored("upos", "zz"), &study, capturer);
    assert!(search.starts_with("search zz") && search.contains("upos"), "{search}");
    assert_eq!(refused(&colored("upos", "upos=NOUN"), &study, capturer), "accepted");
    let ablated = GalleryParams {
        ablate: vec!["0:0".parse().unwrap()],
        ..fine.clone()
    };
    assert!(matches!(ablated.check(&study, None), Err(Error::NoModel { .. })));
    let edges = GalleryParams {
        knock_out: vec![("0:0".parse().unwrap(), "zz>yy".parse::<Edges>().unwrap())],
        ..fine.clone()
    };
    assert!(matches!(edges.check(&study, capturer), Err(Error::NoEdges { .. })));
    let mut filter = TokenFilter::default();
    filter.only.insert("upos".into(), ["NOPE".into()].into());
    study.set_filter(filter)?;
    let value = refused(&fine, &study, capturer);
    assert!(value.starts_with("upos=NOPE") && value.contains("NOUN"), "{value}");
    Ok(())
}

#[test]
fn heads_are_checked_before_data_is_read_and_matches_before_heads_are_projected() -> Result<(), Error> {
    let model = attn_embedded::TEXT_ENCODER.checkpoint()?.describe().model.unwrap();
    let wrong = "9:9".parse().unwrap();
    let fine = GalleryParams::default();
    let heads = GalleryParams {
        heads: vec![wrong],
        ..fine.clone()
    };
    let ablated = GalleryParams {
        ablate: vec![wrong],
        ..fine.clone()
    };
    let knocked_out = GalleryParams {
        knock_out: vec![(wrong, "previous".parse::<Edges>().unwrap())],
        ..fine.clone()
    };
    for params in [heads, ablated, knocked_out] {
        assert!(matches!(params.check_model(&model), Err(Error::NoHead { .. })));
    }
    fine.check_model(&model)?;

    // t-SNE needs four points; a token that is there once is two, a query and a key.
    let opened = opened()?;
    let study = Study::new(opened.capture.clone(), &AtlasParams::default())?;
    let head = study.find_head("0:0".parse().unwrap())?;
    let sequences = opened.capture.sequences().iter();
    let mut texts = sequences.flat_map(|sequence| sequence.tokens(attn_core::Side::Encoder));
    let once = texts
        .find(|token| study.matches(head, &token.text).ids().count() == 2)
        .unwrap();
    let matches = |text: &str| GalleryParams {
        matches: true,
        state: state("", text),
        ..fine.clone()
    };
    let error = refused(&matches(&once.text), &study, None);
    assert!(
        error.ends_with("expected at least 4 points to project alone with t-SNE, found 2"),
        "{error}"
    );
    assert_eq!(refused(&matches("e"), &study, None), "accepted");
    Ok(())
}

#[test]
fn all_files_of_a_gallery_are_written() -> Result<(), Error> {
    let opened = opened()?;
    let mut study = study(&opened)?;
    study.project_heads(AtlasOptions::default(), &())?;
    let params = GalleryParams {
        heads: vec!["1:2".parse().unwrap()],
        formats: vec![Format::Svg, Format::Csv],
        ..GalleryParams::default()
    };
    let gallery = Gallery::new(&study, opened.capturer.as_ref(), &params, &())?;
    let names = [
        "matrix",
        "overview",
        "rollout",
        "head-1-2",
        "aggregate-1-2",
        "sentence-1-2",
        "head-map",
    ];
    assert_eq!(gallery.names(), names);
    let folder = tempfile::tempdir().unwrap();
    let written = gallery.write(folder.path(), &())?;
    assert_eq!(written.files.len(), 2 * names.len() + 5);
    for name in &written.files {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    Ok(())
}
