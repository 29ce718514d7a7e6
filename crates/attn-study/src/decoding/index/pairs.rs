//! Pairs of source and target: TSV, JSON lines, or two files line by line.

use std::path::Path;

use attn_core::{Limits, files, text::each_line};
use serde_json::Value;

use crate::Error;

/// Largest file of pairs, in bytes.
const LARGEST: u64 = 1 << 32;

/// A source and its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The line of its file, counted from 1.
    pub line: usize,
    /// The source.
    pub source: String,
    /// The target.
    pub target: String,
}

/// Pairs, and the lines that are none.
#[derive(Debug, Default)]
pub struct Pairs {
    /// The pairs, in the order of their lines.
    pub pairs: Vec<Pair>,
    /// What was wrong with other lines, a [`Text`](attn_core::Error::Text) each, which names file and line.
    pub errors: Vec<attn_core::Error>,
}

impl Pairs {
    /// Reads a file of pairs, or a file of sources and one of targets. `.jsonl` and `.ndjson` hold objects with `source` and
    /// `target`; any other single file has SOURCE TAB TARGET, and what follows another TAB is left out. A bad line leaves the
    /// rest. Blank lines are passed over, in two files those that are blank in both; a line with a TAB is not blank.
    ///
    /// ```
    /// use attn_study::decoding::Pairs;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("pairs.tsv");
    /// std::fs::write(&path, "21.05.2000\t2000-05-21\nno target\n")?;
    /// let pairs = Pairs::read(&[path])?;
    /// assert_eq!(pairs.pairs[0].target, "2000-05-21");
    /// assert!(pairs.errors[0].to_string().contains("line 2: expected SOURCE TAB TARGET"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSource`] without a pair; [`Error::Shape`] for no or more than two files, and for two of unlike length; those
    /// of reading.
    pub fn read(paths: &[impl AsRef<Path>]) -> Result<Self, Error> {
        let shape = |what, expected: &str, found: String| Error::Shape {
            what,
            expected: expected.to_owned(),
            found,
        };
        let found = match paths {
            [both] => one(both.as_ref())?,
            [sources, targets] => {
                let (a, b) = (bytes(sources.as_ref())?, bytes(targets.as_ref())?);
                let [first, second] = [(&a, sources), (&b, targets)].map(|(bytes, path)| lines(bytes, path.as_ref()));
                let (first, second) = (first?, second?);
                if first.len() != second.len() {
                    let expected = format!("{} targets, one per source", first.len());
                    return Err(shape("lines of two files", &expected, second.len().to_string()));
                }
                let place = format!("{}, {}", sources.as_ref().display(), targets.as_ref().display());
                let mut found = Self::default();
                for ((line, source), (_, target)) in first.into_iter().zip(second) {
                    let (Some(source), Some(target)) = (found.readable(source), found.readable(target)) else {
                        continue;
                    };
                    if !source.trim().is_empty() || !target.trim().is_empty() {
                        found.push(&place, line, source, target, "a source and a target");
                    }
                }
                found
            }
            other => return Err(shape("files of pairs", "one or two", other.len().to_string())),
        };
        if found.pairs.is_empty() && found.errors.is_empty() {
            return Err(Error::NoSource {
                expected: "pairs of source and target",
            });
        }
        Ok(found)
    }

    fn push(&mut self, place: &str, line: usize, source: &str, target: &str, expected: &str) {
        match (source.trim().is_empty(), target.trim().is_empty()) {
            (false, false) => self.pairs.push(Pair {
                line,
                source: source.to_owned(),
                target: target.to_owned(),
            }),
            (source, target) => {
                let which = match (source, target) {
                    (true, true) => "an empty source and an empty target",
                    (true, false) => "an empty source",
                    _ => "an empty target",
                };
                self.fail(place, line, expected, which.to_owned());
            }
        }
    }

    /// A line that is text; notes one that is not.
    fn readable<'a>(&mut self, line: Result<&'a str, attn_core::Error>) -> Option<&'a str> {
        line.map_err(|error| self.errors.push(error)).ok()
    }

    fn fail(&mut self, place: &str, line: usize, expected: &str, found: String) {
        self.errors.push(attn_core::Error::Text {
            place: place.to_owned(),
            line: Some(line),
            expected: expected.to_owned(),
            found,
        });
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    Ok(files::read(path, Limits::default().bytes.min(LARGEST))?)
}

