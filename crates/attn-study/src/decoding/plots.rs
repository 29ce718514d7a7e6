//! Plots of a decoding: each owns its data.

use attn_core::{Attention, HeadId, format::number};
use attn_render::plots::{
    BeamNode, BeamSum, BeamTree, CrossFlow, HeadCells, HeadGrid, HeadPattern, HeatTable, Lines, Predicted,
    PredictedStep, Predictions, SentenceToken, Series, Texts,
};
use serde::{Deserialize, Serialize};

use super::{
    AttentionScale, Decoding, EntryFate, HeadChoice, Shift, TokenRow,
    attention::grouped,
    tree::{Nodes, collapse},
};
use crate::Error;

/// Entries above which a joined beam tree leaves out what was pruned.
const LARGE_TREE: usize = 1_000;

/// What is drawn as one: a piece of the tokenizer, or a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Pieces of the tokenizer.
    #[default]
    Pieces,
    /// Words: weights of pieces are added on the source side, averaged on the target side.
    Words,
}

/// What the ends of a flow are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlowUnits {
    /// Source units: their texts and tokens.
    pub source: Vec<(String, Vec<usize>)>,
    /// Target units: their texts and tokens.
    pub target: Vec<(String, Vec<usize>)>,
    /// Weights `[target, source]`.
    pub weights: Vec<f32>,
}

/// What an attention flow shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowParams {
    /// Whose attention. Default: the mean of all heads.
    pub heads: HeadChoice,
    /// Which step belongs to a target token. Default: the one that predicts it.
    pub shift: Shift,
    /// Pieces or words. Default: pieces.
    pub unit: Unit,
    /// Share of each step's mass that its edges cover. Default 0.75.
    pub share: f32,
    /// Leaves out tokens of the format and punctuation, of source and target. Default: no.
    pub text_only: bool,
    /// What the weights are multiplied by. Default: nothing.
    #[serde(default)]
    pub scale: AttentionScale,
}

impl Default for FlowParams {
    fn default() -> Self {
        Self {
            heads: HeadChoice::All,
            shift: Shift::Predicted,
            unit: Unit::Pieces,
            share: 0.75,
            text_only: false,
            scale: AttentionScale::Weights,
        }
    }
}

/// Heads that a choice names.
const NAMED: usize = 6;

impl HeadChoice {
    /// The choice in words.
    pub fn describe(&self) -> String {
        match self {
            Self::All => "mean of all heads".into(),
            Self::Layer(layer) => format!("mean of the heads of layer {layer}"),
            Self::Some(heads) => {
                let names = heads.iter().map(|(layer, head)| format!("L{layer} H{head}"));
                let names: Vec<String> = names.take(NAMED).collect();
                match heads.len() {
                    some if some > NAMED => format!("mean of {some} heads: {}, ...", names.join(", ")),
                    _ => format!("mean of {}", names.join(", ")),
                }
            }
        }
    }
}

impl Decoding {
    /// Source and target in one line, for subtitles.
    pub fn headline(&self, hypothesis: usize) -> String {
        let target = self
            .hypotheses
            .get(hypothesis)
            .map_or("", |found| found.row.text.as_str());
        format!("{}: {} → {}", self.model, self.source.text, target)
    }

    /// Source and target units of a flow, and the weights between them.
    ///
    /// # Errors
    /// As [`attention`](Self::attention).
    pub fn flow_units(&self, hypothesis: usize, options: &FlowParams) -> Result<FlowUnits, Error> {
        let pieces = self.scaled_attention(hypothesis, &options.heads, options.shift, options.scale)?;
        let groups = |row: &TokenRow| match options.unit {
            Unit::Words => row.word_groups(),
            Unit::Pieces => row.piece_groups(),
        };
        let row = &self.hypothesis(hypothesis)?.row;
        let (mut source, mut target) = (groups(&self.source), groups(row));
        if options.text_only {
            for (groups, row) in [(&mut source, &self.source), (&mut target, row)] {
                groups.retain(|(name, members)| {
                    members.iter().all(|&token| row.is_text(token)) && name.chars().any(char::is_alphanumeric)
                });
            }
        }
        let weights = grouped(&pieces, self.source.len(), &target, &source);
        Ok(FlowUnits {
            source,
            target,
            weights,
        })
    }

    /// Attention of each target token over the source, as a flow.
    ///
    /// # Errors
    /// As [`attention`](Self::attention).
    pub fn flow(&self, hypothesis: usize, options: &FlowParams) -> Result<CrossFlow, Error> {
        let FlowUnits {
            source,
            target,
            weights,
        } = self.flow_units(hypothesis, options)?;
        let tokens = |groups: &[(String, Vec<usize>)], row: &TokenRow| -> Vec<SentenceToken> {
            let token = |(name, members): &(String, Vec<usize>)| {
                SentenceToken::new(name.as_str(), !members.iter().all(|&token| row.is_text(token)))
            };
            groups.iter().map(token).collect()
        };
        let row = &self.hypothesis(hypothesis)?.row;
        let shifted = match options.shift {
            Shift::Predicted => "",
            Shift::Read => ", at the step that reads the token",
        };
        let scaled = match options.scale {
            AttentionScale::Weights => "",
            AttentionScale::ValueNorms => ", weighted by value norms",
            AttentionScale::OutputNorms => ", weighted by output norms",
        };
        Ok(CrossFlow {
            title: "Attention over the source".into(),
            subtitle: format!(
                "{}; {}{shifted}{scaled}",
                self.headline(hypothesis),
                options.heads.describe()
            ),
            share: options.share,
            ..CrossFlow::new(tokens(&source, &self.source), tokens(&target, row), weights)
        })
    }

