//! Sounds: WAV files of every kind that is read, features against figures of NumPy, and what Whisper writes.

use attn_core::{Attention, Limits, Side};
use attn_models::{
    Capturer, Checkpoint, Error, Inputs, Model, Point, Site,
    attribute::logit_lens,
    candle::Tensor,
    capture::cut_notes,
    checkpoint::SpeechTask,
    generate::{GenerationParams, Generator},
    intervene::{Edit, Interventions, Selection},
    record::Recorder,
    sounds::{Samples, Sound, SoundProcessor},
    start::Start,
};
use proptest::prelude::*;

use crate::support::{difference, expected, fixture, largest, open, values};

/// A file with one `fmt ` and one `data`.
fn wav(encoding: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut format = Vec::new();
    format.extend(encoding.to_le_bytes());
    format.extend(channels.to_le_bytes());
    format.extend(rate.to_le_bytes());
    let frame = channels * (bits / 8);
    format.extend((rate * u32::from(frame)).to_le_bytes());
    format.extend(frame.to_le_bytes());
    format.extend(bits.to_le_bytes());
    file(&[(b"LIST", b"abc"), (b"fmt ", &format), (b"data", data)])
}

fn file(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut content = b"WAVE".to_vec();
    for (name, data) in chunks {
        content.extend_from_slice(*name);
        content.extend((data.len() as u32).to_le_bytes());
        content.extend_from_slice(data);
        if data.len() % 2 == 1 {
            content.push(0);
        }
    }
    let mut file = b"RIFF".to_vec();
    file.extend((content.len() as u32).to_le_bytes());
    file.extend(content);
    file
}

fn decoded(bytes: Vec<u8>) -> Result<Samples, Error> {
    Sound::memory("sound.wav", bytes)
        .decode()
        .map(|samples| samples.into_owned())
}

