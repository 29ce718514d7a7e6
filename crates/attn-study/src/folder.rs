//! A folder of images: the images themselves, or a folder of them for each class; and labels for them, from a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use attn_core::{
    Capture, Sequence, SequenceColumn, TokenColumn,
    text::{Dataset, Note, TextParams, TextValues},
};
use attn_models::images::{Image, images_in};

use crate::Error;

/// The column of classes.
const LABEL: &str = "label";
/// A file beside the images with a label of each: a column `image`, and any others.
const LABELS: &str = "labels.csv";
/// Endings of images in formats that may not be read. They are named when they are left out.
const IMAGES: [&str; 16] = [
    "avif", "bmp", "gif", "heic", "heif", "ico", "jp2", "jpeg", "jpg", "jxl", "png", "psd", "svg", "tif", "tiff",
    "webp",
];
/// Files that a note names.
const NAMED: usize = 5;

/// The images of a folder.
#[derive(Debug)]
pub(crate) struct ImageFolder {
    pub(crate) images: Vec<Image>,
    pub(crate) notes: Vec<Note>,
}

impl ImageFolder {
    /// Finds the images of a folder, by name. If it holds none itself, its subfolders are classes. Hidden files and folders
    /// are left out, as are images of other formats, with a note.
    ///
    /// # Errors
    /// Those of [`images_in`].
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let own = images_in(folder);
        let folders = visible(folder)?.into_iter().filter(|path| path.is_dir());
        let mut found = match own {
            Ok(images) => {
                // Classes are not guessed where images lie beside their folders.
                let left: Vec<_> = folders.filter(|class| images_in(class).is_ok()).collect();
                Self {
                    images,
                    notes: left_out("folders of images beside images", &left).into_iter().collect(),
                }
            }
            Err(empty @ attn_models::Error::Empty { .. }) => {
                let mut images = Vec::new();
                for class in folders {
                    match images_in(&class) {
                        Err(attn_models::Error::Empty { .. }) => {}
                        other => images.extend(other?),
                    }
                }
                if images.is_empty() {
                    return Err(empty.into());
                }
                Self {
                    images,
                    notes: Vec::new(),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let read: BTreeSet<PathBuf> = found
            .images
            .iter()
            .filter_map(Image::path)
            .map(Path::to_owned)
            .collect();
        let looked_into: BTreeSet<&Path> = read.iter().filter_map(|path| path.parent()).collect();
        let mut left = Vec::new();
        for folder in looked_into {
            let others = visible(folder)?.into_iter();
            left.extend(others.filter(|path| is_named_as_image(path) && path.is_file() && !read.contains(path)));
        }
        found.notes.extend(left_out("images of other formats", &left));
        Ok(found)
    }
}

/// What is known of the images of a capture.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub(crate) columns: Vec<TokenColumn>,
    pub(crate) notes: Vec<Note>,
}

/// The columns of a capture of images: those of the file `labels.csv` in the folder of the images or around their folders,
/// and the names of their folders if they lie in several beside each other.
///
/// # Errors
/// Those of reading a table of columns from that file.
pub(crate) fn labels(capture: &Capture) -> Result<Labels, Error> {
    let mut labels = of_file(capture)?;
    if let Some(class) = classes(capture)? {
        // What a file says is meant.
        let known = labels.columns.iter().any(|column| column.name == class.name);
        if !known {
            labels.columns.insert(0, class);
        }
    }
    Ok(labels)
}

/// The columns of `labels.csv`: its column `image` names an image by its folder and file, as seen from where it lies, or by
/// its file alone; the others are values.
fn of_file(capture: &Capture) -> Result<Labels, Error> {
    let paths: Vec<Option<&Path>> = capture
        .sequences()
        .iter()
        .map(|sequence| sequence.image.as_ref()?.path.as_deref())
        .collect();
    let near = paths.iter().flatten().flat_map(|path| path.ancestors().skip(1).take(2));
    let folders: BTreeSet<&Path> = near.collect();
    let Some(file) = folders
        .into_iter()
        .map(|folder| folder.join(LABELS))
        .find(|file| file.is_file())
    else {
        return Ok(Labels::default());
    };
    let around = file.parent().unwrap_or(Path::new(""));
    let params = TextParams {
        text_column: Some("image".into()),
        ..TextParams::default()
    };
    let table = Dataset::read(&file, &params)?;
    // The first line of a name counts, as in a table of words.
    let mut line_of_name: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, line) in table.lines.iter().enumerate() {
        line_of_name.entry(&line.text).or_insert(at);
    }
    let line_of = |path: &Option<&Path>| {
        let path = (*path)?;
        let relative = path.strip_prefix(around).ok();
        let relative = relative.map(|path| path.to_string_lossy().replace('\\', "/"));
        let exact = relative.and_then(|name| line_of_name.get(name.as_str()));
        let found = exact.or_else(|| line_of_name.get(&*path.file_name()?.to_string_lossy()));
        found.copied()
    };
    let lines: Vec<Option<usize>> = paths.iter().map(line_of).collect();
    let unnamed = paths.iter().zip(&lines).filter(|(_, line)| line.is_none());
    let unnamed: Vec<PathBuf> = unnamed.filter_map(|(path, _)| path.map(Path::to_owned)).collect();
    let mut notes = table.notes;
    notes.extend(named(&format!("images without a line in {LABELS}"), "", &unnamed));
    let columns = table.columns.iter().filter_map(|column| match &column.values {
        TextValues::Lines(values) => Some((&column.name, values)),
        TextValues::Words(_) => None,
    });
    let columns = columns.map(|(name, values)| {
        let value = |line: &Option<usize>| values.get(&(*line)?).map(String::as_str);
        let values: Vec<Option<&str>> = lines.iter().map(value).collect();
        Ok(SequenceColumn::from_texts(name.as_str(), &values).to_tokens(capture)?)
    });
    Ok(Labels {
        columns: columns.collect::<Result<_, Error>>()?,
        notes,
    })
}

