//! Experiments: other tokens, other attention, other states.

use attn_sdk::{
    core::Attention,
    embedded,
    models::{
        Checkpoint, Point, Site,
        intervene::{Edit, Heads, Selection},
    },
    study::decoding::{Comparison, DecodedStep, Decoder, Decoding, Fault, HeadChoice, NearWord, Shift, StateKind},
};

use crate::{dates, decoded};

#[test]
fn any_token_has_a_rank_and_any_node_goes_on() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let steps = &decoding.hypotheses[0].steps;
    let top = &steps[6].top[1];
    let rank = decoder.rank(&decoding, 0, 6, top.id).unwrap();
    assert_eq!(rank.rank, 2);
    assert!((rank.log_probability - top.log_probability).abs() < 1e-5);
    let forced = decoder.rank_text(&decoding, 0, 5, "03-21").unwrap();
    assert_eq!(forced.len(), 5);
    assert!(forced[1].rank > 1);
    let other = decoder.replaced(&decoding, 0, 6, forced[1].id, &()).unwrap();
    assert!(
        other.hypotheses[0].row.text.starts_with("2000-03"),
        "{}",
        other.hypotheses[0].row.text
    );
    let entry = decoding.hypotheses[0].nodes[3];
    let same = decoder.continued(&decoding, entry, &()).unwrap();
    assert_eq!(same.hypotheses[0].row.ids, decoding.hypotheses[0].row.ids);
    let comparison = Comparison::new((&decoding, 0), (&other, 0), &HeadChoice::All, Shift::Predicted).unwrap();
    assert!(!comparison.same_target());
    assert!(
        comparison.attention[0].unwrap() < 1e-5,
        "before the change nothing differs"
    );
    assert!(decoder.rank(&decoding, 0, 99, 0).is_err() && decoder.rank(&decoding, 0, 0, 9_999).is_err());
}

#[test]
fn a_text_is_ranked_at_every_step_and_written_there() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let steps = &decoding.hypotheses[0].steps;
    // One token: what a single question says.
    let three = decoder.exact_ids("3").unwrap()[0];
    let ranks = decoder.rank_everywhere(&decoding, 0, "3", &()).unwrap();
    assert_eq!(ranks.len(), steps.len());
    for rank in &ranks {
        let alone = decoder.rank(&decoding, 0, rank.step, three).unwrap();
        assert_eq!((rank.id, rank.rank), (three, alone.rank));
        assert!((rank.log_probability - alone.log_probability).abs() < 1e-5);
    }
    // Several: the sum over its tokens, each forced before the next.
    let ranks = decoder.rank_everywhere(&decoding, 0, "03-", &()).unwrap();
    let tokens = decoder.rank_text(&decoding, 0, 5, "03-").unwrap();
    let sum: f32 = tokens.iter().map(|own| own.log_probability).sum();
    assert_eq!(ranks[5].rank, tokens[0].rank);
    assert!((ranks[5].log_probability - sum).abs() < 1e-4);
    let written = decoder.written(&decoding, 0, 5, "03-", &()).unwrap();
    assert!(written.hypotheses[0].row.text.starts_with("2000-03-"));
    // What cannot be written has no rank, and neither has nothing.
    for (text, words) in [("日", "found `日`"), ("", "at least one token")] {
        let error = decoder
            .rank_everywhere(&decoding, 0, text, &())
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
        assert!(decoder.written(&decoding, 0, 5, text, &()).is_err());
    }
}

#[test]
fn edited_attention_is_what_the_model_uses() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let mut weights = vec![0.0; decoding.source.len()];
    (weights[4], weights[5]) = (1.0, 3.0);
    let edits = decoding.attention_edits(0, 6, &HeadChoice::Layer(1), &weights).unwrap();
    let edited = decoder.edited(&decoding, 0, 6, &edits, &()).unwrap();
    assert_eq!(edited.hypotheses[0].row.ids[..6], decoding.hypotheses[0].row.ids[..6]);
    let keys = weights.len();
    for (layer, expected) in [(1, true), (0, false)] {
        let rows = edited
            .attention(0, &HeadChoice::Layer(layer), Shift::Predicted)
            .unwrap();
        let row = &rows[6 * keys..7 * keys];
        assert_eq!((row[4] - 0.25).abs() < 1e-5 && (row[5] - 0.75).abs() < 1e-5, expected);
    }
}

