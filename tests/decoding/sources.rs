//! What a target rests on, how sources and targets are read, and which are refused.

use attn_sdk::{
    core::Attention,
    embedded,
    models::{
        Checkpoint, Site,
        intervene::{Edit, Heads, Selection},
    },
    study::decoding::{Decoder, Decoding, Fault},
};

use crate::{dates, decoded};

#[test]
fn what_rests_on_no_source_says_so() {
    let decoder = dates();
    let healthy = decoded(&decoder, "May 21, 2000", 1);
    let least = |decoding: &Decoding| {
        let shares = decoding.hypotheses[0]
            .steps
            .iter()
            .take(10)
            .map(|step| step.source_share.unwrap());
        shares.fold(1.0, f32::min)
    };
    // Cross-attention gives nothing: whatever is written is made up.
    let edits = (0..2).map(|layer| {
        let heads = Heads::all(Attention::Cross, layer);
        Edit::HeadMask { heads, factor: 0.0 }.into()
    });
    let fault = Fault {
        edits: edits.collect(),
        ..Fault::default()
    };
    let blind = decoded(&decoder.with_fault(fault).unwrap(), "May 21, 2000", 1);
    assert!(least(&healthy) > 0.1, "{}", least(&healthy));
    assert!(
        blind.hypotheses[0]
            .steps
            .iter()
            .all(|step| step.source_share.unwrap() < 1e-6)
    );
    let coverage = |decoding: &Decoding| decoding.hypotheses[0].coverage.clone().unwrap();
    assert!(coverage(&blind).iter().all(|cover| *cover < 1e-6));
    assert!(coverage(&healthy).iter().sum::<f32>() > 1.0);
}

/// An omission: no token attends to the day, in the encoder or in the decoder, so that the target cannot carry it over.
#[test]
fn what_is_left_out_of_the_source_is_covered_least() {
    let decoder = dates();
    let healthy = decoded(&decoder, "May 21, 2000", 1);
    let day: Vec<usize> = (0..healthy.source.len())
        .filter(|&at| at < 7 && ["2", "1"].contains(&healthy.source.tokens[at].as_str()))
        .collect();
    assert_eq!(day.len(), 2, "{:?}", healthy.source.tokens);
    let cut = |(attention, layer)| {
        let edit = Edit::AttentionFactor {
            heads: Heads::all(attention, layer),
            queries: Selection::All,
            keys: day.clone().into(),
            factor: 0.0,
            renormalize: true,
        };
        edit.into()
    };
    let all = [Attention::EncoderSelf, Attention::Cross].map(|attention| [(attention, 0), (attention, 1)]);
    let fault = Fault {
        edits: all.concat().into_iter().map(cut).collect(),
        ..Fault::default()
    };
    let blind = decoded(&decoder.with_fault(fault).unwrap(), "May 21, 2000", 1);
    let of_day = |decoding: &Decoding| -> f32 {
        let coverage = decoding.hypotheses[0].coverage.as_ref().unwrap();
        let all: f32 = coverage.iter().sum();
        day.iter().map(|&at| coverage[at]).sum::<f32>() / all
    };
    assert!(of_day(&healthy) > 0.05, "{}", of_day(&healthy));
    assert!(of_day(&blind) < 1e-6, "{}", of_day(&blind));
}

#[test]
fn bad_sources_are_refused() {
    let decoder = dates();
    let params = decoder.params();
    for (source, words) in [
        ("", "expected at least one token"),
        ("   ", "expected at least one token"),
        (&*"1".repeat(300), "at most 32"),
    ] {
        let error = decoder.decode(source, &params, &()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let patch = Edit::Patch {
        site: Site::hidden(attn_sdk::core::Side::Encoder, 2),
        heads: Selection::All,
        tokens: Selection::All,
        donor: 0,
        donor_tokens: None,
    };
    let fault = Fault {
        edits: vec![patch.into()],
        ..Fault::default()
    };
    let error = decoder.with_fault(fault).unwrap_err().to_string();
    assert!(error.contains("one of 0 donor texts"), "{error}");
    assert!(Decoder::load(&embedded::TEXT_ENCODER.checkpoint().unwrap()).is_err());
    assert!(decoder.language("__de__").is_err());
}

/// A SentencePiece model with only those of its pieces that have one character or are no text.
fn letters_of(model: &[u8]) -> Vec<u8> {
    let number = |at: &mut usize| {
        let (mut value, mut shift) = (0_usize, 0);
        loop {
            let byte = model[*at];
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < model.len() {
        let start = at;
        let tag = number(&mut at);
        assert_eq!(tag & 7, 2, "messages only");
        at += number(&mut at);
        let message = &model[start..at];
        // Field 1 is a piece; its first field is the text.
        let text = (tag == 0x0a).then(|| {
            let length = usize::from(message[3]);
            String::from_utf8_lossy(&message[4..4 + length]).into_owned()
        });
        if text.is_none_or(|text| text.starts_with('<') || text.chars().count() == 1) {
            kept.extend(message);
        }
    }
    kept
}

#[test]
fn targets_are_read_by_the_tokenizer_of_targets() {
    let marian = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marian");
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.spm",
        "tokenizer_config.json",
        "vocab.json",
    ] {
        std::fs::copy(marian.join(file), folder.path().join(file)).unwrap();
    }
    let pieces = letters_of(&std::fs::read(marian.join("source.spm")).unwrap());
    std::fs::write(folder.path().join("target.spm"), pieces).unwrap();
    let decoder = Decoder::load(&Checkpoint::open(folder.path()).unwrap()).unwrap();
    let text = "She sells sea shells";
    let as_source = decoder.tokenizer().plain_ids(text, decoder.model().info()).unwrap();
    let as_target = decoder.target_ids(text).unwrap();
    assert!(
        as_target.len() > as_source.len(),
        "{as_target:?} is spelled, {as_source:?} is not"
    );
    // What is forced and what is expected are targets.
    let params = decoder.params();
    let decoding = decoder.decode(text, &params, &()).unwrap();
    let ranks = decoder.rank_text(&decoding, 0, 0, text).unwrap();
    let ids: Vec<u32> = ranks.iter().map(|rank| rank.id).collect();
    assert_eq!(ids, as_target);
}
