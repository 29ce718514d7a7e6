//! Scores, beam tree and attention are those of the search.

use std::collections::{BTreeMap, BTreeSet};

use attn_sdk::{
    core::{Attention, Side},
    models::{
        Inputs, Point, Result, Site, Tap,
        candle::Tensor,
        generate::Generator,
        intervene::{Edit, Heads},
        record::Recorder,
    },
    study::decoding::{AttentionScale, Decoding, FlowParams, HeadChoice, Shift, TokenClass, Unit, alignment_heads},
};

use crate::{BEAMS, dates, decoded, random};

#[test]
fn scores_and_probabilities_are_those_of_the_search() {
    let decoder = dates();
    for source in ["May 21, 2000", "14.02.98", "2011/07/03"] {
        let decoding = decoded(&decoder, source, BEAMS);
        let ids = decoder.tokenizer().prompt(source, decoder.model().info()).unwrap();
        let generation = &decoding.params.generation;
        let generator = Generator::new(decoder.model(), generation).unwrap();
        let generated = generator
            .run(&Inputs::from_ids(&[ids], 0).unwrap(), &mut (), &())
            .unwrap();
        assert_eq!(decoding.hypotheses.len(), generated[0].hypotheses.len());
        for (found, own) in decoding.hypotheses.iter().zip(&generated[0].hypotheses) {
            assert_eq!(found.row.ids, own.tokens);
            assert_eq!(found.score, own.score);
            let sum: f32 = found.steps.iter().map(|step| step.model_log_probability).sum();
            let score = sum / (own.tokens.len() as f32).powf(generation.length_penalty as f32);
            assert!((score - own.score).abs() < 1e-4, "{source}: {score} {}", own.score);
            for (step, log_probability) in found.steps.iter().zip(&own.log_probabilities) {
                assert!((step.model_log_probability - log_probability).abs() < 1e-4);
                let best = &step.top[0];
                assert!(step.rank > 1 || best.id == step.id);
                assert!(step.entropy >= 0.0 && best.log_probability >= step.model_log_probability);
            }
        }
    }
}

#[test]
fn the_tree_leads_to_every_hypothesis() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", BEAMS);
    for entry in &decoding.beam {
        let before = entry.parent.map_or(0.0, |parent| decoding.beam[parent].total);
        assert!((before + entry.log_probability - entry.total).abs() < 1e-4);
    }
    for found in &decoding.hypotheses {
        let last = *found.nodes.last().unwrap();
        assert_eq!(decoding.path(last).unwrap(), found.row.ids);
        let penalty = decoding.params.generation.length_penalty;
        assert!((decoding.rescored(last, penalty) - found.score).abs() < 1e-4);
    }
    let (joined, entries) = decoding.beam_tree(1.0, true);
    let (whole, _) = decoding.beam_tree(1.0, false);
    assert!(joined.nodes.len() <= whole.nodes.len() && whole.nodes.len() == decoding.beam.len());
    assert_eq!(entries.iter().map(Vec::len).sum::<usize>(), decoding.beam.len());
}

/// The rows of cross-attention that a search computes, step by step.
#[derive(Default)]
struct Rows(BTreeMap<usize, Vec<Vec<f32>>>);

impl Tap for Rows {
    fn wants(&self, site: Site) -> bool {
        site.attention == Attention::Cross && site.point == Point::Attention
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        let last = tensor.dim(2)? - 1;
        let row = tensor.narrow(2, last, 1)?.flatten_all()?.to_vec1()?;
        self.0.entry(site.layer).or_default().push(row);
        Ok(tensor)
    }
}

