//! Downloads from a hub on this machine: a server of a few lines that answers as the hub does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use attn_models::{
    Checkpoint, Error, Model,
    download::{Hub, Refusal},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures")
        .join(name)
}

/// A hub with some models, and what it was asked for.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Models by name, and the files of each.
type Models = BTreeMap<&'static str, BTreeMap<String, Vec<u8>>>;

impl Server {
    fn start(models: Models) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (models, log) = (Arc::new(models), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (models, log) = (models.clone(), log.clone());
                thread::spawn(move || answer(&stream, &models, &log));
            }
        });
        Self { address, asked }
    }

    /// The files whose contents were asked for since the last call.
    fn files(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap();
        let mut files: Vec<String> = asked.drain(..).collect();
        files.dedup();
        files
    }
}

fn answer(mut stream: &TcpStream, models: &Models, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut start = 0;
    let mut probe = false;
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(range) = header.strip_prefix("range: bytes=") {
            let (first, last) = range.split_once('-').unwrap();
            start = first.parse().unwrap();
            probe = !last.is_empty();
        }
    }
    let mut say = |status: &str, headers: &str, body: &[u8]| {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body);
    };
    let found = |name: &str| models.iter().find(|(own, _)| **own == name);
    if let Some(name) = path
        .strip_prefix("/api/models/")
        .and_then(|rest| rest.strip_suffix("/revision/main"))
    {
        return match found(name) {
            Some((&"org/private", _)) => say("401 Unauthorized", "", b""),
            Some((&"org/broken", _)) => say("200 OK", "Content-Type: application/json\r\n", b"{\"siblings\": "),
            Some((_, files)) => {
                let siblings: Vec<_> = files
                    .keys()
                    .map(|name| serde_json::json!({"rfilename": name}))
                    .collect();
                let sha = if name == "org/hostile" { "../../.." } else { COMMIT };
                let body = serde_json::json!({"sha": sha, "siblings": siblings}).to_string();
                say("200 OK", "Content-Type: application/json\r\n", body.as_bytes());
            }
            None => say("404 Not Found", "", b""),
        };
    }
    let file = path.split_once("/resolve/main/").and_then(|(name, file)| {
        let (_, files) = found(name.trim_start_matches('/'))?;
        Some((file.to_owned(), files.get(file)?))
    });
    match file {
        Some((name, bytes)) => {
            if !probe {
                log.lock().unwrap().push(name.clone());
            }
            let end = if probe { bytes.len().min(1) } else { bytes.len() };
            let tag: String = name
                .bytes()
                .chain(path.bytes())
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let tag = &tag[..tag.len().min(40)];
            let headers = format!(
                "Content-Range: bytes {start}-{}/{}\r\nETag: \"{tag}{}\"\r\nX-Repo-Commit: {COMMIT}\r\n",
                end.max(1) - 1,
                bytes.len(),
                bytes.len()
            );
            say("206 Partial Content", &headers, &bytes[start.min(end)..end]);
        }
        None => say("404 Not Found", "", b""),
    }
    let _ = stream.read(&mut [0]);
}

/// Some files of a fixture under other names.
fn files(name: &str, files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let read = |(own, file): &(&str, &str)| ((*own).to_owned(), fs::read(fixture(name).join(file)).unwrap());
    files.iter().map(read).collect()
}

const BERT: [(&str, &str); 3] = [
    ("config.json", "config.json"),
    ("tokenizer.json", "tokenizer.json"),
    ("model.safetensors", "model.safetensors"),
];

