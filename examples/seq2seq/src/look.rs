//! What is set and how runs are looked at: one value, which undo goes back through and a session keeps.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use attn_egui::{FoldPanel, fold_panel::Edge};
use attn_sdk::{
    render::{Undoable, ViewState},
    study::decoding::{Decoding, DecodingParams, FlowParams, StateKind},
};
use serde::{Deserialize, Serialize};

use crate::{options::Options, views::Tab};

/// Whose attention is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Chosen {
    All,
    Aligning,
    Layer(usize),
    Some,
}

/// The cameras of the plots. What they share is in [`Look::view`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cameras {
    pub(crate) attention: ViewState,
    /// Of the compared run.
    pub(crate) compared: ViewState,
    pub(crate) predictions: ViewState,
    pub(crate) detail: ViewState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Look {
    /// The runs that are listed, oldest first. Those that were undone or removed are not.
    pub(crate) listed: Vec<usize>,
    /// The run that is shown, and the one that it is compared with.
    pub(crate) shown: usize,
    pub(crate) against: Option<usize>,
    pub(crate) hypothesis: usize,
    /// The hypotheses chosen in other runs.
    #[serde(default)]
    pub(crate) others: BTreeMap<usize, usize>,
    /// What is typed.
    pub(crate) source: String,
    pub(crate) prefix: String,
    pub(crate) expected: String,
    pub(crate) word: String,
    pub(crate) params: DecodingParams,
    /// The length penalty with which the stored tree is scored.
    pub(crate) penalty: f64,
    pub(crate) chosen: Chosen,
    /// For [`Chosen::Some`], as layer and head.
    pub(crate) heads: BTreeSet<(usize, usize)>,
    pub(crate) flow: FlowParams,
    /// Token of the source, and step of the target, that are edited.
    pub(crate) token: usize,
    pub(crate) step: usize,
    /// Weights of the edited step, one per source token.
    pub(crate) weights: Vec<f32>,
    /// The kind of state that is taken from the compared run.
    pub(crate) patched: StateKind,
    pub(crate) tab: Tab,
    /// Draws states by position instead of on the map.
    #[serde(default)]
    pub(crate) by_position: bool,
    /// Theme and palette.
    pub(crate) view: ViewState,
    pub(crate) cameras: Cameras,
}

impl Undoable for Look {
    fn only_moved(&self, before: &Self) -> bool {
        let still = Self {
            cameras: before.cameras.clone(),
            ..self.clone()
        };
        still == *before
    }
}

impl Look {
    pub(crate) fn new(source: String, prefix: String, params: DecodingParams, view: ViewState) -> Self {
        Self {
            listed: Vec::new(),
            shown: 0,
            against: None,
            hypothesis: 0,
            others: BTreeMap::new(),
            source,
            prefix,
            expected: String::new(),
            word: String::new(),
            penalty: params.generation.length_penalty,
            params,
            chosen: Chosen::All,
            heads: BTreeSet::new(),
            flow: FlowParams::default(),
            token: 0,
            step: 0,
            weights: Vec::new(),
            patched: StateKind::Encoder,
            tab: Tab::Beam,
            by_position: false,
            view,
            cameras: Cameras::default(),
        }
    }

    /// Shows another run, at the hypothesis that was chosen in it.
    pub(crate) fn show(&mut self, run: usize) {
        self.others.insert(self.shown, self.hypothesis);
        self.shown = run;
        self.hypothesis = self.others.remove(&run).unwrap_or(0);
    }

    /// The hypothesis of the compared run.
    pub(crate) fn compared_hypothesis(&self) -> usize {
        let chosen = self.against.and_then(|run| self.others.get(&run));
        chosen.copied().unwrap_or(0)
    }

