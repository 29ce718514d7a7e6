//! Interventions as data: what is refused and how that is said, and what is saved.

use attn_core::{Attention, Side};
use attn_models::{
    Error, Model, Point, Site,
    intervene::{Edit, Heads, Intervention, Interventions, Selection},
    record::Recorder,
};

use crate::{
    edits::{batch, edits},
    support::open,
};

#[test]
fn what_does_not_exist_or_cannot_be_done_is_said() {
    let (model, inputs) = (Model::load(&open("llama")).unwrap(), batch("llama"));
    let decoder = Attention::DecoderSelf;
    let mask = |attention, layer, head: usize, factor| {
        Intervention::from(Edit::HeadMask {
            heads: Heads::new(attention, layer, head),
            factor,
        })
    };
    let tokens = |tokens: usize, donor| Edit::Patch {
        site: Site::mlp(Side::Decoder, 0),
        heads: Selection::All,
        tokens: tokens.into(),
        donor,
        donor_tokens: None,
    };
    let heads = Heads::all(decoder, 0);
    let cases: Vec<(Intervention, &str)> = vec![
        (mask(Attention::Cross, 0, 0, 0.0), "expected decoder-self, found cross"),
        (
            mask(decoder, 2, 0, 0.0),
            "a layer from 0 to 1 for the head_output, found layer 2",
        ),
        (mask(decoder, 0, 4, 0.0), "heads from 0 to 3, found head 4"),
        (mask(decoder, 0, 0, f32::NAN), "a finite factor, found NaN"),
        (
            Edit::Patch {
                site: Site::new(decoder, 0, Point::Key),
                heads: 2.into(),
                tokens: Selection::All,
                donor: 0,
                donor_tokens: None,
            }
            .into(),
            "key/value heads from 0 to 1, found key/value head 2",
        ),
        (
            tokens(0, 2).into(),
            "sequences from 0 to 1 of the other run, found sequence 2",
        ),
        (tokens(9, 0).into(), "tokens from 0 to 4, found token 9"),
        (tokens(1, 0).in_sequences(2), "sequences from 0 to 1, found sequence 2"),
        (
            Edit::Add {
                site: Site::hidden(Side::Decoder, 1),
                heads: Selection::All,
                tokens: Selection::All,
                vector: vec![1.0; 31],
                scale: 1.0,
            }
            .into(),
            "a vector of 32 numbers, found 31",
        ),
        (
            Edit::Mean {
                site: Site::new(decoder, 1, Point::HeadOutput),
                heads: Selection::from([0, 3]),
                tokens: Selection::All,
                vector: vec![1.0; 8],
            }
            .into(),
            "a vector of 2 x 8 numbers, found 8",
        ),
        (
            Edit::Mean {
                site: Site::new(decoder, 1, Point::HeadOutput),
                heads: Selection::All,
                tokens: Selection::All,
                vector: vec![f32::NAN; 32],
            }
            .into(),
            "a finite vector, found NaN",
        ),
        (
            Edit::Noise {
                site: Site::new(decoder, 1, Point::Attention),
                heads: Selection::All,
                tokens: Selection::All,
                scale: 1.0,
                seed: 0,
            }
            .into(),
            "a point that is a vector per token, found the attention",
        ),
        (
            Edit::Scale {
                site: Site::mlp(Side::Decoder, 0),
                heads: 1.into(),
                tokens: Selection::All,
                factor: 2.0,
            }
            .into(),
            "all heads: the mlp has none, found some heads",
        ),
        (
            Edit::Scale {
                site: Site::new(decoder, 0, Point::Value),
                heads: 1.into(),
                tokens: 5.into(),
                factor: 2.0,
            }
            .into(),
            "tokens from 0 to 4, found token 5",
        ),
        (
            Edit::ShufflePositions {
                side: Side::Decoder,
                order: vec![0, 2, 2],
            }
            .into(),
            "a permutation of 0 to 2",
        ),
        (
            Edit::KnockOut {
                heads: heads.clone(),
                queries: 1.into(),
                keys: Selection::from([0, 1]),
            }
            .into(),
            "at least one key left for each query, found none in sequence 0, head 0, query 1",
        ),
        (
            Edit::KnockOutEdges {
                heads: heads.clone(),
                edges: vec![[1, 0], [1, 99]],
            }
            .into(),
            "found 1 to 99",
        ),
        (
            Edit::KnockOutEdges {
                heads: heads.clone(),
                edges: vec![[0, 0]],
            }
            .into(),
            "at least one key left for each query, found none in sequence 0, head 0, query 0",
        ),
        (
            Edit::AttentionFactor {
                heads: heads.clone(),
                queries: Selection::All,
                keys: 0.into(),
                factor: 0.0,
                renormalize: true,
            }
            .into(),
            "rows with a positive sum, to be renormalized, found 0.0 in sequence 0, head 0, query 0",
        ),
        (
            Edit::AttentionRow {
                heads,
                query: 0,
                weights: vec![0.1; 6],
                renormalize: false,
            }
            .into(),
            "at most 5 weights, one per key, found 6",
        ),
    ];
    for (intervention, message) in cases {
        let result = Interventions::new(model.info(), [intervention.clone()]).and_then(|tap| {
            let mut run = Recorder::of(&tap.donor_points());
            model.forward(&inputs, &mut run)?;
            model.forward(&inputs, &mut tap.with_donor(run))
        });
        let Err(error) = result else {
            panic!("{message}: {intervention:?} was accepted")
        };
        assert!(matches!(error, Error::Intervention { .. }), "{error}");
        assert!(error.to_string().starts_with("intervention 0 ("), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    let mut without = edits(&model, [tokens(0, 0).into()]);
    let error = model.forward(&inputs, &mut without).unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
}

#[test]
fn every_intervention_can_be_saved() {
    let heads = Heads::new(Attention::Cross, 3, [1, 2]);
    let list: Vec<Intervention> = vec![
        Edit::HeadMask {
            heads: heads.clone(),
            factor: 0.1,
        }
        .in_sequences(4),
        Edit::AttentionRow {
            heads: heads.clone(),
            query: 2,
            weights: vec![0.25, 0.5],
            renormalize: true,
        }
        .into(),
        Edit::AttentionCells {
            heads: heads.clone(),
            queries: Selection::All,
            keys: 3.into(),
            weight: 1.0,
            renormalize: false,
        }
        .into(),
        Edit::AttentionFactor {
            heads: heads.clone(),
            queries: 1.into(),
            keys: Selection::All,
            factor: 2.0,
            renormalize: true,
        }
        .into(),
        Edit::KnockOut {
            heads: heads.clone(),
            queries: 1.into(),
            keys: 0.into(),
        }
        .into(),
        Edit::KnockOutEdges {
            heads,
            edges: vec![[1, 0], [2, 2]],
        }
        .into(),
        Edit::Patch {
            site: Site::hidden(Side::Decoder, 2),
            heads: Selection::All,
            tokens: 5.into(),
            donor: 1,
            donor_tokens: Some(vec![4]),
        }
        .into(),
        Edit::Add {
            site: Site::hidden(Side::Decoder, 1),
            heads: Selection::All,
            tokens: Selection::from([3, 12]),
            vector: vec![0.5, -0.25],
            scale: 4.0,
        }
        .in_sequences(1),
        Edit::Mean {
            site: Site::new(Attention::DecoderSelf, 0, Point::HeadOutput),
            heads: 2.into(),
            tokens: Selection::All,
            vector: vec![0.5],
        }
        .into(),
        Edit::Noise {
            site: Site::embedding(Side::Encoder),
            heads: Selection::All,
            tokens: 0.into(),
            scale: 0.1,
            seed: 9,
        }
        .into(),
        Edit::Scale {
            site: Site::new(Attention::Cross, 0, Point::Value),
            heads: 1.into(),
            tokens: 0.into(),
            factor: 0.0,
        }
        .into(),
        Edit::RemovePositions { side: Side::Encoder }.into(),
        Edit::ShufflePositions {
            side: Side::Decoder,
            order: vec![1, 0],
        }
        .into(),
    ];
    let saved = serde_json::to_string(&list).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Intervention>>(&saved).unwrap(), list);
    // What a person would write.
    let short =
        r#"{"edit": "head_mask", "attention": "encoder_self", "layer": 1, "heads": {"only": [0]}, "factor": 0}"#;
    let steer =
        r#"{"edit": "add", "site": {"attention": "decoder_self", "layer": 1, "point": "hidden"}, "vector": [1, 2]}"#;
    let read: Intervention = serde_json::from_str(steer).unwrap();
    let wanted = Edit::Add {
        site: Site::hidden(Side::Decoder, 1),
        heads: Selection::All,
        tokens: Selection::All,
        vector: vec![1.0, 2.0],
        scale: 1.0,
    };
    assert_eq!(read, wanted.into());
    let read: Intervention = serde_json::from_str(short).unwrap();
    let wanted = Edit::HeadMask {
        heads: Heads::new(Attention::EncoderSelf, 1, 0),
        factor: 0.0,
    };
    assert_eq!(read, wanted.into());
}