/// The lines of a file, each with its number.
fn lines<'a>(bytes: &'a [u8], path: &Path) -> Result<Vec<(usize, Result<&'a str, attn_core::Error>)>, Error> {
    Ok(each_line(bytes, &path.display().to_string())?)
}

/// One file.
fn one(path: &Path) -> Result<Pairs, Error> {
    let (bytes, place) = (bytes(path)?, path.display().to_string());
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let objects = ["jsonl", "ndjson"].iter().any(|own| ending.eq_ignore_ascii_case(own));
    let mut found = Pairs::default();
    for (line, content) in lines(&bytes, path)? {
        let Some(content) = found.readable(content) else {
            continue;
        };
        if content.trim().is_empty() && (objects || !content.contains('\t')) {
            continue;
        }
        if objects {
            object(&mut found, &place, line, content);
            continue;
        }
        let expected = "SOURCE TAB TARGET";
        let mut columns = content.split('\t');
        match (columns.next(), columns.next()) {
            (Some(source), Some(target)) => found.push(&place, line, source, target, expected),
            _ => found.fail(&place, line, expected, "one column".to_owned()),
        }
    }
    Ok(found)
}

fn object(found: &mut Pairs, place: &str, line: usize, content: &str) {
    let expected = "an object with the texts `source` and `target`";
    let value: Value = match serde_json::from_str(content) {
        Ok(value) => value,
        Err(error) => return found.fail(place, line, expected, error.to_string()),
    };
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    match (field("source"), field("target")) {
        (Some(source), Some(target)) => found.push(place, line, source, target, expected),
        (source, _) => {
            let missing = if source.is_none() { "source" } else { "target" };
            found.fail(place, line, expected, format!("no text `{missing}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_named_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let write_bytes = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let write = |name: &str, content: &str| write_bytes(name, content.as_bytes());
        let tsv = write(
            "a.tsv",
            "\u{feff}a\tb\textra\n\n\tonly target\nx\t \nc\td\n\t\n  \n \t \n",
        );
        let found = Pairs::read(&[tsv]).unwrap();
        let lines: Vec<usize> = found.pairs.iter().map(|pair| pair.line).collect();
        assert_eq!((lines, found.pairs[0].source.as_str()), (vec![1, 5], "a"));
        let words: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        assert!(
            words[0].contains("line 3") && words[0].contains("empty source"),
            "{words:?}"
        );
        assert!(
            words[1].contains("line 4") && words[1].contains("empty target"),
            "{words:?}"
        );
        // A TAB alone is a pair without texts.
        let empty = |line: &str, at: usize| {
            words[at].contains(line) && words[at].contains("an empty source and an empty target")
        };
        assert!(
            words.len() == 4 && empty("line 6", 2) && empty("line 8", 3),
            "{words:?}"
        );

        let jsonl = write(
            "a.jsonl",
            "{\"source\": \"a\", \"target\": \"b\"}\n{\"source\": 1}\n[\n{\"source\": \"\", \"target\": \" \"}\n",
        );
        let found = Pairs::read(&[jsonl]).unwrap();
        assert_eq!((found.pairs.len(), found.errors.len()), (1, 3));
        for (error, line) in found.errors.iter().zip(["line 2", "line 3", "line 4"]) {
            assert!(error.to_string().contains(line), "{error}");
        }

        let (a, b) = (write("a.en", "one\n\ntwo\n"), write("b.de", "eins\n\nzwei\n"));
        let found = Pairs::read(&[&a, &b]).unwrap();
        assert_eq!((found.pairs[1].line, found.pairs[1].target.as_str()), (3, "zwei"));
        // Bytes that are no text cost their line alone.
        let odd = write_bytes("d.de", b"eins\n\nzw\xe9i\n");
        let found = Pairs::read(&[&a, &odd]).unwrap();
        assert_eq!((found.pairs.len(), found.errors.len()), (1, 1));
        assert!(
            found.errors[0]
                .to_string()
                .contains("d.de, line 3: expected text in UTF-8")
        );
        let short = write("c.de", "eins\n");
        assert!(Pairs::read(&[&a, &short]).is_err());
        assert!(Pairs::read(&[write("empty.tsv", "\n")]).is_err());
        let none: [&Path; 0] = [];
        assert!(Pairs::read(&[write("bytes.tsv", "")]).is_err() && Pairs::read(&none).is_err());
    }
}