    /// Holds a look of a file to the runs that came with it.
    pub(crate) fn hold_to(&mut self, runs: &[&Decoding]) {
        self.listed.retain(|run| *run < runs.len());
        self.listed.sort_unstable();
        self.listed.dedup();
        if self.listed.is_empty() {
            self.listed = (0..runs.len()).collect();
        }
        if !self.listed.contains(&self.shown) {
            self.shown = self.listed.first().copied().unwrap_or(0);
        }
        self.against = self.against.filter(|run| self.listed.contains(run));
        self.others.retain(|run, hypothesis| {
            let found = runs.get(*run).map(|run| run.hypotheses.len());
            *run != self.shown && found.is_some_and(|found| *hypothesis < found)
        });
        let Some(run) = runs.get(self.shown) else { return };
        self.hypothesis = self.hypothesis.min(run.hypotheses.len().saturating_sub(1));
        if let Some(found) = run.hypotheses.first() {
            let all = found.cross.as_ref().unwrap_or(&found.decoder_self);
            self.heads
                .retain(|(layer, head)| *layer < all.layers && *head < all.heads);
            if matches!(self.chosen, Chosen::Layer(layer) if layer >= all.layers) {
                self.chosen = Chosen::All;
            }
        }
        let steps = run.hypotheses.get(self.hypothesis).map_or(0, |found| found.row.len());
        self.step = self.step.min(steps.saturating_sub(1));
        self.token = self.token.min(run.source.len().saturating_sub(1));
        if self.weights.len() != run.source.len() {
            self.weights.clear();
        }
    }
}

/// The panels that fold. What is between them is attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Panels {
    pub(crate) settings: FoldPanel,
    pub(crate) experiments: FoldPanel,
    pub(crate) predictions: FoldPanel,
    pub(crate) detail: FoldPanel,
}

impl Default for Panels {
    fn default() -> Self {
        Self {
            settings: FoldPanel::new(Edge::Left, 290.0),
            experiments: FoldPanel::new(Edge::Right, 290.0).at_most(0.4),
            predictions: FoldPanel::new(Edge::Bottom, 250.0).at_most(0.55),
            detail: FoldPanel::new(Edge::Bottom, 330.0).at_most(0.8),
        }
    }
}

/// What the runs of a window were made with: a session names it, so that decoding can go on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Origin {
    /// Folder or hub name; `None` for the embedded dates.
    pub(crate) model: Option<PathBuf>,
    pub(crate) index: Option<PathBuf>,
    pub(crate) fault: Option<PathBuf>,
}

impl Origin {
    pub(crate) fn of(options: &Options) -> Self {
        // A name of the hub is no path.
        let whole = |path: &Option<PathBuf>| {
            let path = path.as_deref()?;
            Some(if path.exists() {
                std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
            } else {
                path.to_owned()
            })
        };
        Self {
            model: whole(&options.model),
            index: whole(&options.index),
            fault: whole(&options.fault),
        }
    }

    /// The same, with what moved together with the session found beside it.
    pub(crate) fn beside(self, session: &Path) -> Self {
        let folder = session.parent().unwrap_or(Path::new(""));
        let found = |path: Option<PathBuf>| {
            let path = path?;
            let near = path.file_name().map(|name| folder.join(name));
            Some(near.filter(|near| !path.exists() && near.exists()).unwrap_or(path))
        };
        Self {
            model: found(self.model),
            index: found(self.index),
            fault: found(self.fault),
        }
    }

    /// The options that make it again.
    pub(crate) fn options(&self, options: &Options) -> Options {
        Options {
            model: self.model.clone(),
            index: self.index.clone(),
            fault: self.fault.clone(),
            open: None,
            ..options.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use attn_sdk::{embedded, study::decoding::Decoder};

    use super::*;

    #[test]
    fn every_run_keeps_its_hypothesis() {
        let decoder = Decoder::load(&embedded::DATES.checkpoint().unwrap()).unwrap();
        let mut look = Look::new(String::new(), String::new(), decoder.params(), ViewState::default());
        look.hypothesis = 2;
        look.show(1);
        look.against = Some(0);
        assert_eq!((look.hypothesis, look.compared_hypothesis()), (0, 2));
        look.hypothesis = 1;
        look.show(0);
        look.against = Some(1);
        assert_eq!((look.hypothesis, look.compared_hypothesis()), (2, 1));
        // The same run again.
        look.show(0);
        assert_eq!(look.hypothesis, 2);
        let saved: Look = serde_json::from_str(&serde_json::to_string(&look).unwrap()).unwrap();
        assert_eq!(saved, look);
    }
}
