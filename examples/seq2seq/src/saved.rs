//! Saved runs: one, or all of a session with what they were made from and how they were looked at.

use std::{collections::BTreeMap, error::Error, fmt, marker::PhantomData, path::Path, sync::Arc};

use attn_sdk::{
    core::{Limits, files},
    study::decoding::Decoding,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    look::{Look, Origin, Panels},
    options::Options,
    studio::Experiment,
};

/// Largest file, in bytes: states and attention of some hundred sources.
const LARGEST: u64 = 1 << 30;

/// A run of a file.
pub(crate) struct Saved {
    pub(crate) run: Decoding,
    /// The line of its source.
    pub(crate) line: Option<usize>,
    /// The run of the file that it was made from, an earlier one.
    pub(crate) parent: Option<usize>,
    /// What was done.
    pub(crate) label: Option<String>,
}

/// What a session says of a run, beside the run itself.
#[derive(Deserialize)]
struct About {
    line: Option<usize>,
    parent: Option<usize>,
    label: Option<String>,
    /// Why there is no run.
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Kind {
    runs: Option<Vec<About>>,
    #[serde(default)]
    session: Option<Kept>,
}

/// What a window keeps beside its runs.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    #[serde(default)]
    pub(crate) origin: Origin,
    pub(crate) look: Look,
    #[serde(default)]
    pub(crate) panels: Panels,
}

/// Saved runs, and how a window looked at them.
pub(crate) struct Opened {
    pub(crate) runs: Vec<Saved>,
    pub(crate) kept: Option<Kept>,
}

/// The listed runs of a window, ready to be written.
pub(crate) struct Session {
    kept: Kept,
    runs: Vec<Experiment>,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    run: &'a Decoding,
    parent: Option<usize>,
    label: &'a str,
}

#[derive(Serialize)]
struct Written<'a> {
    session: &'a Kept,
    runs: Vec<Entry<'a>>,
}

impl Session {
    pub(crate) fn new(options: &Options, look: &Look, panels: &Panels, runs: &[Experiment]) -> Self {
        let places: BTreeMap<usize, usize> = (0..).zip(&look.listed).map(|(place, run)| (*run, place)).collect();
        let place = |run: usize| places.get(&run).copied();
        let listed = look.listed.iter().filter_map(|run| runs.get(*run));
        let written = listed.map(|run| {
            // What a run was made from may have been removed.
            let mut parent = run.parent;
            while let Some(other) = parent.filter(|other| place(*other).is_none()) {
                parent = runs.get(other).and_then(|run| run.parent).filter(|next| *next < other);
            }
            Experiment {
                decoding: Arc::clone(&run.decoding),
                parent: parent.and_then(place),
                label: run.label.clone(),
            }
        });
        let look = Look {
            listed: (0..look.listed.len()).collect(),
            shown: place(look.shown).unwrap_or(0),
            against: look.against.and_then(place),
            others: (look.others.iter())
                .filter_map(|(run, hypothesis)| Some((place(*run)?, *hypothesis)))
                .collect(),
            ..look.clone()
        };
        Self {
            runs: written.collect(),
            kept: Kept {
                origin: Origin::of(options),
                look,
                panels: panels.clone(),
            },
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let runs = self.runs.iter().map(|run| Entry {
            run: &run.decoding,
            parent: run.parent,
            label: &run.label,
        });
        let written = Written {
            session: &self.kept,
            runs: runs.collect(),
        };
        Ok(files::write_atomically(path, &serde_json::to_vec(&written)?)?)
    }
}

/// The runs of a session, of which some failed.
struct Runs<'a>(&'a [About]);

/// The list of runs in its object.
struct File<'a>(&'a [About]);