/// A date that is two characters longer: every weight goes to the character that is the same.
#[test]
fn a_row_of_another_run_is_copied_by_alignment() {
    let decoder = dates();
    let (may, march) = (
        decoded(&decoder, "May 21, 2000", 1),
        decoded(&decoder, "March 21, 2000", 1),
    );
    let both = Comparison::new((&may, 0), (&march, 0), &HeadChoice::All, Shift::Predicted).unwrap();
    // `2000-05-21` and `2000-03-21` are aligned step by step.
    let row = both.row_of_second((&march, 0), 9, &HeadChoice::All).unwrap();
    let theirs = march.step_attention(0, 9, &HeadChoice::All).unwrap();
    assert_eq!(row.len(), may.source.len());
    let at = |decoding: &Decoding, token: &str| decoding.source.tokens.iter().rposition(|own| own == token).unwrap();
    for token in ["1", ","] {
        assert_eq!(row[at(&may, token)], theirs[at(&march, token)], "{token}");
    }
    assert_eq!(row[0], theirs[0], "M");
    assert_eq!(both.row_of_second((&march, 0), 99, &HeadChoice::All), None);
}

/// A head that gets its own weights back writes the same; the tokens it has written keep theirs.
#[test]
fn edited_attention_of_a_continuation_is_about_the_prompt() {
    let decoder = Decoder::load(&embedded::TEXT_DECODER.checkpoint().unwrap()).unwrap();
    let decoding = decoded(&decoder, "the cat", 1);
    let (step, layer, head) = (3, 1, 2);
    let heads = HeadChoice::Some(vec![(layer, head)]);
    let row = |decoding: &Decoding| {
        let own = &decoding.hypotheses[0].decoder_self;
        let query = decoding.source.len() + step - 1;
        own.head(layer, head)[query * own.keys..=query * own.keys + query].to_vec()
    };
    let prompt = decoding.source.len();
    let before = row(&decoding);
    assert!(before[prompt..].iter().sum::<f32>() > 0.01);
    let same = decoding.attention_edits(0, step, &heads, &before[..prompt]).unwrap();
    let same = decoder.edited(&decoding, 0, step, &same, &()).unwrap();
    assert_eq!(same.hypotheses[0].row.ids, decoding.hypotheses[0].row.ids);
    let mut weights = vec![0.0; prompt];
    weights[0] = before[..prompt].iter().sum();
    let edits = decoding.attention_edits(0, step, &heads, &weights).unwrap();
    let after = row(&decoder.edited(&decoding, 0, step, &edits, &()).unwrap());
    let expected = [&weights[..], &before[prompt..]].concat();
    assert!(
        after.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5),
        "{after:?} {expected:?}"
    );
    let none = HeadChoice::Some(vec![(9, 0)]);
    assert!(decoding.attention_edits(0, step, &none, &weights).is_err());
}

#[test]
fn edits_are_about_the_tokens_of_one_sequence_in_every_pass() {
    let decoder = dates();
    let source = "May 21, 2000";
    let plain = decoded(&decoder, source, 2);
    let with = |edits: Vec<Edit>, donors: &[&str]| {
        let fault = Fault {
            donors: donors.iter().map(|donor| (*donor).to_owned()).collect(),
            edits: edits.into_iter().map(Into::into).collect(),
        };
        let mut params = decoder.params();
        params.generation.beams = 2;
        decoder.with_fault(fault).unwrap().decode(source, &params, &())
    };
    let states = Site::hidden(attn_sdk::core::Side::Decoder, 1);
    let (heads, tokens) = (Selection::All, Selection::from([6, 30]));
    let of = |point| Site::new(Attention::DecoderSelf, 1, point);
    // Token 6 is not in the first steps, and token 30 in none.
    for edit in [
        Edit::Add {
            site: states,
            heads: heads.clone(),
            tokens: tokens.clone(),
            vector: (0..64_u8).map(|at| f32::from(at) / 32.0).collect(),
            scale: 1.0,
        },
        Edit::Mean {
            site: states,
            heads: heads.clone(),
            tokens: tokens.clone(),
            vector: vec![0.0; 64],
        },
        Edit::Noise {
            site: states,
            heads: heads.clone(),
            tokens: tokens.clone(),
            scale: 1.0,
            seed: 3,
        },
        Edit::Scale {
            site: of(Point::HeadOutput),
            heads: heads.clone(),
            tokens: tokens.clone(),
            factor: 0.0,
        },
    ] {
        let name = edit.name();
        let changed = with(vec![edit], &[]).unwrap();
        let (a, b) = (&plain.hypotheses[0].steps, &changed.hypotheses[0].steps);
        // The state of token 6, the start being token 0, predicts the token of step 6.
        let same = a.iter().zip(b).take(6).take_while(|(a, b)| a.id == b.id);
        for (a, b) in same {
            let apart = (a.model_log_probability - b.model_log_probability).abs();
            assert!(apart < 1e-5, "{name}: {apart}");
        }
        let at = |steps: &[DecodedStep]| steps.get(6).map(|step| step.model_log_probability);
        assert_ne!(at(a), at(b), "{name}");
        // What the search counts is what the pass says.
        for step in b {
            assert!(
                (step.log_probability - step.model_log_probability).abs() < 1e-3,
                "{name}"
            );
        }
    }

    // Rows of the decoder's own attention, from a run of other tokens.
    for point in [Point::Attention, Point::Scores] {
        let patch = Edit::Patch {
            site: of(point),
            heads: heads.clone(),
            tokens: tokens.clone(),
            donor: 0,
            donor_tokens: None,
        };
        let changed = with(vec![patch], &["July 14, 2011"]).unwrap();
        for step in &changed.hypotheses[0].steps {
            assert!((step.log_probability - step.model_log_probability).abs() < 1e-3);
        }
    }

    // A change of a second sequence changes nothing: there is one.
    let off = |layer| Edit::HeadMask {
        heads: Heads::all(Attention::Cross, layer),
        factor: 0.0,
    };
    let mut params = plain.params.clone();
    params.interventions = vec![off(0).in_sequences(1)];
    let same = decoder.decode(source, &params, &()).unwrap();
    let (same, own) = (&same.hypotheses[0], &plain.hypotheses[0]);
    assert!(same.row == own.row && (same.score - own.score).abs() < 1e-4);
    // One of the first is of every beam and of every copy.
    params.interventions = vec![off(0).in_sequences(0), off(1).in_sequences(0)];
    let blind = decoder.decode(source, &params, &()).unwrap();
    for step in &blind.hypotheses[0].steps {
        assert!(step.source_share.unwrap() < 1e-6);
    }

    // Errors name the edit by its place in the list.
    let cross = Edit::Patch {
        site: Site::new(Attention::Cross, 1, Point::Attention),
        heads: heads.clone(),
        tokens: Selection::All,
        donor: 0,
        donor_tokens: None,
    };
    let error = with(vec![off(0), cross], &["July 14, 2011"]).unwrap_err().to_string();
    assert!(
        error.contains("intervention 1 (patch)") && error.contains("as many as the source has"),
        "{error}"
    );
}

