//! Downloads models from the Hugging Face hub by their names, into the local cache where
//! [`Checkpoint::open`](crate::Checkpoint::open) finds them. Needs the feature `hub`.
//!
//! Only what opening reads is downloaded: configurations, files of the tokenizer and the preprocessor, and the weights in
//! one format, the first of safetensors, `pytorch_model.bin`, an adapter with the model it is for, GGUF. Names, blobs and
//! links are those of the hub's own library (crate `hf-hub`), so that each uses what the other has downloaded.

use std::{
    cell::Cell,
    collections::BTreeSet,
    env,
    ffi::OsString,
    fmt, fs, panic,
    path::{Component, Path, PathBuf},
};

use attn_core::{Progress, progress::step, third_party::guard};
use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{Api, ApiBuilder, ApiError, ApiRepo},
};

use crate::{
    Error, Result,
    adapter::{self, AdapterFiles},
    checkpoint::{BESIDE, CONFIG},
    error::{LONG, SHORT, excerpt},
    families::Config,
    files::{self, LARGEST_CONFIG, wrong},
    formats::gguf::first_of,
    hub,
    pooling::{self, MODULES, SETTINGS},
    weight_files::NAMES,
};

/// Where the hub is, unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";
/// The stage that progress is reported under, before and between files.
const STAGE: &str = "download";
/// Bytes between two reports about one file.
const REPORTED: usize = 1 << 20;

/// Why something was not downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such model, revision or file.
    NotFound,
    /// It is private or asks for an agreement, or is not there, which the hub does not tell apart without a token.
    NotAuthorized,
    /// Connections are switched off, and it is not in the cache.
    Offline,
    /// There is no connection to the hub.
    Unreachable(String),
    /// The hub answers something else than expected.
    Answer(String),
    /// A connection or the disk broke off. The next download goes on from there.
    Interrupted(String),
    /// The cache cannot be written, or is not known.
    Cache(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found: check the name and the revision"),
            Self::NotAuthorized => f.write_str(
                "not authorized: it is private, asks for an agreement or does not exist; a token that may read it is taken from \
                 HF_TOKEN",
            ),
            Self::Offline => f.write_str("HF_HUB_OFFLINE is set, and it is not in the local cache"),
            Self::Unreachable(why) => write!(f, "no connection: {why}"),
            Self::Answer(what) => write!(f, "unexpected answer: {what}"),
            Self::Interrupted(why) => write!(f, "interrupted: {why}"),
            Self::Cache(why) => write!(f, "the local cache: {why}"),
        }
    }
}

/// The hub and the local cache.
///
/// ```no_run
/// use attn_models::{Checkpoint, download::Hub};
///
/// let folder = Hub::from_env().download("prajjwal1/bert-tiny", &())?;
/// let checkpoint = Checkpoint::open(folder)?;
/// # Ok::<(), attn_models::Error>(())
/// ```
#[derive(Clone)]
pub struct Hub {
    endpoint: String,
    cache: Option<PathBuf>,
    token: Option<String>,
    offline: bool,
}

