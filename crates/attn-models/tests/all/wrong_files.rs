//! Files that are not what their name says: named for what they are, with what to do. And what identifies weights.

use std::{fs, path::Path};

use attn_models::{Checkpoint, Error, Model};

use crate::support::fixture;

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 440449768\n";

/// A copy of a fixture.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(fixture(name).join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn refused(folder: &Path) -> String {
    let opened = Checkpoint::open(folder).and_then(|checkpoint| checkpoint.tokenizer());
    opened.unwrap_err().to_string()
}

#[test]
fn pointers_and_pages_in_the_place_of_files() {
    let page = "<!DOCTYPE html><html><body>Not found</body></html>".repeat(20);
    for file in [
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "generation_config.json",
    ] {
        for (content, found) in [
            (POINTER, "a Git LFS pointer to it (440449768 bytes)"),
            (&page, "a web page"),
        ] {
            let folder = copy("bert");
            let path = folder.path().join(file);
            fs::write(&path, content).unwrap();
            let error = refused(folder.path());
            assert!(
                error.starts_with(&path.display().to_string()) && error.contains(found),
                "{error}"
            );
        }
    }
    // A tokenizer that was not fetched is in nobody's way who has ids.
    let folder = copy("bert");
    fs::write(folder.path().join("tokenizer.json"), POINTER).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(Model::load(&checkpoint).is_ok());
    assert!(checkpoint.describe().problems[0].contains("git lfs pull"));
    // Compiled in as a pointer.
    let config = fs::read(fixture("bert/config.json")).unwrap();
    let error = Checkpoint::from_bytes("embedded", config, POINTER.as_bytes()).unwrap_err();
    assert!(matches!(error, Error::WrongFile { .. }), "{error}");
    // An older vocabulary.
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    fs::write(folder.path().join("vocab.txt"), POINTER).unwrap();
    assert!(refused(folder.path()).contains("a Git LFS pointer"));
}

