//! Galleries: names are refused before the work, files have the names that were listed.

use std::path::Path;

use attn_models::Capturer;
use attn_project::{AtlasParams, atlas::AtlasOptions, pca::Pca};
use attn_render::{Format, ViewState, state::ColorChoice};
use attn_study::{
    Error, Opened, Source, Study, TokenFilter,
    attn_core::text::{Dataset, TextParams},
    experiment::Edges,
    gallery::{Gallery, GalleryParams},
    sequence::SwitchedOff,
    source::Data,
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
    let mut study = Study::new(opened.capture.clone(), &params);
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
    let study = Study::new(opened.capture.clone(), &AtlasParams::default());
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
        error.ends_with("expected at least 4 points to project alone with attention t-SNE, found 2"),
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
    assert_eq!(written.files.len(), 2 * names.len() + 6);
    for name in &written.files {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    Ok(())
}

#[test]
fn a_table_beside_images_names_them_by_folder_before_file() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for (name, (_, bytes)) in ["a/x.png", "a/z.png", "b/x.png", "b/y.png"]
        .iter()
        .zip(attn_embedded::IMAGES)
    {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().ok_or("no folder")?)?;
        std::fs::write(file, bytes)?;
    }
    let table = "image,size,label\nx.png,1,circle\nb/x.png,2,square\ny.png,3,circle\ny.png,4,square\n";
    std::fs::write(folder.path().join("labels.csv"), table)?;
    let source = Source::Model {
        checkpoint: attn_embedded::VISION.checkpoint()?,
        data: Data::ImageFolder(folder.path().to_owned()),
    };
    let opened = source.open(None, &())?;
    let columns = opened.columns.iter();
    let columns: Vec<(&str, usize)> = columns
        .map(|column| (column.name.as_str(), column.encoder.len()))
        .collect();
    let tokens = opened.capture.sequences().iter().map(|own| own.encoder.len()).sum();
    assert_eq!(
        columns,
        [("size", tokens), ("label", tokens)],
        "the file's classes, not the folders'"
    );
    let of_image = |column: usize, image| {
        let rows = opened.capture.rows(image, attn_core::Side::Encoder);
        opened.columns[column].text(attn_core::Side::Encoder, rows.start)
    };
    let sizes = [0, 1, 2, 3].map(|image| of_image(0, image));
    assert_eq!(
        sizes,
        [Some("1".to_owned()), None, Some("2".to_owned()), Some("3".to_owned())]
    );
    assert_eq!(of_image(1, 1), None);
    let notes: Vec<String> = opened.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["images without a line in labels.csv (1): z.png"]);
    Ok(())
}

#[test]
fn folders_of_images_are_classes_and_lost_images_leave_their_plots_out() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let images = folder.path().join("images");
    for (at, (name, bytes)) in attn_embedded::IMAGES.iter().take(4).enumerate() {
        let class = images.join(["circles", "squares"][at % 2]);
        std::fs::create_dir_all(&class)?;
        std::fs::write(class.join(name), bytes)?;
    }
    std::fs::write(images.join("circles/._hidden.png"), "a resource fork")?;
    std::fs::write(images.join("circles/other.heic"), "of another format")?;
    let source = Source::Model {
        checkpoint: attn_embedded::VISION.checkpoint()?,
        data: Data::ImageFolder(images.clone()),
    };
    let opened = source.open(Some(&folder.path().join("capture")), &())?;
    assert_eq!(opened.capture.sequences().len(), 4);
    let notes: Vec<String> = opened.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["images of other formats were left out (1): other.heic"]);
    let label = &opened.columns[0];
    assert_eq!(
        (label.name.as_str(), label.classes()),
        ("label", &["circles".to_owned(), "squares".to_owned()][..])
    );

    // One image is gone, and a pipe stands where another was.
    let paths: Vec<_> = opened
        .capture
        .sequences()
        .iter()
        .map(|sequence| sequence.image.clone()?.path)
        .collect();
    let paths: Vec<_> = paths.into_iter().flatten().collect();
    std::fs::remove_file(&paths[0])?;
    std::fs::remove_file(&paths[1])?;
    #[cfg(unix)]
    assert!(std::process::Command::new("mkfifo").arg(&paths[1]).status()?.success());
    let source = Source::Folder {
        folder: folder.path().join("capture"),
        text: None,
    };
    let again = source.open(None, &())?;
    assert_eq!(again.columns[0].classes(), label.classes());
    let params = AtlasParams {
        method: Pca.into(),
        ..AtlasParams::default()
    };
    let study = Study::project(again.capture, &params)?;
    for (sequence, lost) in [(2, true), (3, false)] {
        let params = GalleryParams {
            heads: vec!["0:0".parse()?],
            sequence: Some(sequence),
            formats: vec![Format::Svg],
            ..GalleryParams::default()
        };
        let gallery = Gallery::new(&study, None, &params, &())?;
        let written = gallery.write(folder.path().join("out"), &())?;
        // The rollout and an image per head.
        let expected = if lost { 1 + gallery.heads().len() } else { 0 };
        assert_eq!(written.notes.len(), expected, "{:?}", written.notes);
        let pictures = written.files.iter().filter(|name| name.ends_with(".svg")).count();
        assert_eq!(pictures + expected, gallery.names().len());
        for note in &written.notes {
            assert!(
                note.contains("was left out: ") && note.contains("its image cannot be read again"),
                "{note}"
            );
        }
    }
    Ok(())
}

