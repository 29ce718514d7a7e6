//! Saved runs: one, or all of a session with what they were made from.

use std::{error::Error, path::Path};

use attn_sdk::{
    core::{Limits, files},
    study::decoding::Decoding,
};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

/// Largest file, in bytes: states and attention of some hundred sources.
const LARGEST: u64 = 1 << 30;

/// A run of a file.
#[derive(Deserialize)]
pub(crate) struct Saved<Run = Decoding> {
    pub(crate) run: Run,
    /// The line of its source.
    pub(crate) line: Option<usize>,
    /// The run of the file that it was made from, an earlier one.
    pub(crate) parent: Option<usize>,
    /// What was done.
    pub(crate) label: Option<String>,
}

#[derive(Deserialize)]
struct File {
    runs: Vec<Saved<Option<Decoding>>>,
}

#[derive(Deserialize)]
struct Kind {
    runs: Option<IgnoredAny>,
}

/// The runs of a file; those that failed are left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Saved>, Box<dyn Error>> {
    let bytes = files::read(path, Limits::default().bytes.min(LARGEST))?;
    let entries = if parse::<Kind>(&bytes, path, "a saved run")?.runs.is_some() {
        parse::<File>(&bytes, path, "a saved run")?.runs
    } else {
        vec![Saved {
            run: Some(parse::<Decoding>(&bytes, path, "a saved run")?),
            line: None,
            parent: None,
            label: None,
        }]
    };
    let mut runs: Vec<Saved> = Vec::new();
    let mut places: Vec<Option<usize>> = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        let Some(run) = entry.run else {
            places.push(None);
            continue;
        };
        run.check()
            .map_err(|error| format!("{}, run {number}: {error}", path.display()))?;
        places.push(Some(runs.len()));
        runs.push(Saved {
            run,
            line: entry.line,
            parent: entry.parent.and_then(|parent| places.get(parent).copied().flatten()),
            label: entry.label,
        });
    }
    // No run is made from itself.
    for (at, run) in runs.iter_mut().enumerate() {
        run.parent = run.parent.filter(|parent| *parent < at);
    }
    if runs.is_empty() {
        return Err(format!("{}: expected a saved run, found none", path.display()).into());
    }
    Ok(runs)
}

/// Errors name the field and the line.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, what: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json);
    let read = read.map_err(|error| {
        let field = error.path().to_string();
        format!(
            "{}: expected {what}: field `{field}`: {}",
            path.display(),
            error.into_inner()
        )
    })?;
    json.end()
        .map_err(|error| format!("{}: expected {what}: {error}", path.display()))?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use attn_sdk::{embedded, study::decoding::Decoder};
    use serde_json::json;

    #[test]
    fn runs_keep_what_they_were_made_from() {
        let decoder = Decoder::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
        let run = decoder.decode("May 21, 2000", &decoder.params(), &()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let made = |parent: usize| json!({"run": run, "parent": parent, "label": "changed"});
        let all = json!({"runs": [{"line": 1, "error": "none"}, {"line": 2, "run": run}, made(1), made(7)]});
        std::fs::write(file.path(), all.to_string()).unwrap();
        let read = super::read(file.path()).unwrap();
        // The run that failed is left out, and so is a parent that is not there.
        let parents: Vec<_> = read.iter().map(|saved| saved.parent).collect();
        assert_eq!(parents, [None, Some(0), None]);
        assert_eq!(read[0].line, Some(2));
        assert_eq!(read[1].label.as_deref(), Some("changed"));
    }
}
