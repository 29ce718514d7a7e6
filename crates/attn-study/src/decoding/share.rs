//! Share of the source in each target token, and coverage of the source: signs of hallucination and omission (Voita et al. 2021,
//! "Analyzing the source and target contributions to predictions").

use attn_core::{Progress, progress::step};
use attn_models::{
    Inputs,
    attribute::{Target, input_gradients},
};

use super::{Decoder, Decoding, edits::Edits};
use crate::Error;

/// Target tokens of one backward pass: a copy of the input each.
const TOGETHER: usize = 8;

impl Decoder {
    /// Computes [`source_share`](super::DecodedStep::source_share) and [`coverage`](super::DecodedHypothesis::coverage) of a
    /// hypothesis by |input x gradient| of the logit of each token.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], those of the passes, and a cancellation.
    pub fn add_shares(&self, decoding: &mut Decoding, hypothesis: usize, progress: &dyn Progress) -> Result<(), Error> {
        let ids = decoding.hypothesis(hypothesis)?.row.ids.clone();
        let source = decoding.source.len();
        let prompt = if decoding.encoder_decoder {
            decoding.start.ids.clone()
        } else {
            decoding.source.ids.clone()
        };
        // The last token predicts nothing that is asked for.
        let before = ids.get(..ids.len().saturating_sub(1)).unwrap_or_default();
        let reading = self.reading(&decoding.source.ids, &prompt, before);
        let (info, fault) = (self.model().info(), self.fault());
        let mut coverage = vec![0.0_f64; source];
        let mut shares = Vec::with_capacity(ids.len());
        let steps: Vec<usize> = (0..ids.len())
            .filter(|at| prompt.len() + at <= reading.tokens.len())
            .collect();
        for (done, chunk) in steps.chunks(TOGETHER).enumerate() {
            step(progress, "source shares", done * TOGETHER, ids.len())?;
            let copies = vec![reading.tokens.clone(); chunk.len()];
            let mut inputs = Inputs::from_ids(&copies, 0)?;
            if decoding.encoder_decoder {
                let tokens = inputs.input_ids.take();
                inputs = Inputs::from_ids(&vec![reading.source.clone(); chunk.len()], 0)?;
                inputs.decoder_input_ids = tokens;
            }
            let targets: Vec<Target> = chunk
                .iter()
                .map(|&at| Target::Token {
                    position: (prompt.len() + at).saturating_sub(1),
                    token: ids[at],
                })
                .collect();
            let mut tap = (
                Edits::new(info, &fault.edits, self.fault_donors()),
                Edits::new(info, &decoding.params.interventions, &[]),
            );
            let scores = input_gradients(self.model(), &inputs, &targets, &mut tap)?.times_input_absolute()?;
            for found in scores {
                let (from_source, prefix): (&[f32], &[f32]) = if decoding.encoder_decoder {
                    (&found.encoder, &found.decoder)
                } else {
                    found.decoder.split_at(source.min(found.decoder.len()))
                };
                let sum = |scores: &[f32]| scores.iter().map(|&score| f64::from(score)).sum::<f64>();
                let (own, all) = (sum(from_source), sum(from_source) + sum(prefix));
                let all = if all > 0.0 { all } else { 1.0 };
                shares.push((own / all) as f32);
                for (cover, score) in coverage.iter_mut().zip(from_source) {
                    *cover += f64::from(*score) / all;
                }
            }
        }
        let _ = progress.update("source shares", ids.len(), ids.len());
        if let Some(found) = decoding.hypotheses.get_mut(hypothesis) {
            for (step, share) in found.steps.iter_mut().zip(shares) {
                step.source_share = Some(share);
            }
            found.coverage = Some(coverage.into_iter().map(|cover| cover as f32).collect());
        }
        Ok(())
    }
}