/// Without the token.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// As the environment says, by the names of the hub's own library: `HF_ENDPOINT`; the cache of `HF_HUB_CACHE` or `HF_HOME`;
    /// the token of `HF_TOKEN`, or the one that its login has left; no connection with `HF_HUB_OFFLINE=1`.
    pub fn from_env() -> Self {
        let home = env::home_dir().map(|home| home.join(".cache/huggingface"));
        Self::of(|name| env::var_os(name), home, hub::own_cache())
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>, cache: Option<PathBuf>) -> Self {
        let text = |name: &str| {
            let text = variable(name)?.to_string_lossy().trim().to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let home = text("HF_HOME").map(PathBuf::from).or(home);
        let token = text("HF_TOKEN_PATH").map(PathBuf::from);
        let token = token.or_else(|| home.map(|home| home.join("token")));
        let kept = || {
            let text = fs::read_to_string(token?).ok()?.trim().to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let on = |text: String| ["1", "on", "yes", "true"].contains(&text.to_ascii_lowercase().as_str());
        Self {
            endpoint: endpoint(&text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned())),
            cache,
            token: text("HF_TOKEN").or_else(kept),
            offline: text("HF_HUB_OFFLINE").is_some_and(on),
        }
    }

    /// A hub at an address, with a cache in a folder, without a token.
    pub fn new(address: &str, cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: endpoint(address),
            cache: Some(cache.into()),
            token: None,
            offline: false,
        }
    }

    /// The same with a token, which private models ask for.
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// The same without connections (`true`): only what is in the cache is found.
    pub fn with_offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Downloads what opening a model reads and is not in the cache yet: `model`, `organization/model`,
    /// `organization/model@revision`. Gives the folder for [`Checkpoint::open`](crate::Checkpoint::open). With an adapter comes the
    /// model that it names.
    ///
    /// Each file is a stage of progress, counted in bytes. A cancellation is heard between files and once per MiB, but in a program
    /// whose panics abort only between files. What was downloaded stays, also a part of a file, and the next call goes on from
    /// there. Connections have no time limit but the system's.
    ///
    /// # Errors
    /// [`Error::Download`]; [`Error::NotAModel`] for another kind of path and for a repository without a model;
    /// [`Error::WrongFile`] for several GGUF files, one of which [`download_file`](Self::download_file) gets; those of the
    /// configurations that say which files there are.
    pub fn download(&self, name: &str, progress: &dyn Progress) -> Result<PathBuf> {
        let folder = self.snapshot(name, None, progress)?;
        if folder.join(adapter::CONFIG).is_file() && !NAMES.iter().any(|(one, _)| folder.join(one).is_file()) {
            let files = AdapterFiles::open(&folder)?;
            if let Some(base) = files.base()?
                && hub::named(Path::new(base)).is_some()
                && !Path::new(base).exists()
            {
                let base = match files.revision()? {
                    Some(revision) if !base.contains('@') => format!("{base}@{revision}"),
                    _ => base.to_owned(),
                };
                self.snapshot(&base, None, progress)?;
            }
        }
        Ok(folder)
    }

    /// The same for one file of a repository, such as one of many GGUF files; of a model in several, all its parts. Gives the path
    /// of the file.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub fn download_file(&self, name: &str, file: &str, progress: &dyn Progress) -> Result<PathBuf> {
        Ok(self.snapshot(name, Some(file), progress)?.join(file))
    }

    /// The folder of a model with what is asked for.
    fn snapshot(&self, name: &str, only: Option<&str>, progress: &dyn Progress) -> Result<PathBuf> {
        let Some((model, revision)) = hub::named(Path::new(name)) else {
            return Err(Error::NotAModel {
                path: name.into(),
                expected: "the name of a model: `model`, `organization/model`, `organization/model@revision`"
                    .to_owned(),
                found: "another path".to_owned(),
            });
        };
        let refused = |place: String, reason: Refusal| Error::Download {
            model: name.to_owned(),
            place,
            reason,
        };
        let Some(cache) = &self.cache else {
            let why = "HF_HUB_CACHE, HF_HOME and a home folder are not set".to_owned();
            return Err(refused(self.endpoint.clone(), Refusal::Cache(why)));
        };
        if self.offline {
            let found = hub::locate_in(Path::new(name), Some(cache.clone())).ok();
            let found = found.filter(|folder| only.is_none_or(|file| folder.join(file).is_file()));
            return found.ok_or_else(|| refused(cache.display().to_string(), Refusal::Offline));
        }
        step(progress, STAGE, 0, 1)?;
        let address = format!("{}/api/models/{model}/revision/{revision}", self.endpoint);
        let here = |reason| refused(address.clone(), reason);
        let repo = Repo::with_revision(model.to_owned(), RepoType::Model, revision.to_owned());
        let api = guard("hf-hub", || self.api(cache)).map_err(Refusal::Answer);
        let api = api.and_then(|api| api.map_err(|error| refusal(&error))).map_err(here)?;
        let repo = api.repo(repo);
        let info = guard("hf-hub", || repo.info()).map_err(Refusal::Answer);
        let info = info
            .and_then(|info| info.map_err(|error| refusal(&error)))
            .map_err(here)?;
        if !hub::is_plain(&info.sha) {
            let sha = excerpt(&info.sha, SHORT);
            return Err(here(Refusal::Answer(format!("expected a revision, found `{sha}`"))));
        }
        let listed = info
            .siblings
            .into_iter()
            .map(|file| file.rfilename)
            .filter(|file| is_inside(file));
        let fetch = Fetch {
            name,
            endpoint: &self.endpoint,
            repo: &repo,
            folder: cache
                .join(format!("models--{}", model.replace('/', "--")))
                .join("snapshots")
                .join(&info.sha),
            listed: listed.collect(),
            progress,
        };
        match only {
            Some(file) => fetch.one(file)?,
            None => fetch.model()?,
        }
        step(progress, STAGE, 1, 1)?;
        Ok(fetch.folder)
    }

    fn api(&self, cache: &Path) -> Result<Api, ApiError> {
        ApiBuilder::from_cache(Cache::new(cache.to_owned()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_progress(false)
            .build()
    }
}

/// An address without what would double the slash behind it.
fn endpoint(address: &str) -> String {
    address.trim_end_matches('/').to_owned()
}

/// Whether the name of a file leads to a place below its folder.
fn is_inside(file: &str) -> bool {
    let mut components = Path::new(file).components();
    !file.contains(['\\', '\0']) && components.all(|part| matches!(part, Component::Normal(_)))
}

/// One revision of a model.
struct Fetch<'a> {
    name: &'a str,
    endpoint: &'a str,
    repo: &'a ApiRepo,
    folder: PathBuf,
    /// The files of the repository.
    listed: BTreeSet<String>,
    progress: &'a dyn Progress,
}