#[test]
fn sequences_that_are_not_drawn_are_placed_and_roles_are_named() -> Result<(), Error> {
    let opened = opened()?;
    let params = AtlasParams {
        method: Pca.into(),
        max_points: Some(100),
        ..AtlasParams::default()
    };
    let mut study = Study::new(opened.capture.clone(), &params);
    study.project_heads(AtlasOptions::default(), &())?;
    let left_out = (0..12).find(|sequence| !study.sequences().contains(sequence)).unwrap();
    let mut params = GalleryParams {
        heads: vec!["0:1".parse().unwrap()],
        sequence: Some(left_out + 1),
        off: SwitchedOff {
            special: true,
            first: false,
        },
        ..GalleryParams::default()
    };
    {
        let gallery = Gallery::new(&study, opened.capturer.as_ref(), &params, &())?;
        let scene = |name: &str| -> Result<attn_render::Scene, Error> {
            let mut plots = gallery.plots(&()).filter_map(Result::ok);
            let named = plots.find(|named| named.name == name).unwrap();
            Ok(named.plot.scene(&named.state, named.plot.natural_size())?)
        };
        let lines: usize = scene("head-0-1")?.layers.iter().map(|layer| layer.edges.len()).sum();
        assert!(lines > 0, "a placed sequence has lines");
        let matrix = scene("matrix")?;
        let texts: Vec<&str> = matrix
            .layers
            .iter()
            .flat_map(|layer| layer.labels.iter().map(|label| &*label.text))
            .collect();
        let (_, role) = gallery.summary(&())?.strongest_roles().next().unwrap();
        let word = role.split(' ').next().unwrap();
        assert!(texts.iter().any(|text| text.starts_with(word)), "{role}: {texts:?}");
    }

    // What was typed has a sentence of its own; its special tokens are off.
    params.typed = Some("the dog sleeps .".into());
    let gallery = Gallery::new(&study, opened.capturer.as_ref(), &params, &())?;
    let typed = gallery.plots(&()).filter_map(Result::ok);
    let typed = typed.filter(|named| named.name == "sentence-0-1-typed").last().unwrap();
    let read = attn_study::placed::read_typed(opened.capturer.as_ref().unwrap(), "the dog sleeps .", &())?;
    let tokens = &read.sequences()[0].encoder;
    let special = |(_, token): &(usize, &attn_study::attn_core::Token)| token.special;
    let expected = tokens
        .iter()
        .enumerate()
        .filter(special)
        .flat_map(|(at, _)| [at, at + tokens.len()]);
    let mut expected: Vec<u32> = expected.map(|id| u32::try_from(id).unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(typed.state.hidden.into_iter().collect::<Vec<_>>(), expected);
    Ok(())
}