#[test]
fn a_word_takes_the_place_of_a_token_and_leaves_its_space() {
    let word = |text: &str| NearWord {
        token: text.to_owned(),
        text: Some(text.to_owned()),
        id: 0,
        cosine: 1.0,
    };
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let with = |token: usize, text: &str| decoder.source_with(&decoding, token, &word(text)).unwrap();
    assert_eq!(with(3, "-").as_deref(), Some("May-21, 2000"));
    assert_eq!(with(4, "1").as_deref(), Some("May 11, 2000"));
    assert_eq!(with(99, "1"), None);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marian");
    let decoder = Decoder::load(&Checkpoint::open(folder).unwrap()).unwrap();
    let source = "She sells sea shells";
    let decoding = decoder.decode(source, &decoder.params(), &()).unwrap();
    for (token, text) in decoding.source.tokens.iter().enumerate() {
        if !decoding.source.is_text(token) || text == "␣" {
            continue;
        }
        let replaced = decoder.source_with(&decoding, token, &word("X")).unwrap().unwrap();
        assert_eq!(replaced.matches(' ').count(), 3, "{replaced}");
        assert!(replaced.contains('X'));
    }
}

#[test]
fn a_state_of_another_run_changes_what_it_decides() {
    let decoder = dates();
    let (may, march) = (
        decoded(&decoder, "May 21, 2000", 1),
        decoded(&decoder, "Mar 21, 2000", 1),
    );
    let text = |edits: &[_], step: usize| {
        decoder.edited(&may, 0, step, edits, &()).unwrap().hypotheses[0]
            .row
            .text
            .clone()
    };
    // One state of the encoder holds the month; a fault that patches from a text does the same.
    let edits = may.state_edits(StateKind::Encoder, &[(2, 2)], &march, 0).unwrap();
    assert_eq!(text(&edits, 0), "2000-03-21");
    let patch = Edit::Patch {
        site: Site::hidden(attn_sdk::core::Side::Encoder, 2),
        heads: Selection::All,
        tokens: 2.into(),
        donor: 0,
        donor_tokens: None,
    };
    let fault = Fault {
        donors: vec!["Mar 21, 2000".into()],
        edits: vec![patch.into()],
    };
    let planted = decoded(&decoder.with_fault(fault).unwrap(), "May 21, 2000", 1);
    let edited = decoder.edited(&may, 0, 0, &edits, &()).unwrap();
    assert_eq!(planted.hypotheses[0].row, edited.hypotheses[0].row);
    assert!((planted.hypotheses[0].score - edited.hypotheses[0].score).abs() < 1e-5);
    // The state that predicts the month's digit is all that the prediction sees.
    for kind in [StateKind::Decoder, StateKind::Context] {
        let edits = may.state_edits(kind, &[(6, 6)], &march, 0).unwrap();
        let changed = decoder.edited(&may, 0, 6, &edits, &()).unwrap();
        let digit = &changed.hypotheses[0].row.tokens[6];
        assert!(kind == StateKind::Context || digit == "3", "{kind}: {digit}");
    }
    assert!(may.state_edits(StateKind::Encoder, &[(0, 99)], &march, 0).is_err());
}