    /// The same weights as a table, a row per target token.
    ///
    /// # Errors
    /// As [`attention`](Self::attention).
    pub fn attention_table(&self, hypothesis: usize, options: &FlowParams) -> Result<HeatTable, Error> {
        let FlowUnits {
            source,
            target,
            weights,
        } = self.flow_units(hypothesis, options)?;
        let names = |groups: Vec<(String, Vec<usize>)>| groups.into_iter().map(|(name, _)| name).collect::<Texts>();
        Ok(HeatTable {
            title: "Attention over the source".into(),
            subtitle: format!("{}; {}", self.headline(hypothesis), options.heads.describe()),
            caption: "Rows: target tokens. Columns: source tokens.".into(),
            what: "attention".into(),
            range: Some([0.0, 1.0]),
            ..HeatTable::new(names(target), names(source), weights)
        })
    }

    /// The attention pattern of every head: cross-attention, or self-attention of a decoder-only model.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`].
    pub fn head_patterns(&self, hypothesis: usize) -> Result<HeadGrid, Error> {
        let found = self.hypothesis(hypothesis)?;
        let (attention, all) = match &found.cross {
            Some(cross) => (Attention::Cross, cross),
            None => (Attention::DecoderSelf, &found.decoder_self),
        };
        let heads: Vec<(usize, usize)> = all.every_head().collect();
        let pattern = |&(layer, head): &(usize, usize)| HeadPattern {
            weights: self
                .target_rows(all.head(layer, head), all, found.row.len(), Shift::Predicted)
                .into(),
            queries: found.row.len(),
            keys: self.source.len(),
        };
        let patterns = heads.iter().map(pattern).collect();
        let ids = heads.iter().map(|&(layer, head)| HeadId::new(attention, layer, head));
        Ok(HeadGrid {
            title: "Attention of every head over the source".into(),
            subtitle: self.headline(hypothesis),
            caption: "Each cell is a head: target tokens from top to bottom, source tokens from left to right.".into(),
            what: "attention".into(),
            ..HeadGrid::new(ids.collect(), HeadCells::Patterns(patterns))
        })
    }

    /// The alignment score of every head; `None` if heads were not scored.
    pub fn alignment_grid(&self) -> Option<HeadGrid> {
        if self.alignment_heads.is_empty() {
            return None;
        }
        let attention = if self.encoder_decoder {
            Attention::Cross
        } else {
            Attention::DecoderSelf
        };
        let heads = self.alignment_heads.iter();
        let ids = heads
            .map(|head| HeadId::new(attention, head.layer, head.head))
            .collect();
        let scores: Vec<f32> = self.alignment_heads.iter().map(|head| head.score as f32).collect();
        let chance = self.alignment_heads.iter().map(|head| head.chance).sum::<f64>() / scores.len() as f64;
        let found: Vec<String> = self
            .alignment_heads
            .iter()
            .filter(|head| head.aligns)
            .map(|head| format!("L{} H{}", head.layer, head.head))
            .collect();
        let found = match found.as_slice() {
            [] => "none".to_owned(),
            some => some.join(", "),
        };
        Some(HeadGrid {
            title: "Alignment of source and target by head".into(),
            subtitle: format!("{}; heads that align: {found}", self.model),
            caption: format!(
                "Agreement of the strongest links of each head with the alignment. Permuted targets: {chance:.2}."
            ),
            what: "score".into(),
            ..HeadGrid::new(ids, HeadCells::Values(scores.into()))
        })
    }