fn models() -> Models {
    let mut tiny = files("bert", &BERT);
    for other in ["README.md", "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx"] {
        tiny.insert(other.to_owned(), b"not read".to_vec());
    }
    let mut sharded = tiny.clone();
    let weights = sharded.remove("model.safetensors").unwrap();
    let names = Checkpoint::open(fixture("bert")).unwrap().tensors();
    let map: BTreeMap<_, _> = names
        .into_iter()
        .map(|(name, _)| (name, "part-1.safetensors"))
        .collect();
    let index = serde_json::json!({"weight_map": map}).to_string();
    sharded.insert("model.safetensors.index.json".to_owned(), index.into_bytes());
    sharded.insert("part-1.safetensors".to_owned(), weights);
    let mut lost = sharded.clone();
    lost.remove("part-1.safetensors");
    let adapter = files(
        "lora-bert/adapter",
        &[("adapter_model.safetensors", "adapter_model.safetensors")],
    );
    let mut adapter = adapter;
    let config = fs::read(fixture("lora-bert/adapter/adapter_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["base_model_name_or_path"] = "org/base".into();
    config["revision"] = serde_json::Value::Null;
    adapter.insert("adapter_config.json".to_owned(), config.to_string().into_bytes());
    let gguf = files(
        "gpt2-gguf",
        &[("a.gguf", "tiny-gpt2-f16.gguf"), ("b.gguf", "tiny-gpt2-f16.gguf")],
    );
    BTreeMap::from([
        ("org/tiny", tiny),
        ("org/sharded", sharded),
        ("org/lost", lost),
        ("org/adapter", adapter),
        ("org/base", files("bert-cls", &[BERT[0], BERT[2]])),
        ("org/gguf", gguf),
        ("org/private", BTreeMap::new()),
        ("org/broken", BTreeMap::new()),
        ("org/hostile", files("bert", &BERT)),
        ("org/empty", BTreeMap::from([("README.md".to_owned(), Vec::new())])),
    ])
}

#[test]
fn only_what_opening_reads_is_downloaded_and_once() {
    let (server, cache) = (Server::start(models()), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.address, cache.path());
    let stages = Mutex::new(BTreeMap::new());
    let progress = |stage: &str, done: usize, total: usize| {
        stages.lock().unwrap().insert(stage.to_owned(), (done, total));
        ControlFlow::Continue(())
    };
    let folder = hub.download("org/tiny", &progress).unwrap();
    assert_eq!(folder, cache.path().join("models--org--tiny/snapshots").join(COMMIT));
    assert_eq!(server.files(), ["tokenizer.json", "config.json", "model.safetensors"]);
    let size = fs::metadata(fixture("bert/model.safetensors")).unwrap().len() as usize;
    assert_eq!(stages.lock().unwrap()["download model.safetensors"], (size, size));
    assert_eq!(stages.lock().unwrap()["download"], (1, 1));
    let found = Checkpoint::open(&folder).unwrap();
    assert_eq!(found.name(), "org/tiny");
    assert_eq!(
        found.fingerprint(),
        Checkpoint::open(fixture("bert")).unwrap().fingerprint()
    );
    // Nothing is asked for again, and without connections it is found as well.
    hub.download("org/tiny", &()).unwrap();
    assert_eq!(server.files(), [""; 0]);
    let offline = Hub::new("http://127.0.0.1:1", cache.path()).with_offline(true);
    assert_eq!(offline.download("org/tiny", &()).unwrap(), folder);
    let refused = offline.download("org/other", &()).unwrap_err();
    assert!(
        matches!(&refused, Error::Download { place, reason: Refusal::Offline, .. } if place == &cache.path().display().to_string()),
        "{refused}"
    );
}

#[test]
fn shards_and_the_model_of_an_adapter_come_too() {
    let (server, cache) = (Server::start(models()), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.address, cache.path());
    let folder = hub.download("org/sharded", &()).unwrap();
    let asked = [
        "tokenizer.json",
        "config.json",
        "model.safetensors.index.json",
        "part-1.safetensors",
    ];
    assert_eq!(server.files(), asked);
    Model::load(&Checkpoint::open(&folder).unwrap()).unwrap();
    let folder = hub.download("org/adapter", &()).unwrap();
    let asked = [
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.json",
        "model.safetensors",
    ];
    assert_eq!(server.files(), asked);
    // The model it names is found in the cache that it is in itself.
    let found = Checkpoint::open(&folder).unwrap();
    assert_eq!(found.adapter_scale(), Some(1.0));
    Model::load(&found).unwrap();
}

#[test]
fn one_of_several_files_is_downloaded_by_its_name() {
    let (server, cache) = (Server::start(models()), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.address, cache.path());
    let several = hub.download("org/gguf", &()).unwrap_err();
    assert!(
        matches!(&several, Error::WrongFile { found, .. } if found == "2: a.gguf, b.gguf"),
        "{several}"
    );
    let file = hub.download_file("org/gguf", "b.gguf", &()).unwrap();
    assert_eq!(server.files(), ["b.gguf"]);
    Model::load(&Checkpoint::open(&file).unwrap()).unwrap();
    let missing = hub.download_file("org/gguf", "c.gguf", &()).unwrap_err();
    assert!(
        matches!(
            &missing,
            Error::Download {
                reason: Refusal::NotFound,
                ..
            }
        ),
        "{missing}"
    );
}

#[test]
fn what_is_refused_says_what_was_tried() {
    let (server, cache) = (Server::start(models()), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.address, cache.path());
    let refused = |name: &str| match hub.download(name, &()).unwrap_err() {
        Error::Download { model, place, reason } => {
            assert_eq!(model, name);
            assert!(place.starts_with(&server.address), "{place}");
            (place.replace(&server.address, ""), reason)
        }
        other => panic!("{name}: {other}"),
    };
    assert_eq!(
        refused("org/none"),
        ("/api/models/org/none/revision/main".to_owned(), Refusal::NotFound)
    );
    assert_eq!(refused("org/private").1, Refusal::NotAuthorized);
    assert_eq!(
        refused("org/lost"),
        (
            "/org/lost/resolve/main/part-1.safetensors".to_owned(),
            Refusal::NotFound
        )
    );
    assert!(matches!(refused("org/broken").1, Refusal::Answer(_)));
    assert!(matches!(refused("org/hostile").1, Refusal::Answer(what) if what.contains("../../..")));
    let empty = hub.download("org/empty", &()).unwrap_err();
    assert!(
        matches!(&empty, Error::NotAModel { found, .. } if found == "1 files: README.md"),
        "{empty}"
    );
    for path in ["/org/tiny", "a/b/c", "org/tiny@"] {
        let error = hub.download(path, &()).unwrap_err();
        assert!(matches!(&error, Error::NotAModel { .. }), "{error}");
    }
    // A port where nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Hub::new(&format!("http://{closed}"), cache.path())
        .download("org/tiny", &())
        .unwrap_err();
    assert!(
        matches!(
            &gone,
            Error::Download {
                reason: Refusal::Unreachable(_),
                ..
            }
        ),
        "{gone}"
    );
    assert_eq!(
        fs::read_dir(cache.path()).unwrap().count(),
        1,
        "only what the index of org/lost took"
    );
}

#[test]
fn a_download_that_was_cancelled_goes_on() {
    let (server, cache) = (Server::start(models()), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.address, cache.path());
    let stop = |stage: &str, _: usize, _: usize| match stage {
        "download config.json" => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    // A small file is there before anybody is asked.
    let asked = Mutex::new(false);
    let once = |stage: &str, done: usize, total: usize| {
        let mut stopped = asked.lock().unwrap();
        *stopped |= stop(stage, done, total).is_break();
        if *stopped {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let cancelled = hub.download("org/tiny", &once).unwrap_err();
    assert!(cancelled.is_cancelled(), "{cancelled}");
    assert_eq!(server.files(), ["tokenizer.json", "config.json"]);
    // A part of a file that is there is not asked for again.
    let blobs = cache.path().join("models--org--tiny/blobs");
    hub.download("org/tiny", &()).unwrap();
    assert_eq!(server.files(), ["model.safetensors"]);
    assert_eq!(
        fs::read_dir(blobs)
            .unwrap()
            .filter(|file| {
                let name = file.as_ref().unwrap().file_name();
                !name.to_string_lossy().ends_with(".lock")
            })
            .count(),
        3
    );
}

/// A file of 5 MiB, stopped after the second: it goes on from there.
#[test]
fn a_download_is_cancelled_within_a_file() {
    let mut models = models();
    let large: Vec<u8> = (0..5 << 20).map(|at: u32| (at % 251) as u8).collect();
    models
        .get_mut("org/tiny")
        .unwrap()
        .insert("tokenizer.json".to_owned(), large.clone());
    let (server, cache) = (Server::start(models), tempfile::tempdir().unwrap());
    let hub = Hub::new(&server.address, cache.path());
    let stop = |stage: &str, done: usize, _: usize| match stage {
        "download tokenizer.json" if done >= 2 << 20 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let cancelled = hub.download("org/tiny", &stop).unwrap_err();
    assert!(cancelled.is_cancelled(), "{cancelled}");
    let blobs = cache.path().join("models--org--tiny/blobs");
    let sizes = || -> Vec<u64> {
        let files = fs::read_dir(&blobs).unwrap().map(|file| file.unwrap());
        let parts = files.filter(|file| !file.file_name().to_string_lossy().ends_with(".lock"));
        parts.map(|file| file.metadata().unwrap().len()).collect()
    };
    let [part] = sizes()[..] else { panic!("{:?}", sizes()) };
    assert!((1 << 20..5 << 20).contains(&part), "{part}");
    let first = Mutex::new(None);
    let watch = |stage: &str, done: usize, _: usize| {
        if stage == "download tokenizer.json" {
            first.lock().unwrap().get_or_insert(done);
        }
        ControlFlow::Continue(())
    };
    let folder = hub.download("org/tiny", &watch).unwrap();
    assert_eq!(
        first.into_inner().unwrap(),
        Some(part as usize),
        "what is there is not asked for again"
    );
    assert_eq!(fs::read(folder.join("tokenizer.json")).unwrap(), large);
}