impl Fetch<'_> {
    /// All that opening the model reads.
    fn model(&self) -> Result<()> {
        self.beside("")?;
        let weights = self.weights("")?;
        if self.listed.contains(MODULES) {
            self.file(MODULES)?;
            for own in pooling::folders(&self.folder)? {
                let own = own.to_string_lossy().replace('\\', "/");
                if !own.is_empty() {
                    self.files([CONFIG, SETTINGS].map(|name| format!("{own}/{name}")))?;
                }
            }
        }
        if weights {
            return Ok(());
        }
        if self.listed.contains(adapter::CONFIG) {
            self.file(adapter::CONFIG)?;
            let first = adapter::WEIGHTS.iter().find(|name| self.listed.contains(**name));
            return first.map_or_else(|| Err(self.no_model()), |name| self.file(name));
        }
        if self.listed.contains(MODULES)
            && let Some(own) = pooling::transformer(&self.folder)?
            && let Ok(own) = own.strip_prefix(&self.folder)
        {
            let own = format!("{}/", own.to_string_lossy().replace('\\', "/"));
            self.beside(&own)?;
            return match self.weights(&own)? {
                true => Ok(()),
                false => Err(self.no_model()),
            };
        }
        let gguf: Vec<PathBuf> = self
            .listed
            .iter()
            .filter(|name| is_gguf(name))
            .map(PathBuf::from)
            .collect();
        match gguf.as_slice() {
            [] => Err(self.no_model()),
            [only] => self.file(&only.to_string_lossy()),
            parts if first_of(parts).is_some() => self.files(parts.iter().map(|part| part.to_string_lossy())),
            several => {
                let names: Vec<_> = several.iter().take(8).map(|path| path.to_string_lossy()).collect();
                Err(wrong(
                    Path::new(self.name),
                    "one GGUF file",
                    format!("{}: {}", several.len(), names.join(", ")),
                    "download one of them by its name",
                ))
            }
        }
    }

    /// One file, with the other parts of its model.
    fn one(&self, file: &str) -> Result<()> {
        if !self.listed.contains(file) {
            return Err(self.refused(file, Refusal::NotFound));
        }
        let part_of = |other: &&String| first_of(&[PathBuf::from(file), PathBuf::from(other)]).is_some();
        self.files(
            self.listed
                .iter()
                .filter(|other| *other == file || is_gguf(file) && part_of(other)),
        )
    }

    /// Configurations and vocabularies below a place.
    fn beside(&self, place: &str) -> Result<()> {
        let names = BESIDE.iter().chain(&[CONFIG, SETTINGS]);
        self.files(names.map(|name| format!("{place}{name}")))
    }

    /// The weights below a place, in the first format that is there; whether there are any.
    fn weights(&self, place: &str) -> Result<bool> {
        for (single, index) in NAMES {
            let single = format!("{place}{single}");
            if self.listed.contains(&single) {
                self.file(&single)?;
                return Ok(true);
            }
            let index = format!("{place}{index}");
            if self.listed.contains(&index) {
                self.file(&index)?;
                let path = self.folder.join(&index);
                let bytes = files::read(&path, LARGEST_CONFIG)?.unwrap_or_default();
                let index = Config::parse(&bytes, &path)?;
                let shards = index.object("weight_map")?;
                let shards: BTreeSet<String> = shards
                    .iter()
                    .flat_map(|map| map.entries())
                    .filter_map(|(_, shard)| Some(format!("{place}{}", shard.as_str()?)))
                    .collect();
                // What else the index says wrong is said when the model is opened.
                if let Some(missing) = shards.iter().find(|shard| !self.listed.contains(*shard)) {
                    return Err(self.refused(missing, Refusal::NotFound));
                }
                self.files(shards)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those of some files that the repository has.
    fn files<T: AsRef<str>>(&self, names: impl IntoIterator<Item = T>) -> Result<()> {
        let mut names = names.into_iter();
        names.try_for_each(|name| match self.listed.contains(name.as_ref()) {
            true => self.file(name.as_ref()),
            false => Ok(()),
        })
    }

    /// One file, if it is not there.
    fn file(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        step(self.progress, STAGE, 0, 1)?;
        if path.is_file() {
            return Ok(());
        }
        let stopped = Cell::new(false);
        let bar = Bar {
            progress: self.progress,
            stage: format!("{STAGE} {name}"),
            total: 0,
            done: 0,
            reported: 0,
            stopped: &stopped,
        };
        let stage = bar.stage.clone();
        let done = guard("hf-hub", || self.repo.download_with_progress(name, bar));
        if stopped.get() {
            return Err(attn_core::Error::Cancelled { stage }.into());
        }
        let done = done
            .map_err(Refusal::Answer)
            .and_then(|done| done.map_err(|error| refusal(&error)));
        done.map_err(|reason| self.refused(name, reason))?;
        if path.is_file() {
            return Ok(());
        }
        let changed = "its revision changed meanwhile: try again".to_owned();
        Err(self.refused(name, Refusal::Answer(changed)))
    }

    fn refused(&self, file: &str, reason: Refusal) -> Error {
        Error::Download {
            model: self.name.to_owned(),
            place: self.repo.url(file),
            reason,
        }
    }

    fn no_model(&self) -> Error {
        let some: Vec<&str> = self.listed.iter().take(8).map(|name| excerpt_of(name)).collect();
        Error::NotAModel {
            path: format!("{}/{}", self.endpoint, self.name).into(),
            expected: "weights in safetensors, PyTorch's or GGUF files, or an adapter".to_owned(),
            found: match some.as_slice() {
                [] => "no file".to_owned(),
                _ => format!("{} files: {}", self.listed.len(), some.join(", ")),
            },
        }
    }
}

/// The start of a name, enough to find it.
fn excerpt_of(name: &str) -> &str {
    let end = name.char_indices().nth(SHORT).map_or(name.len(), |(end, _)| end);
    &name[..end]
}

fn is_gguf(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".gguf")
}

/// The progress of one file.
struct Bar<'a> {
    progress: &'a dyn Progress,
    stage: String,
    total: usize,
    done: usize,
    reported: usize,
    stopped: &'a Cell<bool>,
}