impl<'de> DeserializeSeed<'de> for File<'_> {
    type Value = Vec<Option<Decoding>>;

    fn deserialize<D: Deserializer<'de>>(self, object: D) -> Result<Self::Value, D::Error> {
        object.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for File<'_> {
    type Value = Vec<Option<Decoding>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `runs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut runs = Vec::new();
        while let Some(name) = object.next_key::<String>()? {
            if name == "runs" {
                runs = object.next_value_seed(Runs(self.0))?;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(runs)
    }
}

impl<'de> DeserializeSeed<'de> for Runs<'_> {
    type Value = Vec<Option<Decoding>>;

    fn deserialize<D: Deserializer<'de>>(self, list: D) -> Result<Self::Value, D::Error> {
        list.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Runs<'_> {
    type Value = Vec<Option<Decoding>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of runs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut runs = Vec::new();
        for about in self.0 {
            runs.push(match about.error {
                Some(_) => list.next_element::<IgnoredAny>()?.map(|_| None),
                None => list.next_element::<Decoding>()?.map(Some),
            });
        }
        Ok(runs.into_iter().map(Option::flatten).collect())
    }
}

/// The runs of a file; those that failed are left out.
pub(crate) fn read(path: &Path) -> Result<Opened, Box<dyn Error>> {
    let bytes = files::read(path, Limits::default().bytes.min(LARGEST))?;
    let kind = parse::<Kind>(&bytes, path, "a saved run")?;
    let kept = kind.session.map(|kept| Kept {
        origin: kept.origin.clone().beside(path),
        ..kept
    });
    let (about, entries) = match kind.runs {
        Some(about) => {
            let entries = parse_seed(File(&about), &bytes, path, "a saved run")?;
            (about, entries)
        }
        None => (Vec::new(), vec![Some(parse::<Decoding>(&bytes, path, "a saved run")?)]),
    };
    let mut about = about.into_iter();
    let mut runs: Vec<Saved> = Vec::new();
    let mut places: Vec<Option<usize>> = Vec::new();
    for (number, run) in (1..).zip(entries) {
        let own = about.next();
        let Some(run) = run else {
            places.push(None);
            continue;
        };
        run.check()
            .map_err(|error| format!("{}, run {number}: {error}", path.display()))?;
        let parent = own.as_ref().and_then(|own| own.parent);
        let parent = parent.and_then(|parent| places.get(parent).copied().flatten());
        places.push(Some(runs.len()));
        runs.push(Saved {
            run,
            line: own.as_ref().and_then(|own| own.line),
            // No run is made from itself.
            parent: parent.filter(|parent| *parent < runs.len()),
            label: own.and_then(|own| own.label),
        });
    }
    if runs.is_empty() {
        return Err(format!("{}: expected a saved run, found none", path.display()).into());
    }
    Ok(Opened { runs, kept })
}

/// Errors name the field and the line.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, what: &str) -> Result<T, String> {
    parse_seed(PhantomData, bytes, path, what)
}

fn parse_seed<'de, S: DeserializeSeed<'de>>(
    seed: S,
    bytes: &'de [u8],
    path: &Path,
    what: &str,
) -> Result<S::Value, String> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let read = seed.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    let read = read.map_err(|error| serde_path_to_error::Error::new(track.path(), error));
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

    use attn_sdk::{
        embedded,
        render::{Theme, ViewState},
        study::decoding::Decoder,
    };
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;
    use crate::look::Chosen;

    #[test]
    fn runs_keep_what_they_were_made_from() {
        let decoder = Decoder::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
        let run = decoder.decode("May 21, 2000", &decoder.params(), &()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let entry = |more: &[(&str, Value)]| {
            let mut entry = serde_json::to_value(&run).unwrap();
            more.iter().for_each(|(name, value)| entry[*name] = value.clone());
            entry
        };
        let made = |parent: usize| entry(&[("parent", json!(parent)), ("label", json!("changed"))]);
        let failed = json!({"line": 1, "source": {"text": "x"}, "error": "none"});
        let all = json!({"runs": [failed, entry(&[("line", json!(2))]), made(1), made(7)]});
        std::fs::write(file.path(), all.to_string()).unwrap();
        let read = super::read(file.path()).unwrap().runs;
        // The run that failed is left out, and so is a parent that is not there.
        let parents: Vec<_> = read.iter().map(|saved| saved.parent).collect();
        assert_eq!(parents, [None, Some(0), None]);
        assert_eq!(read[0].line, Some(2));
        assert_eq!(read[1].label.as_deref(), Some("changed"));
    }

    #[test]
    fn a_session_keeps_what_is_listed_and_how_it_was_looked_at() {
        let decoder = Decoder::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
        let run = Arc::new(decoder.decode("May 21, 2000", &decoder.params(), &()).unwrap());
        let experiment = |parent: Option<usize>, label: &str| Experiment {
            decoding: Arc::clone(&run),
            parent,
            label: label.into(),
        };
        let runs = [
            experiment(None, "first"),
            experiment(Some(0), "removed"),
            experiment(Some(1), "last"),
        ];
        let mut look = Look::new("May".into(), String::new(), run.params.clone(), ViewState::default());
        (look.listed, look.shown, look.against) = (vec![0, 2], 2, Some(0));
        look.view.shared.theme = Theme::Dark;
        let options = Options::parse_from(["seq2seq"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        let session = Session::new(&options, &look, &Panels::default(), &runs);
        session.write(file.path()).unwrap();
        let opened = super::read(file.path()).unwrap();
        let parents: Vec<_> = opened.runs.iter().map(|saved| saved.parent).collect();
        // The last one was made from a run that is gone, which was made from the first.
        assert_eq!(parents, [None, Some(0)]);
        assert_eq!(opened.runs[1].run, *run);
        let kept = opened.kept.unwrap();
        assert_eq!((kept.look.shown, kept.look.against), (1, Some(0)));
        assert_eq!(kept.look.view.shared.theme, Theme::Dark);
        assert_eq!(kept.look.source, "May");
        assert_eq!(kept.origin, Origin::default());
        // A look that names what its runs do not have is held to what they have.
        let mut look = kept.look;
        (look.shown, look.against, look.hypothesis, look.step) = (9, Some(7), 5, 99);
        (look.listed, look.chosen) = (vec![1, 9, 1], Chosen::Layer(7));
        (look.weights, look.heads) = (vec![1.0], [(0, 0), (4, 0)].into());
        look.hold_to(&[&run, &run]);
        assert_eq!((look.listed, look.shown, look.against), (vec![1], 1, None));
        assert_eq!((look.hypothesis, look.step), (0, run.hypotheses[0].row.len() - 1));
        assert_eq!((look.chosen, look.weights.len(), look.heads.len()), (Chosen::All, 0, 1));
    }
}