#[test]
fn folders_that_hold_something_else() {
    for (files, found) in [
        (
            &["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"][..],
            "a shard without the index",
        ),
        (
            &["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
            "download pytorch_model.bin.index.json too",
        ),
        (
            &["tf_model.h5"],
            "tf_model.h5, a format that is not read: convert it to safetensors",
        ),
        (&["weights.bin"], "weights.bin: rename it to pytorch_model.bin"),
        (
            &["weights.safetensors"],
            "weights.safetensors: rename it to model.safetensors",
        ),
        (&["README.md"], "neither"),
    ] {
        let folder = copy("bert");
        fs::remove_file(folder.path().join("model.safetensors")).unwrap();
        for file in files {
            fs::write(folder.path().join(file), "x").unwrap();
        }
        let error = Checkpoint::open(folder.path()).unwrap_err();
        assert!(
            matches!(error, Error::NotAModel { .. }) && error.to_string().contains(found),
            "{error}"
        );
    }
    // An adapter that says nothing.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    assert!(refused(folder.path()).contains("`peft_type` = nothing is not supported (supported: LORA"));
}

#[test]
fn damaged_weights_are_called_damaged() {
    let whole = fs::read(fixture("bert/model.safetensors")).unwrap();
    let folder = copy("bert");
    let path = folder.path().join("model.safetensors");
    for (bytes, found) in [
        (&whole[..whole.len() - 1], "was not downloaded to its end"),
        (&whole[..100], "no length of a header within 100 bytes"),
        (&[], "0 bytes, too few for a header"),
        (
            b"PK\x03\x04 and the rest of an archive",
            "a zip archive, as PyTorch writes it",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = refused(folder.path());
        assert!(error.contains(found), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    use std::os::unix::fs::symlink;
    for file in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "model.safetensors.index.json",
    ] {
        for (kind, found) in [
            ("pipe", "a named pipe"),
            ("/dev/zero", "a device"),
            ("folder", "a folder"),
            ("link", "a link to"),
        ] {
            let folder = copy("bert");
            let path = folder.path().join(file);
            if file == "model.safetensors.index.json" {
                fs::remove_file(folder.path().join("model.safetensors")).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            match kind {
                "pipe" => assert!(
                    std::process::Command::new("mkfifo")
                        .arg(&path)
                        .status()
                        .unwrap()
                        .success()
                ),
                "folder" => fs::create_dir(&path).unwrap(),
                "link" => symlink("../../blobs/0123", &path).unwrap(),
                device => symlink(device, &path).unwrap(),
            }
            let error = Checkpoint::open(folder.path()).unwrap_err();
            assert!(
                matches!(&error, Error::WrongFile { path: named, .. } if named == &path),
                "{file} {kind}: {error}"
            );
            assert!(error.to_string().contains(found), "{error}");
        }
    }
    // A link to a regular file is how the hub's cache stores them.
    let folder = copy("bert");
    let path = folder.path().join("model.safetensors");
    fs::remove_file(&path).unwrap();
    symlink(fixture("bert/model.safetensors"), &path).unwrap();
    assert!(Checkpoint::open(folder.path()).is_ok());
}

#[test]
fn any_edit_of_the_weights_is_another_fingerprint() {
    let folder = copy("gpt2");
    let path = folder.path().join("model.safetensors");
    let fingerprint = || Checkpoint::open(folder.path()).unwrap().fingerprint();
    let first = fingerprint();
    assert_eq!(first.len(), 32);
    assert_eq!(first, fingerprint());
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    // The lowest bit of any one number. Same size, and at once, so that no time stamp tells.
    for at in (header..whole.len()).step_by((whole.len() - header) / 40) {
        let mut edited = whole.clone();
        edited[at] ^= 1;
        fs::write(&path, &edited).unwrap();
        assert_ne!(first, fingerprint(), "byte {at}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(first, fingerprint());
    // Another configuration of the same weights is another model.
    let config = folder.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replacen('{', "{\"some_option\": false, ", 1)).unwrap();
    assert_ne!(first, fingerprint());
}

#[test]
fn a_digest_does_not_depend_on_threads() {
    // More than one piece of what is hashed at a time.
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<u8> = (0..(40 << 20))
        .map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let header = format!(
        r#"{{"a":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}"#,
        values.len()
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(&values);
    fs::write(folder.path().join("model.safetensors"), &file).unwrap();
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Checkpoint::open(folder.path()).unwrap().fingerprint())
    };
    assert_eq!(on(1), on(3));
    *file.last_mut().unwrap() ^= 1;
    let before = on(1);
    fs::write(folder.path().join("model.safetensors"), &file).unwrap();
    assert_ne!(before, on(3));
}

#[test]
fn a_snapshot_of_the_hub_has_the_name_of_its_model() {
    let cache = tempfile::tempdir().unwrap();
    for (cached, name) in [
        ("models--org--some-model", "org/some-model"),
        ("models--gpt2", "gpt2"),
        ("other", "0a1b"),
    ] {
        let snapshot = cache.path().join(cached).join("snapshots").join("0a1b");
        fs::create_dir_all(&snapshot).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(fixture("bert").join(file), snapshot.join(file)).unwrap();
        }
        assert_eq!(Checkpoint::open(&snapshot).unwrap().name(), name);
    }
}

/// The second file of a vocabulary, and what an editor or Python puts into the first.
#[test]
fn files_beside_a_vocabulary() {
    let folder = copy("gpt2");
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    fs::copy(fixture("gpt2/vocab.json"), folder.path().join("vocab.json")).unwrap();
    fs::write(folder.path().join("merges.txt"), POINTER).unwrap();
    let error = refused(folder.path());
    assert!(
        error.contains("merges.txt: expected the file itself") && error.contains("git lfs pull"),
        "{error}"
    );
    let folder = copy("bert");
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let vocabulary = fs::read(fixture("bert/vocab.txt")).unwrap();
    fs::write(
        folder.path().join("vocab.txt"),
        [b"\xef\xbb\xbf", vocabulary.as_slice()].concat(),
    )
    .unwrap();
    let options = "\u{feff}{\"model_max_length\": 7, \"other\": NaN}";
    fs::write(folder.path().join("tokenizer_config.json"), options).unwrap();
    let tokenizer = Checkpoint::open(folder.path()).unwrap().tokenizer().unwrap();
    assert_eq!((tokenizer.id("[PAD]"), tokenizer.max_tokens()), (Some(0), Some(7)));
}