impl hf_hub::api::Progress for Bar<'_> {
    fn init(&mut self, size: usize, _: &str) {
        // Once for the file, and again for what is left of it.
        (self.total, self.done, self.reported) = (size, 0, 0);
    }

    fn update(&mut self, size: usize) {
        self.done = self.done.saturating_add(size);
        if self.done - self.reported >= REPORTED || self.done >= self.total {
            self.reported = self.done;
            let said = self.progress.update(&self.stage, self.done.min(self.total), self.total);
            if said.is_break() && self.done < self.total && cfg!(panic = "unwind") {
                // The library has no other way to stop. This is no panic: no hook runs and nothing is printed. Locks and
                // files of the library close as it unwinds, and the bytes that were written stay.
                self.stopped.set(true);
                panic::resume_unwind(Box::new(()));
            }
        }
    }

    fn finish(&mut self) {}
}

/// An error of the library in the words of this crate.
fn refusal(error: &ApiError) -> Refusal {
    let words = |error: &dyn fmt::Display| excerpt(&error.to_string(), LONG);
    match error {
        ApiError::RequestError(request) => match &**request {
            ureq::Error::StatusCode(401 | 403) => Refusal::NotAuthorized,
            ureq::Error::StatusCode(404 | 410) => Refusal::NotFound,
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Tls(_) => Refusal::Unreachable(words(request)),
            _ => Refusal::Answer(words(request)),
        },
        ApiError::TooManyRetries(last) => refusal(last),
        ApiError::IoError(_) => Refusal::Interrupted(words(error)),
        ApiError::LockAcquisition(path) => Refusal::Cache(format!("another program downloads to {}", path.display())),
        _ => Refusal::Answer(words(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where_and_whether() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "kept\n").unwrap();
        let of = |set: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = set.iter().find(|(own, _)| *own == name);
                found.map(|(_, value)| OsString::from(value))
            };
            Hub::of(variable, Some(folder.path().to_owned()), Some("/cache".into()))
        };
        let plain = of(&[]);
        assert_eq!((plain.endpoint.as_str(), plain.offline), (ENDPOINT, false));
        assert_eq!(plain.token.as_deref(), Some("kept"));
        let set = of(&[
            ("HF_ENDPOINT", "http://localhost:1/"),
            ("HF_TOKEN", "own"),
            ("HF_HUB_OFFLINE", "TRUE"),
            ("HF_HOME", "/nowhere"),
        ]);
        assert_eq!((set.endpoint.as_str(), set.offline), ("http://localhost:1", true));
        assert_eq!(set.token.as_deref(), Some("own"));
        assert!(!format!("{set:?}").contains("own"), "a token is not printed");
        let none = of(&[("HF_HOME", "/nowhere"), ("HF_HUB_OFFLINE", "0")]);
        assert_eq!((none.token, none.offline), (None, false));
    }

    #[test]
    fn files_stay_below_their_folder() {
        assert!(is_inside("model.safetensors") && is_inside("1_Pooling/config.json"));
        for other in ["../x", "/x", "a/../../x", "a\\b", "./x/..", "C:\\x"] {
            assert!(!is_inside(other), "{other}");
        }
    }
}