#[test]
fn attention_of_the_pass_is_that_of_the_search() {
    let decoder = dates();
    let source = "3. June, 2004";
    let decoding = decoded(&decoder, source, 1);
    let ids = decoder.tokenizer().prompt(source, decoder.model().info()).unwrap();
    let mut seen = Rows::default();
    let generator = Generator::new(decoder.model(), &decoding.params.generation).unwrap();
    generator
        .run(&Inputs::from_ids(&[ids], 0).unwrap(), &mut seen, &())
        .unwrap();
    let cross = decoding.hypotheses[0].cross.as_ref().unwrap();
    let first = decoding.prompt_tokens() - 1;
    for (layer, steps) in &seen.0 {
        assert_eq!(steps.len(), decoding.hypotheses[0].row.len());
        for (step, row) in steps.iter().enumerate() {
            for (head, weights) in row.chunks(cross.keys).enumerate() {
                let own = &cross.head(*layer, head)[(first + step) * cross.keys..][..cross.keys];
                let apart = own.iter().zip(weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-5, "L{layer} H{head} step {step}: {apart}");
            }
        }
    }
    // What is shown of a target token is the row that predicts it, or the one that reads it.
    let shown = decoding
        .attention(0, &HeadChoice::Some(vec![(1, 2)]), Shift::Read)
        .unwrap();
    assert_eq!(
        shown[..cross.keys],
        cross.head(1, 2)[(first + 1) * cross.keys..][..cross.keys]
    );
    assert!(decoding.attention(0, &HeadChoice::Layer(7), Shift::Read).is_err());
}

/// Hypotheses of unlike lengths run together, without their encoder: each is what a pass over it alone gives.
#[test]
fn hypotheses_that_run_together_are_as_each_alone() {
    let mut lengths = BTreeSet::new();
    for seed in 0..6 {
        let decoder = random(seed);
        let plain = decoded(&decoder, "w5 w6 w7", 8);
        // An edit that changes nothing has everything run again.
        let mut params = plain.params.clone();
        params.interventions = vec![
            Edit::HeadMask {
                heads: Heads::new(Attention::Cross, 0, 1),
                factor: 1.0,
            }
            .into(),
        ];
        let edited = decoder.decode("w5 w6 w7", &params, &()).unwrap();
        for decoding in [plain, edited] {
            let ids = |ids: &[u32]| Inputs::from_ids(&[ids.to_vec()], 0).unwrap();
            for found in &decoding.hypotheses {
                lengths.insert(found.row.len());
                let mut seen = Recorder::of(&[Point::Attention, Point::Hidden, Point::AttentionOutput]);
                let mut inputs = ids(&decoding.source.ids);
                inputs.decoder_input_ids = ids(&[&decoding.start.ids[..], &found.row.ids].concat()).input_ids;
                let logits = decoder.model().forward(&inputs, &mut seen).unwrap().logits.unwrap();
                let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let close = |own: &[f32], site: Site| {
                    let alone = flat(&seen.tensors[&site]);
                    let apart = own.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(own.len() == alone.len() && apart < 1e-5, "seed {seed}, {site}: {apart}");
                };
                close(
                    &found.cross.as_ref().unwrap().weights,
                    Site::new(Attention::Cross, 0, Point::Attention),
                );
                close(
                    &found.decoder_self.weights,
                    Site::new(Attention::DecoderSelf, 0, Point::Attention),
                );
                close(&found.decoder_states.values, Site::hidden(Side::Decoder, 1));
                close(
                    &found.context_states.values,
                    Site::new(Attention::Cross, 0, Point::AttentionOutput),
                );
                close(&decoding.encoder_states.values, Site::hidden(Side::Encoder, 1));
                for (step, row) in found.steps.iter().zip(flat(&logits).chunks(8)) {
                    let sum: f32 = row.iter().map(|logit| logit.exp()).sum();
                    let own = row[step.id as usize] - sum.ln();
                    assert!((step.model_log_probability - own).abs() < 1e-4);
                }
            }
        }
    }
    assert!(lengths.len() > 2, "{lengths:?}");
}