#[test]
fn integers_and_floats_are_read() {
    let read = |encoding, bits, data: &[u8]| decoded(wav(encoding, 1, 16_000, bits, data)).unwrap().values;
    assert_eq!(read(1, 8, &[0, 128, 255]), [-1.0, 0.0, 127.0 / 128.0]);
    assert_eq!(read(1, 16, &[0x00, 0x80, 0x00, 0x40]), [-1.0, 0.5]);
    assert_eq!(
        read(1, 24, &[0x00, 0x00, 0xc0, 0x01, 0x00, 0x00]),
        [-0.5, 1.0 / 8_388_608.0]
    );
    assert_eq!(read(1, 32, &i32::MIN.to_le_bytes()), [-1.0]);
    assert_eq!(read(3, 32, &0.25_f32.to_le_bytes()), [0.25]);
    assert_eq!(read(3, 64, &(-0.125_f64).to_le_bytes()), [-0.125]);
    // Channels are averaged; half a frame at the end is none.
    let stereo: Vec<u8> = [0.5_f32, -0.25, 1.0, 0.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .chain([1, 2])
        .collect();
    let samples = decoded(wav(3, 2, 8_000, 32, &stereo)).unwrap();
    assert_eq!((samples.rate, samples.values), (8_000, vec![0.125, 0.5]));
    // The longer kind of header.
    let mut extensible = Vec::new();
    extensible.extend([0xfe, 0xff, 1, 0]);
    extensible.extend(16_000_u32.to_le_bytes());
    extensible.extend(32_000_u32.to_le_bytes());
    extensible.extend([2, 0, 16, 0, 22, 0, 16, 0, 4, 0, 0, 0, 1, 0]);
    extensible.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
    let samples = decoded(file(&[(b"fmt ", &extensible), (b"data", &[0x00, 0x40])])).unwrap();
    assert_eq!(samples.values, [0.5]);
    // A file that was written to a pipe.
    let mut piped = wav(1, 1, 16_000, 16, &[0x00, 0x40]);
    let place = piped.len() - 6;
    piped[place..place + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decoded(piped).unwrap().values, [0.5]);
}

#[test]
fn other_files_are_refused_by_name() {
    let refused = |bytes: Vec<u8>| decoded(bytes).unwrap_err().to_string();
    for (bytes, words) in [
        (b"fLaC....".to_vec(), "FLAC"),
        (b"OggS....".to_vec(), "Ogg"),
        (b"RIFX....WAVE".to_vec(), "the large end first"),
        (b"RIFF....AVI ".to_vec(), "expected a WAV file"),
        (Vec::new(), "expected a WAV file"),
        (wav(7, 1, 16_000, 8, &[0]), "mu-law"),
        (wav(1, 1, 16_000, 12, &[0, 0]), "found 12 bits"),
        (wav(99, 1, 16_000, 16, &[0, 0]), "encoding 99"),
        (wav(1, 0, 16_000, 16, &[0, 0]), "0 channels"),
        (file(&[(b"data", &[0, 0])]), "before `fmt `"),
        (file(&[(b"fmt ", &[1, 0])]), "fewer than 16"),
        (file(&[]), "no chunks"),
        (wav(1, 1, 16_000, 16, &[]), "at least one sample"),
        (wav(3, 1, 16_000, 32, &f32::NAN.to_le_bytes()), "not a finite number"),
    ] {
        let message = refused(bytes);
        assert!(message.contains("sound.wav") && message.contains(words), "{message}");
    }
    let whole = wav(1, 1, 16_000, 16, &[0; 8]);
    let message = refused(whole[..whole.len() - 2].to_vec());
    assert!(message.contains("`data` has 6 bytes of 8"), "{message}");
    let large = Sound::memory("sound.wav", wav(1, 1, 16_000, 16, &[0; 4000]));
    let error = large.decode_within(Limits { bytes: 4000 }).unwrap_err();
    assert!(matches!(error, Error::Core(attn_core::Error::Memory { .. })), "{error}");
    let missing = Sound::from("no-such-folder/sound.wav").decode().unwrap_err();
    assert!(matches!(missing, Error::Io { .. }));
}

fn processor(json: &str) -> Result<SoundProcessor, Error> {
    SoundProcessor::new(json.as_bytes(), "preprocessor_config.json".as_ref())
}

/// Two tones and silence behind them. The figures are those of NumPy: `rfft` of windows of a mirrored signal, filters as
/// differences of corners.
#[test]
fn features_are_those_of_the_definition() {
    let json = r#"{"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": 1}"#;
    let rate = 16_000.0;
    let tone = |at: usize| {
        let at = at as f64;
        let low = (std::f64::consts::TAU * 440.0 * at / rate).sin();
        let high = (std::f64::consts::TAU * 3000.0 * at / rate * (1.0 + at / 20_000.0)).sin();
        (0.4 * low + 0.2 * high) as f32
    };
    let samples = Samples {
        rate: 16_000,
        values: (0..9000).map(tone).collect(),
    };
    let heard = processor(json).unwrap().hear(&samples, "tones").unwrap();
    assert_eq!((heard.samples, heard.cut_from), (9000, None));
    let features = heard.inputs.input_features.unwrap();
    assert_eq!(features.dims(), [1, 80, 100]);
    let all = values(&features);
    for (bin, frame, wanted) in [
        (0, 0, 0.948_24),
        (0, 1, 0.436_306),
        (10, 5, 1.300_283),
        (11, 20, 1.389_749),
        (40, 30, -0.610_251),
        (60, 56, 0.090_99),
        (79, 99, -0.610_251),
        (30, 57, 0.142_966),
    ] {
        let found = all[bin * 100 + frame];
        assert!((found - wanted).abs() < 2e-5, "{bin} {frame}: {found} {wanted}");
    }
    let mean = all.iter().map(|&x| f64::from(x)).sum::<f64>() / all.len() as f64;
    assert!((mean + 0.485_036_033).abs() < 1e-6, "{mean}");
    // A longer one is cut, and says so.
    let longer = Samples {
        values: vec![0.1; 20_000],
        ..samples.clone()
    };
    let heard = processor(json).unwrap().hear(&longer, "long").unwrap();
    assert_eq!((heard.samples, heard.cut_from), (16_000, Some(20_000)));
    let other = Samples {
        rate: 44_100,
        ..samples
    };
    let error = processor(json).unwrap().hear(&other, "cd.wav").unwrap_err().to_string();
    assert!(
        error.contains("cd.wav") && error.contains("expected 16000 samples per second, found 44100"),
        "{error}"
    );
}

/// The samples of the fixture as the reference normalized them.
#[test]
fn samples_are_normalized() {
    let expected = expected("wav2vec2");
    let bytes = std::fs::read(fixture("wav2vec2").join("preprocessor_config.json")).unwrap();
    let processor = SoundProcessor::new(&bytes, "preprocessor_config.json".as_ref()).unwrap();
    let raw = values(&expected["raw"]);
    let wanted = &expected["pad.in.input_values"];
    let mut from = 0;
    for (row, length) in [400, 523, 310].into_iter().enumerate() {
        let samples = Samples {
            rate: 16_000,
            values: raw[from..from + length].to_vec(),
        };
        from += length;
        let found = processor.hear(&samples, "raw").unwrap().inputs.input_values.unwrap();
        let wanted = wanted.narrow(0, row, 1).unwrap().narrow(1, 0, length).unwrap();
        assert!(difference(&found, &wanted.contiguous().unwrap(), None) <= 1e-5 * largest(&wanted));
    }
}

#[test]
fn options_that_change_numbers_are_honored_or_refused() {
    let with = |options: &str| {
        processor(&format!(
            r#"{{"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": 1 {options}}}"#
        ))
    };
    let silence = Samples {
        rate: 16_000,
        values: vec![0.0; 100],
    };
    let shape = |options: &str| {
        let heard = with(options).unwrap().hear(&silence, "silence").unwrap();
        heard.inputs.input_features.unwrap().dims().to_vec()
    };
    assert_eq!(shape(r#", "feature_size": 128"#), [1, 128, 100]);
    assert_eq!(shape(r#", "hop_length": 320, "n_fft": 512"#), [1, 80, 50]);
    for (options, key) in [
        (r#", "do_normalize": true"#, "do_normalize"),
        (r#", "dither": 0.1"#, "dither"),
        (r#", "n_fft": 1000000"#, "n_fft"),
        (r#", "chunk_length": 100000000"#, "chunk_length"),
        (r#", "hop_length": 0"#, "hop_length"),
    ] {
        let error = with(options).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    let error = processor(r#"{"feature_extractor_type": "EncodecFeatureExtractor"}"#)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("EncodecFeatureExtractor") && error.contains("WhisperFeatureExtractor"),
        "{error}"
    );
}

fn whisper() -> (Checkpoint, Model, Inputs) {
    let checkpoint = open("whisper");
    let model = Model::load(&checkpoint).unwrap();
    let features = expected("whisper")["gen.greedy.in.input_features"].clone();
    (checkpoint, model, Inputs::from_features(features))
}

/// Settings of the checkpoint: the prefix is forced, some tokens are suppressed, the end at the first free place.
#[test]
fn whisper_writes_what_the_reference_writes() {
    let (checkpoint, model, inputs) = whisper();
    let expected = expected("whisper");
    let params = GenerationParams::read(&checkpoint).unwrap();
    assert_eq!(params.forced_places, [(1, 2), (2, 4), (3, 6)]);
    assert_eq!(params.forbidden_first, [0]);
    let prefix = Inputs {
        decoder_input_ids: Some(Tensor::new(vec![vec![1_u32, 2, 4, 6]; 3], model.device()).unwrap()),
        ..inputs.clone()
    };
    let sequences: Vec<Vec<i64>> = expected["gen.greedy.sequences"].to_vec2().unwrap();
    let wanted: Vec<Vec<f32>> = expected["gen.greedy.token_logprobs"].to_vec2().unwrap();
    for cache in [true, false] {
        let params = GenerationParams {
            cache,
            ..params.clone()
        };
        let generator = Generator::new(&model, &params).unwrap();
        let (forced, given) = (
            generator.run(&inputs, &mut (), &()).unwrap(),
            generator.run(&prefix, &mut (), &()).unwrap(),
        );
        for (row, (forced, given)) in forced.iter().zip(&given).enumerate() {
            let (forced, given) = (&forced.hypotheses[0], &given.hypotheses[0]);
            let all: Vec<i64> = std::iter::once(&1)
                .chain(&forced.tokens)
                .map(|&id| i64::from(id))
                .collect();
            assert_eq!(all, sequences[row]);
            assert_eq!(forced.tokens[3..], given.tokens[..]);
            assert_eq!(given.log_probabilities.len(), wanted[row].len());
            for (found, wanted) in given.log_probabilities.iter().zip(&wanted[row]) {
                assert!((found - wanted).abs() <= 1e-4, "{found} {wanted}");
            }
        }
    }
}

/// Languages and tasks by their codes, as `generate(language=.., task=..)` of the reference starts.
#[test]
fn whisper_is_told_the_language_and_the_task() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = hearing(folder.path());
    let (_, model, inputs) = whisper();
    let settings = folder.path().join("generation_config.json");
    let mut options: serde_json::Value = serde_json::from_slice(&std::fs::read(&settings).unwrap()).unwrap();
    // As the first checkpoints were published: the language is to be guessed.
    options["forced_decoder_ids"] = serde_json::json!([[1, null], [2, 4]]);
    std::fs::write(&settings, options.to_string()).unwrap();
    let open = || Checkpoint::open(folder.path()).unwrap();
    let guessed = GenerationParams::read(&open()).unwrap_err().to_string();
    assert!(guessed.contains("with_speech"), "{guessed}");
    for (base, language, task, start) in [
        (open(), "en", SpeechTask::Transcribe, [1, 2, 4, 6]),
        (open(), "de", SpeechTask::Translate, [1, 3, 5, 6]),
        (checkpoint.clone(), "de", SpeechTask::default(), [1, 3, 4, 6]),
    ] {
        let told = base.with_speech(language, task).unwrap();
        let params = GenerationParams::read(&told).unwrap();
        let forced: Vec<(usize, u32)> = (1..).zip(start[1..].iter().copied()).collect();
        assert_eq!(params.forced_places, forced);
        let generator = Generator::new(&model, &params).unwrap();
        let prefix = Inputs {
            decoder_input_ids: Some(Tensor::new(vec![start.to_vec(); 3], model.device()).unwrap()),
            ..inputs.clone()
        };
        let [found, given] = [&inputs, &prefix].map(|inputs| generator.run(inputs, &mut (), &()).unwrap());
        for (found, given) in found.iter().zip(&given) {
            let (found, given) = (&found.hypotheses[0], &given.hypotheses[0]);
            assert_eq!(found.tokens[..3], start[1..]);
            assert_eq!(found.tokens[3..], given.tokens);
        }
        // A capture reads transcripts after the same tokens.
        let capturer = Capturer::load(&told).unwrap();
        let outcome = capturer
            .sounds([(tone(400), None), (tone(500), Some("a cat".to_owned()))])
            .run();
        for sequence in outcome.unwrap().capture.sequences() {
            let ids: Vec<u32> = sequence.decoder.iter().take(4).filter_map(|token| token.id).collect();
            assert_eq!(ids, start);
        }
    }
    // The English of the fixture is what its reference was forced to write.
    let english = GenerationParams::read(&open().with_speech("en", SpeechTask::Transcribe).unwrap()).unwrap();
    assert_eq!(english, GenerationParams::read(&self::open("whisper")).unwrap());
    let refused = |checkpoint: Checkpoint, language: &str| {
        checkpoint
            .with_speech(language, SpeechTask::Transcribe)
            .unwrap_err()
            .to_string()
    };
    let unknown = refused(open(), "klingon");
    assert!(
        unknown.contains("one of 2 languages") && unknown.contains("klingon"),
        "{unknown}"
    );
    assert!(refused(self::open("marian"), "de").contains("Whisper"));
    options["is_multilingual"] = false.into();
    std::fs::write(&settings, options.to_string()).unwrap();
    assert!(refused(open(), "de").contains("English alone"));
    // Without lists the vocabulary is asked.
    options["is_multilingual"] = true.into();
    for list in ["lang_to_id", "task_to_id", "no_timestamps_token_id"] {
        options.as_object_mut().unwrap().remove(list);
    }
    std::fs::write(&settings, options.to_string()).unwrap();
    let told = open().with_speech("de", SpeechTask::Translate).unwrap();
    let forced = GenerationParams::read(&told).unwrap().forced_places;
    assert_eq!(forced, [(1, 3), (2, 5), (3, 6)]);
    assert!(refused(open(), "klingon").contains("`language`"));
}

#[test]
fn the_end_is_suppressed_at_the_first_free_place_alone() {
    let (checkpoint, model, inputs) = whisper();
    // What would be written there is suppressed instead of the end.
    let params = GenerationParams::read(&checkpoint).unwrap();
    let first = |params: &GenerationParams| {
        let generated = Generator::new(&model, params)
            .unwrap()
            .run(&inputs, &mut (), &())
            .unwrap();
        generated[0].hypotheses[0].tokens.clone()
    };
    let plain = first(&params);
    let other = first(&GenerationParams {
        forbidden_first: vec![plain[3], plain[4]],
        ..params.clone()
    });
    assert_ne!(other[3], plain[3]);
    assert_ne!(other[3], plain[4]);
    let forced = first(&GenerationParams {
        forbidden_first: vec![4],
        ..params
    });
    assert_eq!(forced, plain, "a forced token is not suppressed");
}

#[test]
fn taps_see_both_stacks_of_whisper() {
    let (checkpoint, model, inputs) = whisper();
    let generator = Generator::new(&model, &GenerationParams::read(&checkpoint).unwrap()).unwrap();
    let generated = generator.run(&inputs, &mut (), &()).unwrap();
    let best = &generated[1].hypotheses[0];
    let mut recorder = Recorder::of(&[Point::Attention, Point::Embedding]);
    let read = generator
        .teacher_forced(&inputs, 1, &best.tokens, &mut recorder)
        .unwrap();
    let cross = &recorder.tensors[&Site::new(Attention::Cross, 1, Point::Attention)];
    assert_eq!(cross.dims(), [1, 4, 1 + best.tokens.len(), 16]);
    assert_eq!(recorder.tensors[&Site::embedding(Side::Encoder)].dims(), [1, 16, 32]);
    for (found, wanted) in read.text()[3..].iter().zip(&best.log_probabilities[3..]) {
        assert!((found - wanted).abs() < 1e-4);
    }
}

#[test]
fn other_features_are_refused() {
    let (_, model, inputs) = whisper();
    let features = inputs.input_features.unwrap();
    let ids = Tensor::new(vec![vec![1_u32]; 3], model.device()).unwrap();
    let refused = |inputs: Inputs| {
        let inputs = Inputs {
            decoder_input_ids: Some(ids.clone()),
            ..inputs
        };
        model.forward(&inputs, &mut ()).unwrap_err().to_string()
    };
    let short = refused(Inputs::from_features(features.narrow(2, 0, 30).unwrap()));
    assert!(
        short.contains("[batch, 16, 32]") && short.contains("[3, 16, 30]"),
        "{short}"
    );
    assert!(refused(Inputs::default()).contains("found nothing"));
    let both = refused(Inputs {
        input_ids: Some(ids.clone()),
        ..Inputs::from_features(features)
    });
    assert!(both.contains("`input_ids`"), "{both}");
}

/// Whisper's fixture with a preprocessor whose features fit it: 0.32 seconds.
fn hearing(folder: &std::path::Path) -> Checkpoint {
    for file in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ] {
        std::fs::copy(fixture("whisper").join(file), folder.join(file)).unwrap();
    }
    let preprocessor = r#"{"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 16, "sampling_rate": 1000,
        "chunk_length": 1, "hop_length": 31, "n_fft": 64}"#;
    std::fs::write(folder.join("preprocessor_config.json"), preprocessor).unwrap();
    Checkpoint::open(folder).unwrap()
}

fn tone(samples: usize) -> Sound {
    let values = (0..samples).map(|at| (at as f32 * 0.3).sin());
    Sound::samples(format!("tone of {samples}"), 1000, values.collect::<Vec<_>>())
}

#[test]
fn sounds_are_captured_with_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = hearing(folder.path());
    assert_eq!(checkpoint.describe().problems, [""; 0]);
    let capturer = Capturer::load(&checkpoint).unwrap();
    let sounds = [(tone(400), None), (tone(1500), Some("a cat".to_owned()))];
    let outcome = capturer.sounds(sounds.clone()).run().unwrap();
    assert_eq!(outcome.notes.len(), 1);
    assert!(
        outcome.notes[0].message.contains("cut to 1.0 of 1.5 seconds"),
        "{:?}",
        outcome.notes
    );
    let capture = outcome.capture;
    let [first, second] = capture.sequences() else { panic!() };
    assert_eq!((first.encoder.len(), second.encoder.len()), (16, 16));
    assert_eq!(
        (first.encoder[1].text.as_str(), first.encoder[1].special),
        ("0.06 s", false)
    );
    assert!(first.encoder[7].special && !first.encoder[6].special && !second.encoder[15].special);
    let prefix = |tokens: &[attn_core::Token]| tokens[..4].iter().filter_map(|token| token.id).collect::<Vec<_>>();
    assert_eq!(
        (prefix(&first.decoder), prefix(&second.decoder)),
        (vec![1, 2, 4, 6], vec![1, 2, 4, 6])
    );
    assert!(first.text.is_some() && second.text.as_deref() == Some("a cat"));
    // Attention as the model computes it from the same features.
    for (at, sequence) in capture.sequences().iter().enumerate() {
        let ids: Vec<u32> = sequence.decoder.iter().filter_map(|token| token.id).collect();
        let inputs = Inputs {
            decoder_input_ids: Inputs::from_ids(&[ids], 0).unwrap().input_ids,
            ..capturer.sound_inputs([&sounds[at].0]).unwrap()
        };
        let mut recorder = Recorder::of(&[Point::Attention]);
        capturer.model().forward(&inputs, &mut recorder).unwrap();
        for attention in [Attention::EncoderSelf, Attention::DecoderSelf, Attention::Cross] {
            let wanted = values(&recorder.tensors[&Site::new(attention, 1, Point::Attention)]);
            let found = capture.layer_attention(attention, 1, at).unwrap();
            assert_eq!(found.len(), wanted.len());
            assert!(
                found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| (found - wanted).abs() < 1e-5)
            );
        }
    }
    // A transcript that is longer than the decoder is cut after what the checkpoint forces, and a note says so.
    let longest = capture.model().max_tokens.unwrap();
    for words in [longest - 3, 3 * longest] {
        let text = vec!["cat"; words].join(" ");
        let tokens = capturer.tokenizer().unwrap().encode(&text, capture.model()).unwrap();
        let all = tokens.cut_from.unwrap_or(tokens.tokens.len());
        let special = tokens.tokens.iter().filter(|token| token.special).count();
        let outcome = capturer.sounds([(tone(400), Some(text))]).run().unwrap();
        let [sequence] = outcome.capture.sequences() else {
            panic!()
        };
        let before = 4 + all - special;
        assert!(before > longest, "{before}");
        assert_eq!(
            (sequence.decoder.len(), sequence.target_cut_from),
            (longest, Some(before))
        );
        assert_eq!(prefix(&sequence.decoder), [1, 2, 4, 6]);
        let notes = cut_notes(outcome.capture.sequences());
        let wanted = format!("({before} tokens, {longest} left)");
        assert!(notes.len() == 1 && notes[0].message.contains(&wanted), "{notes:?}");
    }
    let refused = |run: attn_models::capture::CaptureRun<'_>| run.run().unwrap_err().to_string();
    assert!(refused(capturer.lines(["a cat"])).contains("a model of sound"));
    let cd = Sound::samples("cd", 44_100, vec![0.5; 10]);
    assert!(refused(capturer.sounds([(cd, None)])).contains("expected 1000 samples per second"));
    let text = Capturer::load(&open("marian")).unwrap();
    assert!(refused(text.sounds([(tone(10), None)])).contains("no model of sound"));
    let without = Capturer::load(&open("whisper")).unwrap();
    assert!(refused(without.sounds([(tone(10), None)])).contains("sound preprocessor"));
}

/// A sound is captured alone: padding would change it.
#[test]
fn samples_are_captured_one_sound_at_a_time() {
    let checkpoint = open("wav2vec2");
    let capturer = Capturer::load(&checkpoint).unwrap();
    let expected = expected("wav2vec2");
    let raw = values(&expected["raw"]);
    let sounds = [(0, 400), (400, 523)].map(|(from, length)| {
        let values = raw[from..from + length].to_vec();
        (
            Sound::samples(format!("{length}"), 16_000, values),
            Some("words".to_owned()),
        )
    });
    let capture = capturer.sounds(sounds).run().unwrap().capture;
    let lengths: Vec<usize> = capture
        .sequences()
        .iter()
        .map(|sequence| sequence.encoder.len())
        .collect();
    assert_eq!(lengths, [19, 25]);
    assert_eq!(capture.sequences()[0].text.as_deref(), Some("words"));
    let wanted = values(&expected["one.x.1.self.attn"]);
    let found = capture.layer_attention(Attention::EncoderSelf, 1, 0).unwrap();
    assert_eq!(found.len(), wanted.len());
    assert!(
        found
            .iter()
            .zip(wanted)
            .all(|(found, wanted)| (found - wanted).abs() < 1e-5)
    );
    assert_eq!(capture.sequences()[0].encoder[1].position, 1);
}

/// Greedy characters of the fixture, and names of the newer reference for the convolution of positions.
#[test]
fn wav2vec2_spells_what_the_reference_spells() {
    let checkpoint = open("wav2vec2");
    let expected = expected("wav2vec2");
    let bytes = std::fs::read(fixture("wav2vec2").join("vocab.json")).unwrap();
    let vocabulary: std::collections::BTreeMap<String, usize> = serde_json::from_slice(&bytes).unwrap();
    let letter = |id: usize| vocabulary.iter().find(|(_, other)| **other == id).unwrap().0.clone();
    let model = Model::load(&checkpoint).unwrap();
    let padded = crate::support::inputs(&expected, "pad");
    let logits: Vec<Vec<Vec<f32>>> = model
        .forward(&padded, &mut ())
        .unwrap()
        .logits
        .unwrap()
        .to_vec3()
        .unwrap();
    let best = |row: &Vec<f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let bytes = std::fs::read(fixture("wav2vec2").join("expected.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    for (row, frames) in [19, 25, 15].into_iter().enumerate() {
        let mut ids: Vec<usize> = logits[row][..frames].iter().map(best).collect();
        ids.dedup();
        let spelt: String = ids
            .into_iter()
            .map(letter)
            .filter(|letter| !letter.starts_with('<'))
            .collect();
        let wanted = json["ctc_greedy"][row].as_str().unwrap();
        assert_eq!(spelt.replace('|', " ").trim(), wanted.trim());
    }

    let inputs = crate::support::inputs(&expected, "one");
    let folder = tempfile::tempdir().unwrap();
    let mut tensors =
        attn_models::candle::safetensors::load(fixture("wav2vec2").join("model.safetensors"), model.device()).unwrap();
    for (old, new) in [
        ("weight_g", "parametrizations.weight.original0"),
        ("weight_v", "parametrizations.weight.original1"),
    ] {
        let place = "wav2vec2.encoder.pos_conv_embed.conv";
        let tensor = tensors.remove(&format!("{place}.{old}")).unwrap();
        tensors.insert(format!("{place}.{new}"), tensor);
    }
    attn_models::candle::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    std::fs::copy(
        fixture("wav2vec2").join("config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    let newer = Model::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
    let found = newer.forward(&inputs, &mut ()).unwrap().last_hidden;
    let wanted = model.forward(&inputs, &mut ()).unwrap().last_hidden;
    assert_eq!(difference(&found, &wanted, None), 0.0);
    let refused = |inputs: Inputs| model.forward(&inputs, &mut ()).unwrap_err().to_string();
    let short = inputs.input_values.as_ref().unwrap().narrow(1, 0, 12).unwrap();
    let error = refused(Inputs {
        input_values: Some(short),
        ..Inputs::default()
    });
    assert!(
        error.contains("enough for one frame") && error.contains("[1, 12]"),
        "{error}"
    );
}

/// The fixture's model with the head of another: `use_weighted_layer_sum` or not.
fn classifier(weighted: bool) -> Checkpoint {
    let weights = |name: &str, file: &str| {
        attn_models::candle::safetensors::load(fixture(name).join(file), &attn_models::candle::Device::Cpu).unwrap()
    };
    let mut tensors = weights("wav2vec2", "model.safetensors");
    tensors.retain(|name, _| !name.starts_with("lm_head"));
    tensors.extend(weights("wav2vec2-cls", "head.safetensors"));
    if !weighted {
        tensors.remove("layer_weights");
    }
    let config = std::fs::read(fixture("wav2vec2").join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["architectures"] = serde_json::json!(["Wav2Vec2ForSequenceClassification"]);
    config["classifier_proj_size"] = 12.into();
    config["use_weighted_layer_sum"] = weighted.into();
    config["id2label"] = serde_json::json!({"0": "yes", "1": "no", "2": "silence"});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    attn_models::candle::safetensors::save(&tensors, &file).unwrap();
    Checkpoint::from_bytes(
        "classifier",
        config.to_string().into_bytes(),
        std::fs::read(file).unwrap(),
    )
    .unwrap()
}

/// The figures are those of NumPy, made of the states that the reference computed.
#[test]
fn classes_of_sounds_are_those_of_the_definition() {
    let (states, wanted) = (expected("wav2vec2"), expected("wav2vec2-cls"));
    for (weighted, kind) in [(false, "logits"), (true, "weighted.logits")] {
        let checkpoint = classifier(weighted);
        // What training hides parts of sounds with.
        assert_eq!(checkpoint.describe().unused, ["wav2vec2.masked_spec_embed"]);
        let model = Model::load(&checkpoint).unwrap();
        assert_eq!(model.labels(), ["yes", "no", "silence"]);
        for case in ["pad", "one"] {
            let inputs = crate::support::inputs(&states, case);
            let mut run = Recorder::of(&[Point::Hidden]);
            let found = model.forward(&inputs, &mut run).unwrap().logits.unwrap();
            let wanted = &wanted[&format!("{case}.{kind}")];
            let gap = difference(&found, wanted, None);
            assert!(gap <= 2e-4 * largest(wanted), "{case} {kind}: {gap}");
            // A pass from a layer on reads the same states.
            let start = Start::below(model.info(), Attention::EncoderSelf, 1, &run).unwrap();
            let rest = model.forward_from(&inputs, &start, &mut ()).unwrap().logits.unwrap();
            assert!(difference(&rest, &found, None) <= 1e-5, "{case} {kind}");
            // Those of a pass under an edit, where that is what the start is of.
            let edit = Edit::Scale {
                site: Site::hidden(Side::Encoder, 0),
                heads: Selection::All,
                tokens: Selection::All,
                factor: -1.0,
            };
            let edits = Interventions::new(model.info(), [edit.into()]).unwrap();
            let mut taps = (edits, Recorder::of(&[Point::Hidden]));
            let edited = model.forward(&inputs, &mut taps).unwrap().logits.unwrap();
            let start = Start::below(model.info(), Attention::EncoderSelf, 1, &taps.1).unwrap();
            let rest = model.forward_from(&inputs, &start, &mut ()).unwrap().logits.unwrap();
            assert!(difference(&edited, &found, None) > 1e-3, "{case} {kind}");
            assert!(difference(&rest, &edited, None) <= 1e-5, "{case} {kind}");
            // The lens of the last layer is the model's own answer, where one state gives it.
            let lens = logit_lens(&model, &inputs, 1, &mut ());
            if weighted {
                let error = lens.unwrap_err().to_string();
                assert!(error.contains("states of all layers"), "{error}");
                continue;
            }
            let logits: Vec<Vec<f32>> = found.to_vec2().unwrap();
            for (guessed, logits) in lens.unwrap()[2].guesses.iter().zip(logits) {
                let best = (0..3).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
                let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
                assert_eq!(guessed[0][0].id as usize, best);
                assert!((guessed[0][0].log_probability - (logits[best] - sum.ln())).abs() < 1e-4);
            }
        }
    }
    let mut frames = serde_json::json!({"model_type": "wav2vec2"});
    for class in ["Wav2Vec2ForAudioFrameClassification", "Wav2Vec2ForXVector"] {
        frames["architectures"] = serde_json::json!([class]);
        let weights = attn_models::Weights::initialize(1);
        let error = Model::build("x", &frames.to_string(), &weights, attn_models::Gradients::Off).unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains(class) && words.contains("Wav2Vec2ForSequenceClassification"),
            "{words}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_files_are_errors(
        place in 0_usize..60, byte in any::<u8>(), cut in 0_usize..60, bits in prop::sample::select(vec![8_u16, 16, 24, 32, 64])
    ) {
        let mut bytes = wav(if bits == 64 { 3 } else { 1 }, 2, 16_000, bits, &[7; 32]);
        if let Some(changed) = bytes.get_mut(place) {
            *changed = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        let sound = Sound::memory("sound.wav", bytes);
        if let Ok(samples) = sound.decode_within(Limits { bytes: 1 << 20 }) {
            prop_assert!(samples.values.len() <= 64);
        }
    }

    #[test]
    fn any_file_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), mark in any::<bool>()) {
        let bytes = if mark { [b"RIFF\0\0\0\0WAVE".as_slice(), &bytes].concat() } else { bytes };
        let _ = decoded(bytes);
    }

    #[test]
    fn any_settings_are_read_or_refused(
        key in prop::sample::select(vec![
            "feature_size", "n_fft", "hop_length", "chunk_length", "sampling_rate", "padding_value", "dither", "do_normalize",
        ]),
        value in prop::sample::select(vec![
            "0", "1", "-1", "3", "1e30", "null", "\"x\"", "true", "[]", "4294967296", "16384", "0.5",
        ]),
        kind in prop::sample::select(vec!["WhisperFeatureExtractor", "Wav2Vec2FeatureExtractor"]),
    ) {
        let json = format!(r#"{{"feature_extractor_type": "{kind}", "chunk_length": 1, "{key}": {value}}}"#);
        if let Ok(sounds) = processor(&json) {
            let sounds = sounds.with_limits(Limits { bytes: 1 << 20 });
            let samples = Samples { rate: sounds.rate(), values: vec![0.5; 10] };
            let _ = sounds.hear(&samples, "short");
        }
    }
}
