//! Interrupted captures of images and sounds: the same input goes on, any other is refused.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use attn_core::Capture;
use attn_models::{Capturer, Checkpoint, Error, capture::CaptureRun, images::Image, sounds::Sound};

use crate::support::fixture;

/// A kill, as far as the store can tell: the writer is dropped in the middle by a panic.
fn kill(run: CaptureRun<'_>) {
    let asked = AtomicUsize::new(0);
    let die = |stage: &str, _: usize, _: usize| {
        assert!(stage != "capture" || asked.fetch_add(1, Ordering::Relaxed) < 2);
        ControlFlow::Continue(())
    };
    assert!(catch_unwind(AssertUnwindSafe(|| run.progress(&die).run())).is_err());
}

/// Goes on where the run before was killed, and finds what a run without interruption finds.
fn assert_goes_on(run: CaptureRun<'_>, whole: &Capture) {
    let first = AtomicUsize::new(usize::MAX);
    let watch = |stage: &str, done: usize, _: usize| {
        if stage == "capture" {
            first.fetch_min(done, Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    };
    let outcome = run.progress(&watch).run().unwrap();
    assert!(outcome.complete);
    assert!(first.load(Ordering::Relaxed) > 0, "it began from the start");
    for head in whole.model().heads() {
        assert_eq!(whole.queries(head).unwrap(), outcome.capture.queries(head).unwrap());
        assert_eq!(whole.values(head).unwrap(), outcome.capture.values(head).unwrap());
    }
}

fn assert_refused(run: CaptureRun<'_>) {
    let error = run.run().unwrap_err();
    assert!(
        matches!(error, Error::Core(attn_core::Error::OtherCapture { .. })),
        "{error}"
    );
}

/// A fixture in a folder of its own, with this preprocessor.
fn copied(name: &str, folder: &Path, preprocessor: &str) -> Capturer {
    for file in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ] {
        let from = fixture(name).join(file);
        if from.exists() {
            std::fs::copy(from, folder.join(file)).unwrap();
        }
    }
    std::fs::write(folder.join("preprocessor_config.json"), preprocessor).unwrap();
    let checkpoint = Checkpoint::open(folder).unwrap();
    Capturer::load(&checkpoint).unwrap().with_batch_tokens(1)
}

#[test]
fn images_are_told_apart_by_their_pixels() {
    let model = tempfile::tempdir().unwrap();
    let settings = std::fs::read_to_string(fixture("vit/preprocessor_config.json")).unwrap();
    let capturer = copied("vit", model.path(), &settings);
    let [one, other] = ["0.png", "1.png"].map(|name| std::fs::read(fixture("vit/images").join(name)).unwrap());
    let files = tempfile::tempdir().unwrap();
    let paths = ["a.png", "b.png", "c.png", "d.png"].map(|name| files.path().join(name));
    for path in &paths {
        std::fs::write(path, &one).unwrap();
    }
    let kept = tempfile::tempdir().unwrap();
    let whole = capturer.capture_images(paths.clone()).unwrap();
    let images = || paths.iter().cloned().map(Image::File);
    kill(capturer.images(images()).to_folder(kept.path()));
    std::fs::write(&paths[3], &other).unwrap();
    assert_refused(capturer.images(images()).to_folder(kept.path()));
    std::fs::write(&paths[3], &one).unwrap();
    // The mean of the first channel.
    let changed = settings.replacen("0.5", "0.25", 1);
    assert_ne!(changed, settings);
    let changed = copied("vit", model.path(), &changed);
    assert_refused(changed.images(images()).to_folder(kept.path()));
    assert_goes_on(capturer.images(images()).to_folder(kept.path()), &whole);
}

#[test]
fn images_of_one_name_in_memory_are_told_apart() {
    let capturer = Capturer::load(&Checkpoint::open(fixture("vit")).unwrap()).unwrap();
    let capturer = capturer.with_batch_tokens(1);
    let [one, other] = ["0.png", "1.png"].map(|name| std::fs::read(fixture("vit/images").join(name)).unwrap());
    let images = |contents: [&Vec<u8>; 4]| contents.map(|bytes| Image::memory("frame", bytes.clone()));
    let kept = tempfile::tempdir().unwrap();
    let run = |contents| capturer.images(images(contents)).to_folder(kept.path());
    let whole = capturer.capture_images(images([&one, &one, &other, &one])).unwrap();
    kill(run([&one, &one, &other, &one]));
    assert_refused(run([&one, &other, &one, &one]));
    assert_goes_on(run([&one, &one, &other, &one]), &whole);
}

/// Whisper's fixture with features that fit it: 1 second at 1 kHz.
const WHISPER: &str = r#"{"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 16, "sampling_rate": 1000,
    "chunk_length": 1, "hop_length": 31, "n_fft": 64}"#;

#[test]
fn sounds_are_told_apart_by_their_samples() {
    let model = tempfile::tempdir().unwrap();
    let capturer = copied("whisper", model.path(), WHISPER);
    let tone = |pitch: f32| {
        let samples = (0..400).map(|at| (at as f32 * pitch).sin());
        Sound::samples("tone", 1000, samples.collect::<Vec<_>>())
    };
    let sounds = |pitches: [f32; 4]| pitches.map(|pitch| (tone(pitch), Some("a cat".to_owned())));
    let kept = tempfile::tempdir().unwrap();
    let pitches = [0.3, 0.4, 0.5, 0.6];
    let whole = capturer.sounds(sounds(pitches)).run().unwrap().capture;
    kill(capturer.sounds(sounds(pitches)).to_folder(kept.path()));
    let other = [0.3, 0.4, 0.5, 0.7];
    assert_refused(capturer.sounds(sounds(other)).to_folder(kept.path()));
    let changed = WHISPER.replace("\"n_fft\": 64", "\"n_fft\": 128");
    let changed = copied("whisper", model.path(), &changed);
    assert_refused(changed.sounds(sounds(pitches)).to_folder(kept.path()));
    assert_goes_on(capturer.sounds(sounds(pitches)).to_folder(kept.path()), &whole);
}
