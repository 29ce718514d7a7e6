//! A model in several files: `NAME-00001-of-00003.gguf` and so on, as `llama-gguf-split` of llama.cpp writes them.
//!
//! All that is said about the model is said in the first; each says how many there are (`split.count`) and which it is
//! (`split.no`, from 0), and has tensors of its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::header::{Header, broken};
use crate::{
    Result,
    error::{SHORT, excerpt},
    files::{is_itself, regular, wrong},
    tensor_file::Bytes,
};

/// One file.
pub(super) struct Part {
    path: PathBuf,
    bytes: Bytes,
    header: Header,
}

impl Part {
    pub(super) fn parse(path: &Path, bytes: Bytes) -> Result<Self> {
        is_itself(path, &bytes)?;
        Ok(Self {
            header: Header::parse(path, &bytes)?,
            path: path.to_owned(),
            bytes,
        })
    }

    /// How many files the model has.
    pub(super) fn count(&self) -> usize {
        let count = self
            .header
            .integer("split.count")
            .and_then(|count| usize::try_from(count).ok());
        count.unwrap_or(1).max(1)
    }

    /// Which of them it is, from 0.
    fn number(&self) -> Option<usize> {
        let number = self.header.integer("split.no")?;
        usize::try_from(number).ok().filter(|&number| number < self.count())
    }
}

/// All files of a model, one of which is at hand, in their order.
///
/// # Errors
/// [`Error::WrongFile`](crate::Error::WrongFile) for a part that is not there, has another's name or says that it is another;
/// those of a file.
pub(super) fn with_others(at_hand: Part) -> Result<Vec<Part>> {
    let count = at_hand.count();
    if count == 1 {
        return Ok(vec![at_hand]);
    }
    let number = at_hand.number();
    let number = number.ok_or_else(|| broken(&at_hand.path, format!("`split.no`: expected a number below {count}")))?;
    let name = at_hand
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let base = split(&name).filter(|(_, own, all)| (*own, *all) == (number + 1, count));
    let Some((base, ..)) = base else {
        let expected = format!("a name that ends in {}", ending(number, count));
        let advice = "its header says that it is this part of a model, and the others are found by their names";
        return Err(wrong(&at_hand.path, &expected, excerpt(&name, SHORT), advice));
    };
    let mut at_hand = Some(at_hand);
    let mut parts = Vec::new();
    for other in 0..count {
        if let Some(part) = at_hand.take_if(|_| other == number) {
            parts.push(part);
            continue;
        }
        let name = format!("{base}{}", ending(other, count));
        let path = at_hand
            .as_ref()
            .or(parts.first())
            .map(|part| part.path.with_file_name(&name));
        let path = path.unwrap_or_else(|| PathBuf::from(&name));
        let expected = format!("part {} of {count} of the model", other + 1);
        if regular(&path)?.is_none() {
            let advice = "download it into the same folder, it holds some of the weights";
            return Err(wrong(&path, &expected, "nothing".to_owned(), advice));
        }
        let part = Part::parse(&path, Bytes::open(&path)?)?;
        if (part.number(), part.count()) != (Some(other), count) {
            let found = match part.number() {
                Some(number) => format!("part {} of {}", number + 1, part.count()),
                None => "a file that says of no part which it is".to_owned(),
            };
            return Err(wrong(&path, &expected, found, "download it again"));
        }
        parts.push(part);
    }
    Ok(parts)
}

/// What is said in the first file, with the tensors of all; and the files.
pub(super) fn joined(parts: Vec<Part>) -> Result<(Header, Vec<(PathBuf, Bytes)>)> {
    let (mut said, mut tensors, mut files) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (number, Part { path, bytes, header }) in parts.into_iter().enumerate() {
        if number == 0 {
            said = header.said;
        }
        for (name, mut stored) in header.tensors {
            stored.part = number;
            if tensors.contains_key(&name) {
                let name = excerpt(&name, SHORT);
                return Err(broken(&path, format!("tensor `{name}` is in an earlier part as well")));
            }
            tensors.insert(name, stored);
        }
        files.push((path, bytes));
    }
    let header = Header { said, tensors };
    if let (Some(expected), Some((path, _))) = (header.integer("split.tensors.count"), files.first())
        && usize::try_from(expected).ok() != Some(header.tensors.len())
    {
        let found = header.tensors.len();
        let message = format!("`split.tensors.count`: expected {expected} tensors in all parts, found {found}");
        return Err(broken(path, message));
    }
    Ok((header, files))
}

/// How the name of a part ends; parts are counted from 0.
fn ending(number: usize, count: usize) -> String {
    format!("-{:05}-of-{count:05}.gguf", number + 1)
}

/// What stands before the number of a part in its name, the number from 1 on, and how many there are.
fn split(name: &str) -> Option<(&str, usize, usize)> {
    let number = |digits: &str| {
        let plain = digits.len() >= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (base, own) = rest.rsplit_once('-')?;
    Some((base, number(own)?, number(count)?))
}

/// The name of a file without its ending, and without which part of a model it is.
pub(crate) fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    match split(&name) {
        Some((base, ..)) => Some(base.to_owned()),
        None => Some(path.file_stem()?.to_string_lossy().into_owned()),
    }
}

/// The first of some files in order, if all are parts of one model.
pub(crate) fn first_of(files: &[PathBuf]) -> Option<&PathBuf> {
    let names: Option<Vec<String>> = files
        .iter()
        .map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    let names = names?;
    let mut models = names
        .iter()
        .map(|name| split(name).map(|(base, _, count)| (base, count)));
    let first = models.next()??;
    models
        .all(|model| model == Some(first))
        .then(|| files.first())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_their_names() {
        assert_eq!(split("a-b-00002-of-00003.gguf"), Some(("a-b", 2, 3)));
        for other in [
            "a.gguf",
            "a-2-of-3.gguf",
            "a-00002-of-00003",
            "a-0000x-of-00003.gguf",
            "00001-of-00002.gguf",
        ] {
            assert_eq!(split(other), None, "{other}");
        }
        assert_eq!(ending(1, 3), "-00002-of-00003.gguf");
        assert_eq!(name_of(Path::new("/x/a-00002-of-00003.gguf")).unwrap(), "a");
        assert_eq!(name_of(Path::new("/x/a.b.gguf")).unwrap(), "a.b");
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let parts = files(&["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"]);
        assert_eq!(first_of(&parts), parts.first());
        assert_eq!(
            first_of(&files(&["a-00001-of-00002.gguf", "b-00002-of-00002.gguf"])),
            None
        );
        assert_eq!(first_of(&files(&["a.gguf", "b.gguf"])), None);
    }
}
