//! Models by the name they have on the Hugging Face hub, in the cache that its programs keep. Nothing is downloaded here.
//!
//! Layout: <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>. A model is the folder
//! `models--ORGANIZATION--NAME`, a revision of it a folder in `snapshots`, and `refs/main` says which one is current.

use std::{
    borrow::Cow,
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

use crate::{
    Error, Result,
    files::{self, LARGEST_CONFIG},
};

/// What a path to a model may be, for messages.
pub(crate) const EXPECTED: &str = "a folder with config.json and model.safetensors or pytorch_model.bin, a GGUF file, an adapter's folder, or the name \
     of a model in the cache of the hub";

/// The file or folder of a model: what is there, or else the snapshot of the model of that name (`bert-base-uncased`,
/// `organization/model`, `organization/model@revision`).
///
/// # Errors
/// [`Error::NotAModel`] with every place that was looked in.
pub(crate) fn locate(path: &Path) -> Result<Cow<'_, Path>> {
    if path.exists() {
        return Ok(Cow::Borrowed(path));
    }
    locate_in(path, own_cache()).map(Cow::Owned)
}

/// As [`locate`], of what a model in `folder` names: first in the cache that this is in itself.
pub(crate) fn locate_beside<'a>(folder: &Path, path: &'a Path) -> Result<Cow<'a, Path>> {
    let beside = cache_of(folder).and_then(|cache| locate_in(path, Some(cache)).ok());
    match beside.filter(|_| !path.exists()) {
        Some(found) => Ok(Cow::Owned(found)),
        None => locate(path),
    }
}

/// The cache that a folder is a snapshot of a model in.
fn cache_of(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let snapshots = folder.parent()?;
    let model = snapshots.parent()?;
    let named = model.file_name()?.to_str()?.starts_with("models--");
    (named && snapshots.file_name()? == "snapshots").then(|| model.parent().map(Path::to_owned))?
}

/// The cache of this machine's user.
pub(crate) fn own_cache() -> Option<PathBuf> {
    let home = std::env::home_dir().map(PathBuf::into_os_string);
    cache(|name| std::env::var_os(name), home)
}

/// The folder of the cache, as the hub's own library finds it.
fn cache(variable: impl Fn(&str) -> Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(cache) = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE")) {
        return Some(cache);
    }
    if let Some(own) = folder("HF_HOME") {
        return Some(own.join("hub"));
    }
    let caches = folder("XDG_CACHE_HOME").or_else(|| home.map(|home| Path::new(&home).join(".cache")));
    caches.map(|caches| caches.join("huggingface/hub"))
}

pub(crate) fn locate_in(path: &Path, cache: Option<PathBuf>) -> Result<PathBuf> {
    let missing = |found: String| Error::NotAModel {
        path: path.to_owned(),
        expected: EXPECTED.to_owned(),
        found,
    };
    let Some((name, revision)) = named(path) else {
        return Err(missing("nothing".to_owned()));
    };
    let Some(cache) = cache else {
        let place = "HF_HUB_CACHE, HF_HOME and a home folder are not set";
        return Err(missing(format!("no such path, and no cache of the hub: {place}")));
    };
    let folder = cache.join(format!("models--{}", name.replace('/', "--")));
    let snapshots = folder.join("snapshots");
    let reference = folder.join("refs").join(revision);
    let current = files::read(&reference, LARGEST_CONFIG).ok().flatten();
    let current = current.map(|hash| String::from_utf8_lossy(&hash).trim().to_owned());
    // A revision is a branch, a tag, or a commit itself. What a file says is a name, no path.
    let hashes = [current.as_deref(), Some(revision)].into_iter().flatten();
    let mut found = hashes.filter(|hash| is_plain(hash)).map(|hash| snapshots.join(hash));
    found.find(|snapshot| snapshot.is_dir()).ok_or_else(|| {
        let places = format!("{} and {}", reference.display(), snapshots.join(revision).display());
        let known = std::fs::read_dir(&cache).into_iter().flatten().flatten();
        let mut known: Vec<String> = known
            .filter_map(|entry| {
                Some(
                    entry
                        .file_name()
                        .to_str()?
                        .strip_prefix("models--")?
                        .replacen("--", "/", 1),
                )
            })
            .collect();
        known.sort();
        let known = match known.len() {
            0 => "no model is there".to_owned(),
            count => format!("{count} models are there: {}", known[..count.min(8)].join(", ")),
        };
        missing(format!(
            "no such path, and in the cache of the hub neither {places} ({known})"
        ))
    })
}

/// The name and the revision of a model, if a path can be one.
pub(crate) fn named(path: &Path) -> Option<(&str, &str)> {
    let text = path.to_str()?;
    let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
    let parts: Vec<&str> = name.split('/').collect();
    let name_fits = matches!(parts.len(), 1 | 2) && parts.iter().all(|part| is_plain(part));
    // A revision may have parts of its own (`refs/pr/1`), but leads nowhere else.
    let inside = Path::new(revision)
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    (name_fits && inside && !revision.is_empty()).then_some((name, revision))
}

/// Whether a text is a name as the hub allows it.
pub(crate) fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_cache_is_where_the_hubs_library_has_it() {
        let cache = |set: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = set.iter().find(|(own, _)| *own == name);
                found.map(|(_, value)| OsString::from(value))
            };
            super::cache(variable, Some("/home/me".into())).unwrap()
        };
        assert_eq!(cache(&[]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/c")]), Path::new("/c/huggingface/hub"));
        assert_eq!(
            cache(&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/c")]),
            Path::new("/h/hub")
        );
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x")]), Path::new("/x"));
        assert_eq!(
            cache(&[("HF_HUB_CACHE", "")]),
            Path::new("/home/me/.cache/huggingface/hub")
        );
        assert_eq!(super::cache(|_| None, None), None);
    }

    #[test]
    fn names_lead_to_snapshots() {
        let folder = tempfile::tempdir().unwrap();
        let cache = || Some(folder.path().to_owned());
        let model = folder.path().join("models--org--tiny");
        for (reference, hash) in [("main", "0a"), ("refs/pr/1", "0b")] {
            let path = model.join("refs").join(reference);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{hash}\n")).unwrap();
            fs::create_dir_all(model.join("snapshots").join(hash)).unwrap();
        }
        let find = |name: &str| locate_in(name.as_ref(), cache());
        for (name, hash) in [("org/tiny", "0a"), ("org/tiny@refs/pr/1", "0b"), ("org/tiny@0b", "0b")] {
            assert_eq!(find(name).unwrap(), model.join("snapshots").join(hash));
        }
        let error = find("org/tiny@v2").unwrap_err().to_string();
        for part in ["refs/v2", "snapshots/v2", "1 models are there: org/tiny"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(find("other").unwrap_err().to_string().contains("models--other"));
        // What a model there names is looked for there first.
        let own = model.join("snapshots/0a");
        let beside = locate_beside(&own, Path::new("org/tiny@0b")).unwrap().into_owned();
        assert_eq!(
            beside.canonicalize().unwrap(),
            model.join("snapshots/0b").canonicalize().unwrap()
        );
        // Not names: nothing outside the cache is looked at.
        for path in [
            "/org/tiny",
            "../org/tiny",
            "org/tiny@../../x",
            "a/b/c",
            "org/.tiny",
            "org/tiny@",
        ] {
            assert!(find(path).unwrap_err().to_string().ends_with("found nothing"), "{path}");
        }
        fs::write(model.join("refs/main"), "../..").unwrap();
        assert!(find("org/tiny").is_err());
    }
}
