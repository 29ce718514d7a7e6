//! Activation patching, swept over sites and tokens (Vig et al. 2020; Meng et al. 2022, "Locating and editing factual
//! associations"): what of a difference comes back when one activation is that of another run.

use attn_core::{Progress, progress::step};
use attn_models::{
    Inputs, Model, Site, Tap,
    intervene::{Edit, Interventions, Selection},
    model::Output,
    record::Recorder,
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// One activation that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SweepCell {
    /// Where.
    pub site: Site,
    /// The token.
    pub token: usize,
    /// The measure with the activation of the other run.
    pub value: f32,
    /// Share of the difference between both runs that came back: 0 for none, 1 for all.
    pub recovered: f32,
}

/// A measure of a run with one activation after another taken from another run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// The measure of the run.
    pub base: f32,
    /// The measure of the other run.
    pub donor: f32,
    /// A cell per site and token, in their order.
    pub cells: Vec<SweepCell>,
}

impl Sweep {
    /// Replaces the activations of some tokens at every site, one at a time, by those of `donor`, a run that recorded these sites.
    /// `places` gives the tokens of a site, each with the donor's that takes its place, from the number of the donor's tokens.
    /// `measure` makes a number of the outputs; `donor_value` is that of the other run. `tap` acts before the replacement.
    ///
    /// ```
    /// use attn_core::Side;
    /// use attn_models::{Inputs, Model, Point, Site, Weights, Gradients, record::Recorder};
    /// use attn_study::decoding::Sweep;
    ///
    /// let config = r#"{"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
    ///                  "architectures": ["GPT2LMHeadModel"]}"#;
    /// let model = Model::build("tiny", config, &Weights::initialize(1), Gradients::Off)?;
    /// let (inputs, other) = (Inputs::from_ids(&[vec![5, 6, 7]], 0)?, Inputs::from_ids(&[vec![5, 9, 7]], 0)?);
    /// // The logit of token 3 after the last token.
    /// let logit = |output: &attn_models::model::Output| -> Result<f32, attn_study::Error> {
    ///     let logits = output.logits.as_ref().unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    ///     Ok(logits[2][3])
    /// };
    /// let mut donor = Recorder::of(&[Point::Hidden]);
    /// let donor_value = logit(&model.forward(&other, &mut donor)?)?;
    /// let sites = [Site::hidden(Side::Decoder, 0), Site::hidden(Side::Decoder, 2)];
    /// // Both texts have three tokens: each stands for its like.
    /// let places = |_, tokens| (0..tokens).map(|token| (token, token)).collect();
    /// let sweep = Sweep::run(&model, &inputs, &sites, &donor, &places, donor_value, &logit, &mut (), &())?;
    /// // The two texts differ at token 1, and the last state decides.
    /// assert!((sweep.cells[1].recovered - 1.0).abs() < 1e-3);
    /// assert!((sweep.cells[5].recovered - 1.0).abs() < 1e-3);
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Models`] for a site that `donor` did not record or of another shape, and those of the runs; a cancellation.
    pub fn run(
        model: &Model,
        inputs: &Inputs,
        sites: &[Site],
        donor: &Recorder,
        places: &dyn Fn(Site, usize) -> Vec<(usize, usize)>,
        donor_value: f32,
        measure: &dyn Fn(&Output) -> Result<f32, Error>,
        tap: &mut dyn Tap,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let base = measure(&model.forward(inputs, tap)?)?;
        let whole = donor_value - base;
        let mut cells = Vec::new();
        for (done, &site) in sites.iter().enumerate() {
            step(progress, "patching", done, sites.len())?;
            let tokens = match donor.tensors.get(&site) {
                Some(tensor) => tensor.dims().get(1).copied().unwrap_or(0),
                None => 1,
            };
            for (token, from) in places(site, tokens) {
                let patch = Edit::Patch {
                    site,
                    heads: Selection::All,
                    tokens: token.into(),
                    donor: 0,
                    donor_tokens: Some(vec![from]),
                };
                let mut patch = Interventions::new(model.info(), [patch.into()])?.with_donor(donor.clone());
                let value = measure(&model.forward(inputs, &mut (&mut *tap, &mut patch))?)?;
                cells.push(SweepCell {
                    site,
                    token,
                    value,
                    recovered: if whole == 0.0 { 0.0 } else { (value - base) / whole },
                });
            }
        }
        let _ = progress.update("patching", sites.len(), sites.len());
        Ok(Self {
            base,
            donor: donor_value,
            cells,
        })
    }
}