    /// The beam tree with the scores of a length penalty; `join` makes one node of each run without branching, and leaves out
    /// what was pruned from a tree of more than 1,000 entries. With it come the entries of [`beam`](Self::beam) that each node
    /// stands for.
    pub fn beam_tree(&self, length_penalty: f64, join: bool) -> (BeamTree, Vec<Vec<usize>>) {
        let large = self.beam.len() > LARGE_TREE;
        let tree = collapse(
            &self.beam,
            match join {
                true if large => Nodes::KeptRuns,
                true => Nodes::Runs,
                false => Nodes::Entries,
            },
        );
        let pruned = self.beam.iter().filter(|entry| entry.fate == EntryFate::Pruned).count();
        let left_out = match pruned {
            pruned if join && large && pruned > 0 => format!("; {pruned} pruned tokens are left out"),
            _ => String::new(),
        };
        let words = |entries: &[usize]| {
            let tokens = entries.iter().map(|&entry| self.beam[entry].token.as_str());
            let letters = tokens.clone().all(|token| token.chars().count() <= 1);
            tokens.collect::<Vec<_>>().join(if letters { "" } else { " " })
        };
        let nodes: Vec<BeamNode> = tree
            .nodes
            .iter()
            .zip(&tree.parents)
            .map(|(entries, parent)| {
                let last = entries.last().copied().unwrap_or_default();
                let fate = self.beam[last].fate;
                BeamNode {
                    parent: *parent,
                    token: words(entries),
                    score: self.rescored(last, length_penalty),
                    kept: fate != EntryFate::Pruned,
                    finished: fate == EntryFate::Finished,
                }
            })
            .collect();
        let sum = |entries: &Vec<usize>| {
            let last = entries.last().and_then(|last| self.beam.get(*last));
            BeamSum {
                own: entries.iter().map(|entry| self.beam[*entry].log_probability).sum(),
                total: last.map_or(0.0, |last| last.total),
                tokens: last.map_or(0, |last| last.step + 1),
                length_penalty,
            }
        };
        let sums: Vec<BeamSum> = tree.nodes.iter().map(sum).collect();
        let winner = self.best_finished(length_penalty).map(|entry| tree.node_of[entry]);
        let beams = self.params.generation.beams;
        let plot = BeamTree {
            subtitle: format!(
                "{}; {beams} {}, length penalty {length_penalty}{left_out}",
                self.headline(0),
                if beams == 1 { "beam" } else { "beams" }
            ),
            winner,
            sums: sums.into(),
            ..BeamTree::new(nodes)
        };
        (plot, tree.nodes)
    }

    /// The last entry of the finished hypothesis that has the best score with a length penalty, those that the search dropped
    /// included; of the hypotheses as they are if none finished.
    pub fn best_finished(&self, length_penalty: f64) -> Option<usize> {
        let finished = (0..self.beam.len()).filter(|&at| self.beam[at].fate == EntryFate::Finished);
        let mut ends: Vec<usize> = finished.collect();
        if ends.is_empty() {
            ends = self
                .hypotheses
                .iter()
                .filter_map(|found| found.nodes.last().copied())
                .collect();
        }
        let mut best: Option<(usize, f32)> = None;
        for end in ends {
            let score = self.rescored(end, length_penalty);
            if best.is_none_or(|(_, most)| score > most) {
                best = Some((end, score));
            }
        }
        best.map(|(end, _)| end)
    }

    /// The most likely tokens of every step.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`].
    pub fn predictions(&self, hypothesis: usize) -> Result<Predictions, Error> {
        let found = self.hypothesis(hypothesis)?;
        let token = |text: &str, log_probability: f32| Predicted {
            token: text.into(),
            probability: log_probability.exp(),
        };
        let steps = found.steps.iter().enumerate().map(|(at, step)| PredictedStep {
            chosen: token(&step.token, step.model_log_probability),
            special: !found.row.is_text(at),
            entropy: step.entropy,
            top: step
                .top
                .iter()
                .map(|other| token(&other.token, other.log_probability))
                .collect(),
        });
        let steps: Vec<PredictedStep> = steps.collect();
        Ok(Predictions {
            subtitle: format!("{}; score {}", self.headline(hypothesis), number(found.score)),
            ..Predictions::new(steps)
        })
    }

    /// Probability of each token, and the share of the source in it where it was computed, over the steps.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`].
    pub fn curves(&self, hypothesis: usize) -> Result<Lines, Error> {
        let found = self.hypothesis(hypothesis)?;
        let at: Vec<f32> = (1..=found.steps.len()).map(|step| step as f32).collect();
        let series = |name: &str, class: usize, values: Vec<f32>| Series {
            name: name.into(),
            values: values.into(),
            class,
            broken: false,
            ..Series::default()
        };
        let probability = found.steps.iter().map(|step| step.model_log_probability.exp());
        let mut all = vec![series("probability", 0, probability.collect())];
        let shares: Option<Vec<f32>> = found.steps.iter().map(|step| step.source_share).collect();
        all.extend(shares.map(|shares| series("source share", 1, shares)));
        Ok(Lines {
            title: "Probability and source share of each token".into(),
            subtitle: self.headline(hypothesis),
            caption:
                "Source share: what the token rests on in the source, against source and prefix (|input x gradient|)."
                    .into(),
            across: "step".into(),
            up: "share".into(),
            at: at.into(),
            series: all,
            range: Some([0.0, 1.0]),
        })
    }

    /// Coverage of each source token; `None` if it was not computed.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`].
    pub fn coverage_table(&self, hypothesis: usize) -> Result<Option<HeatTable>, Error> {
        let found = self.hypothesis(hypothesis)?;
        Ok(found.coverage.as_ref().map(|coverage| HeatTable {
            title: "Coverage of the source".into(),
            subtitle: self.headline(hypothesis),
            caption: "Sum over the target tokens of what each source token gave to them. Low: left out.".into(),
            what: "coverage".into(),
            range: Some([0.0, coverage.iter().copied().fold(0.0, f32::max)]),
            ..HeatTable::new(["coverage"], self.source.tokens.as_slice(), coverage.as_slice())
        }))
    }
}