/// The class of every token of a capture of images: the name of the folder of its image. `None` unless the images lie in
/// several folders beside each other.
fn classes(capture: &Capture) -> Result<Option<TokenColumn>, Error> {
    let folder = |sequence: &Sequence| Some(sequence.image.as_ref()?.path.as_ref()?.parent()?.to_owned());
    let Some(folders) = capture.sequences().iter().map(folder).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let different: BTreeSet<&PathBuf> = folders.iter().collect();
    let around: BTreeSet<Option<&Path>> = different.iter().map(|folder| folder.parent()).collect();
    if different.len() < 2 || around.len() > 1 {
        return Ok(None);
    }
    let class = |folder: &PathBuf| Some(folder.file_name()?.to_string_lossy().into_owned());
    let classes: Vec<Option<String>> = folders.iter().map(class).collect();
    Ok(Some(SequenceColumn::from_texts(LABEL, &classes).to_tokens(capture)?))
}

/// A note that names the first of what was left out; none for nothing.
fn left_out(what: &str, paths: &[PathBuf]) -> Option<Note> {
    named(what, " were left out", paths)
}

/// A note that counts files and names the first; none for none.
fn named(what: &str, happened: &str, paths: &[PathBuf]) -> Option<Note> {
    let names = paths
        .iter()
        .take(NAMED)
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect();
    let more = if paths.len() > NAMED { ", ..." } else { "" };
    (!paths.is_empty()).then(|| Note {
        line: None,
        message: format!("{what}{happened} ({}): {}{more}", paths.len(), names.join(", ")),
    })
}

/// What is in a folder and not hidden, by name.
fn visible(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |error| attn_core::Error::io(folder, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_named_as_image(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| IMAGES.contains(&ending.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn names(found: &ImageFolder) -> Vec<String> {
        found.images.iter().map(Image::name).collect()
    }

    #[test]
    fn hidden_files_folders_and_other_formats_are_left_out() {
        let folder = folder(&[
            "b.png",
            "a.jpg",
            "._a.jpg",
            ".DS_Store",
            "x.xcf",
            "y.heic",
            "notes.txt",
            "sub.png/c.png",
        ]);
        let found = ImageFolder::read(folder.path()).unwrap();
        assert_eq!(names(&found), ["a.jpg", "b.png"]);
        let notes: Vec<String> = found.notes.iter().map(Note::to_string).collect();
        assert_eq!(
            notes,
            [
                "folders of images beside images were left out (1): sub.png",
                "images of other formats were left out (1): y.heic"
            ]
        );
    }

    #[test]
    fn subfolders_of_a_folder_without_images_are_classes() {
        let folder = folder(&[
            "dogs/a.png",
            "cats/a.png",
            "cats/b.png",
            "cats/._b.png",
            ".hidden/c.png",
            "empty/notes.txt",
        ]);
        let found = ImageFolder::read(folder.path()).unwrap();
        assert_eq!(names(&found), ["a.png", "b.png", "a.png"]);
        assert!(found.notes.is_empty());
        let none = self::folder(&["notes.txt", "a/b/c.png"]);
        assert!(matches!(
            ImageFolder::read(none.path()),
            Err(Error::Models(attn_models::Error::Empty { .. }))
        ));
        assert!(ImageFolder::read(&none.path().join("nowhere")).is_err());
    }
}