#[test]
fn words_keep_the_sums_of_attention() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let options = FlowParams {
        unit: Unit::Words,
        ..Default::default()
    };
    let units = decoding.flow_units(0, &options).unwrap();
    assert!(units.source.len() < decoding.source.len());
    for row in units.weights.chunks(units.source.len()) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
    assert_eq!(decoding.hypotheses[0].row.classes.last(), Some(&TokenClass::Special));
}

#[test]
fn only_text_is_left_of_both_sides() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let [all, text] = [false, true].map(|text_only| {
        let options = FlowParams {
            text_only,
            ..Default::default()
        };
        (
            decoding.flow_units(0, &options).unwrap(),
            decoding.attention_table(0, &options).unwrap(),
        )
    });
    let names = |groups: &[(String, Vec<usize>)]| groups.iter().map(|(name, _)| name.as_str()).collect::<String>();
    assert!(names(&all.0.target).starts_with("2000-05-21<"), "{:?}", all.0.target);
    assert_eq!(
        (names(&text.0.source), names(&text.0.target)),
        ("May212000".into(), "20000521".into())
    );
    assert_eq!((text.1.rows.len(), text.1.columns.len()), (8, 9));
    // What is left has the weights that it had.
    for (row, (_, target)) in text.0.target.iter().enumerate() {
        for (column, (_, source)) in text.0.source.iter().enumerate() {
            let before = all.0.weights[target[0] * all.0.source.len() + source[0]];
            assert_eq!(text.0.weights[row * 9 + column], before);
        }
    }
}

#[test]
fn heads_that_align_beat_permuted_targets() {
    let decoder = dates();
    let sources = [
        "May 21, 2000",
        "14.02.1998",
        "2011/07/03",
        "March 3, 2009",
        "11/30/2005",
    ];
    let decodings: Vec<Decoding> = sources.iter().map(|source| decoded(&decoder, source, 1)).collect();
    let all: Vec<&Decoding> = decodings.iter().collect();
    let heads = alignment_heads(&all, None, Shift::Predicted, 0).unwrap();
    assert_eq!(heads.len(), 8);
    assert!(heads[0].aligns && heads[0].score > 2.0 * heads[0].chance, "{heads:?}");
    assert!(heads.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert!(alignment_heads(&all, Some(&[]), Shift::Predicted, 0).is_err());
}

#[test]
fn values_weigh_attention() {
    let decoder = dates();
    let decoding = decoded(&decoder, "May 21, 2000", 1);
    let heads = HeadChoice::Some(vec![(1, 2)]);
    let plain = decoding.attention(0, &heads, Shift::Predicted).unwrap();
    let scaled = decoding
        .scaled_attention(0, &heads, Shift::Predicted, AttentionScale::ValueNorms)
        .unwrap();
    let keys = decoding.source.len();
    // Against the values that a tap sees.
    struct Values(Option<Vec<f32>>);
    impl Tap for Values {
        fn wants(&self, site: Site) -> bool {
            site == Site::new(Attention::Cross, 1, Point::Value)
        }
        fn tap(&mut self, _: Site, tensor: Tensor) -> Result<Tensor> {
            let squares = tensor.get(0)?.get(2)?.sqr()?.sum(1)?;
            self.0 = Some(squares.sqrt()?.to_vec1()?);
            Ok(tensor)
        }
    }
    let mut seen = Values(None);
    let ids = decoding.source.ids.clone();
    let mut inputs = Inputs::from_ids(&[ids], 0).unwrap();
    inputs.decoder_input_ids = Inputs::from_ids(std::slice::from_ref(&decoding.start.ids), 0)
        .unwrap()
        .input_ids;
    decoder.model().forward(&inputs, &mut seen).unwrap();
    let norms = seen.0.unwrap();
    for (row, own) in plain.chunks(keys).zip(scaled.chunks(keys)) {
        let products: Vec<f32> = row.iter().zip(&norms).map(|(weight, norm)| weight * norm).collect();
        let sum: f32 = products.iter().sum();
        for (own, product) in own.iter().zip(products) {
            assert!((own - product / sum).abs() < 1e-5);
        }
    }
}
