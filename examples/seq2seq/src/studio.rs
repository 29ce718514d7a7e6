//! The side panel: source, settings, heads, experiments; and what each of them starts. The plots are in `views.rs`.

use std::{collections::BTreeSet, path::PathBuf};

use attn_egui::{Exports, Jobs, apply_theme, egui_color, egui_wgpu::RenderState, export_menu, theme_switch};
use attn_sdk::{
    Progress,
    models::generate::Sampling,
    render::{Format, ViewState},
    study::decoding::{
        AlignmentHead, BlameKind, BlameParams, Decoder, Decoding, DecodingParams, FlowOptions, HeadChoice, NearWord,
        Shift, Stage, Unit,
    },
};
use eframe::egui::{
    Button, CentralPanel, ComboBox, DragValue, Frame, Grid, Panel, RichText, ScrollArea, Slider, TextEdit, Ui,
};

use crate::{
    session,
    views::{Tab, Views},
    window::News,
};

/// Near words that are offered for a source token.
const NEAR: usize = 8;
/// Columns of the grid of heads.
const COLUMNS: usize = 8;

/// A run, what it was made from, and what was done.
pub(crate) struct Experiment {
    pub(crate) decoding: Decoding,
    pub(crate) parent: Option<usize>,
    pub(crate) label: String,
}

/// Whose attention is shown.
#[derive(Clone, Copy, PartialEq)]
enum Chosen {
    All,
    Aligning,
    Layer(usize),
    Some,
}

pub(crate) struct Studio {
    /// The model; `None` for a saved run.
    decoder: Option<Decoder>,
    params: DecodingParams,
    source: String,
    prefix: String,
    pub(crate) expected: String,
    pub(crate) runs: Vec<Experiment>,
    /// The run that is shown, and the one that it is compared with.
    pub(crate) shown: usize,
    pub(crate) against: Option<usize>,
    pub(crate) hypothesis: usize,
    pub(crate) flow: FlowOptions,
    /// The length penalty with which the stored tree is scored.
    pub(crate) penalty: f64,
    chosen: Chosen,
    heads: BTreeSet<(usize, usize)>,
    aligning: Vec<AlignmentHead>,
    languages: Vec<(String, u32)>,
    /// Weights of the edited step, one per source token.
    step: usize,
    weights: Vec<f32>,
    token: usize,
    near: Vec<NearWord>,
    failure: String,
    exports: Exports,
    pub(crate) views: Views,
}

impl Studio {
    pub(crate) fn new(
        (decoder, params, source): (Option<Decoder>, DecodingParams, String),
        view: &ViewState,
        out: PathBuf,
        state: &RenderState,
    ) -> Self {
        let prefix = decoder
            .as_ref()
            .map(|decoder| decoder.tokenizer().decode(&params.generation.prefix));
        let prefix = prefix.and_then(Result::ok).unwrap_or_default();
        Self {
            languages: decoder.as_ref().map(Decoder::languages).unwrap_or_default(),
            penalty: params.generation.length_penalty,
            decoder,
            params,
            source,
            prefix,
            expected: String::new(),
            runs: Vec::new(),
            shown: 0,
            against: None,
            hypothesis: 0,
            flow: FlowOptions::default(),
            chosen: Chosen::All,
            heads: BTreeSet::new(),
            aligning: Vec::new(),
            step: 0,
            weights: Vec::new(),
            token: 0,
            near: Vec::new(),
            failure: String::new(),
            exports: Exports::new(out),
            views: Views::new(view, state),
        }
    }

    pub(crate) fn take(&mut self, news: News) {
        match news {
            News::Run(decoding, parent, label) => {
                let mut decoding = *decoding;
                decoding.alignment_heads.clone_from(&self.aligning);
                self.runs.push(Experiment {
                    decoding,
                    parent,
                    label,
                });
                self.failure.clear();
                self.show(self.runs.len() - 1);
                self.against = parent;
            }
            News::Heads(heads) => {
                for run in &mut self.runs {
                    run.decoding.alignment_heads.clone_from(&heads);
                }
                self.aligning = heads;
                self.choose();
            }
            News::Blame(run, blame) => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.decoding.blame = Some(*blame);
                    self.views.tab = Tab::Blame;
                    self.views.invalidate();
                }
            }
            News::Loaded(_) | News::Opened(_) => {}
        }
    }

    /// Takes over saved runs.
    pub(crate) fn open(&mut self, runs: Vec<Decoding>) {
        for decoding in runs {
            self.aligning.clone_from(&decoding.alignment_heads);
            self.runs.push(Experiment {
                label: decoding.source.text.clone(),
                decoding,
                parent: None,
            });
        }
        self.show(0);
    }

    pub(crate) fn fail(&mut self, why: String) {
        self.failure = why;
    }

    fn show(&mut self, run: usize) {
        self.shown = run;
        self.hypothesis = 0;
        self.near.clear();
        self.reset_weights();
        self.choose();
        self.views.invalidate();
    }

    pub(crate) fn run(&self) -> Option<&Experiment> {
        self.runs.get(self.shown)
    }

    /// Takes over the chosen heads.
    fn choose(&mut self) {
        self.flow.heads = match self.chosen {
            Chosen::All => HeadChoice::All,
            Chosen::Aligning => self.run().map_or(HeadChoice::All, |run| run.decoding.aligning()),
            Chosen::Layer(layer) => HeadChoice::Layer(layer),
            Chosen::Some if self.heads.is_empty() => HeadChoice::All,
            Chosen::Some => HeadChoice::Some(self.heads.iter().copied().collect()),
        };
    }

    /// The weights of the edited step as they are.
    fn reset_weights(&mut self) {
        let Some(run) = self.runs.get(self.shown) else { return };
        let keys = run.decoding.source.len();
        let rows = run
            .decoding
            .attention(self.hypothesis, &HeadChoice::All, Shift::Predicted);
        let rows = rows.unwrap_or_default();
        let steps = run
            .decoding
            .hypotheses
            .get(self.hypothesis)
            .map_or(0, |found| found.row.len());
        self.step = self.step.min(steps.saturating_sub(1));
        self.weights = rows
            .chunks(keys.max(1))
            .nth(self.step)
            .map(<[f32]>::to_vec)
            .unwrap_or_default();
    }

    /// Starts work that ends in a run.
    fn start(
        &self,
        jobs: &Jobs<News>,
        parent: Option<usize>,
        label: String,
        work: impl FnOnce(&Decoder, &dyn Progress) -> Result<Decoding, attn_sdk::Error> + Send + 'static,
    ) {
        let Some(decoder) = self.decoder.clone() else { return };
        jobs.start("decode", move |job| {
            let decoding = work(&decoder, job)?;
            job.send(News::Run(Box::new(decoding), parent, label));
            Ok(())
        });
    }

    /// Decodes the source that is written.
    pub(crate) fn decode(&mut self, jobs: &Jobs<News>) {
        let mut params = self.params.clone();
        params.shares = 1;
        if params.generation.sampling.is_some() {
            params.generation.beams = 1;
        }
        params.generation.length_penalty = self.penalty;
        let prefix = self.prefix.trim().to_owned();
        let source = self.source.clone();
        let label = if prefix.is_empty() {
            source.clone()
        } else {
            format!("{source} [{prefix} ...]")
        };
        let parent = self.run().map(|_| self.shown);
        self.start(jobs, parent, label, move |decoder, progress| {
            params.generation.prefix = if prefix.is_empty() {
                Vec::new()
            } else {
                decoder.tokenizer().plain_ids(&prefix, decoder.model().info())?
            };
            decoder.decode(&source, &params, progress)
        });
    }

    /// Goes on from a node of the tree.
    pub(crate) fn continued(&self, jobs: &Jobs<News>, entry: usize) {
        let Some(run) = self.run() else { return };
        let decoding = run.decoding.clone();
        let text = decoding.beam.get(entry).map_or("", |entry| entry.token.as_str());
        let step = decoding.beam.get(entry).map_or(0, |entry| entry.step + 1);
        let label = format!("\"{text}\" at step {step}");
        self.start(jobs, Some(self.shown), label, move |decoder, progress| {
            decoder.continued(&decoding, entry, progress)
        });
    }

    /// Goes on with another token at a step.
    pub(crate) fn replaced(&self, jobs: &Jobs<News>, step: usize, token: u32, text: &str) {
        let Some(run) = self.run() else { return };
        let (decoding, hypothesis) = (run.decoding.clone(), self.hypothesis);
        let label = format!("\"{text}\" at step {}", step + 1);
        self.start(jobs, Some(self.shown), label, move |decoder, progress| {
            decoder.replaced(&decoding, hypothesis, step, token, progress)
        });
    }

    /// Decodes again with the edited weights.
    fn edited(&self, jobs: &Jobs<News>) {
        let Some(run) = self.run() else { return };
        let (decoding, hypothesis, step) = (run.decoding.clone(), self.hypothesis, self.step);
        let (weights, heads) = (self.weights.clone(), self.flow.heads.clone());
        let label = format!("attention at step {}", step + 1);
        self.start(jobs, Some(self.shown), label, move |decoder, progress| {
            let edits = decoding.attention_edits(step, &heads, &weights)?;
            decoder.edited(&decoding, hypothesis, step, &edits, progress)
        });
    }

    fn blame(&self, jobs: &Jobs<News>) {
        let Some(run) = self.run() else { return };
        let Some(decoder) = self.decoder.clone() else { return };
        let (expected, shown) = (self.expected.clone(), self.shown);
        let (source, params) = (run.decoding.source.text.clone(), run.decoding.params.clone());
        jobs.start("blame", move |job| {
            let settings = BlameParams {
                references: session::dates().collect(),
                ..BlameParams::default()
            };
            let blame = decoder.blame(&source, &expected, &params, &settings, job)?;
            job.send(News::Blame(shown, Box::new(blame)));
            Ok(())
        });
    }

    pub(crate) fn ui(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        apply_theme(ui.ctx(), &self.views.view);
        Panel::top("tools").show(ui, |ui| {
            ui.horizontal_wrapped(|ui| self.tools(ui));
        });
        Panel::left("controls").default_size(330.0).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            ScrollArea::vertical()
                .id_salt("controls")
                .auto_shrink(false)
                .show(ui, |ui| self.controls(ui, jobs));
        });
        let ground = egui_color(self.views.view.colors().background);
        CentralPanel::default()
            .frame(Frame::NONE.fill(ground))
            .show(ui, |ui| self.plots(ui, jobs));
    }

    fn tools(&mut self, ui: &mut Ui) {
        let name = self.runs.get(self.shown).map_or("", |run| run.decoding.model.as_str());
        ui.label(RichText::new(name).strong());
        ui.separator();
        if let Some(run) = self.runs.get(self.shown) {
            let count = run.decoding.hypotheses.len();
            let mut hypothesis = self.hypothesis;
            let name = |at: usize| {
                let found = run.decoding.hypotheses.get(at);
                found.map_or(String::new(), |found| {
                    format!("{} ({:.3})", found.row.text, found.score)
                })
            };
            ComboBox::from_id_salt("hypothesis")
                .selected_text(name(hypothesis))
                .width(220.0)
                .show_ui(ui, |ui| {
                    for at in 0..count {
                        ui.selectable_value(&mut hypothesis, at, name(at));
                    }
                });
            if hypothesis != self.hypothesis {
                self.hypothesis = hypothesis;
                self.reset_weights();
                self.views.invalidate();
            }
            ui.separator();
        }
        theme_switch(ui, &mut self.views.view);
        if let Some(format) = export_menu(ui, &Format::ALL) {
            self.export(format);
        }
        self.exports.show(ui);
    }

    /// Writes every plot of the shown run, and the run itself.
    fn export(&mut self, format: Format) {
        let Some(run) = self.runs.get(self.shown) else { return };
        match crate::files::plots(&run.decoding, &self.flow) {
            Ok(plots) => {
                for (name, plot) in plots {
                    self.exports.plot(name, format, &*plot, &self.views.view, None);
                }
                let path = self.exports.folder().join("run.json");
                let written = serde_json::to_vec(&run.decoding).map_err(|error| error.to_string());
                let written = written.and_then(|bytes| {
                    attn_sdk::core::files::write_atomically(&path, &bytes).map_err(|error| error.to_string())
                });
                if let Err(error) = written {
                    self.exports.fail(error);
                }
            }
            Err(error) => self.exports.fail(error),
        }
    }

    fn controls(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        ui.add_space(6.0);
        ui.label(RichText::new("Source").strong());
        ui.add(
            TextEdit::multiline(&mut self.source)
                .desired_rows(2)
                .desired_width(f32::INFINITY),
        );
        Grid::new("settings")
            .num_columns(2)
            .spacing([12.0, 4.0])
            .show(ui, |ui| {
                ui.label("Prefix of the target");
                ui.add(TextEdit::singleline(&mut self.prefix).desired_width(150.0));
                ui.end_row();
                ui.label("Beams");
                ui.add(Slider::new(&mut self.params.generation.beams, 1..=16));
                ui.end_row();
                ui.label("Length penalty");
                let penalty = ui.add(Slider::new(&mut self.penalty, -2.0..=3.0).fixed_decimals(1));
                if penalty.on_hover_text("Scores the stored tree anew").changed() {
                    self.views.invalidate();
                }
                ui.end_row();
                let sampling = &mut self.params.generation.sampling;
                let mut drawn = sampling.is_some();
                if ui
                    .checkbox(&mut drawn, "Draw, temperature")
                    .on_hover_text("Draws tokens; needs one beam")
                    .changed()
                {
                    *sampling = drawn.then(Sampling::default);
                }
                match sampling {
                    Some(sampling) => ui.add(Slider::new(&mut sampling.temperature, 0.1..=3.0).fixed_decimals(1)),
                    None => ui.label("off"),
                };
                ui.end_row();
                ui.label("Predictions per step");
                ui.add(DragValue::new(&mut self.params.top_k).range(1..=20));
                ui.end_row();
            });
        self.language_rows(ui);
        ui.horizontal(|ui| {
            let decode = ui.add_enabled(self.decoder.is_some(), Button::new("Decode"));
            if decode.on_disabled_hover_text("A saved run has no model").clicked() {
                self.decode(jobs);
            }
            jobs.show(ui);
        });
        if !self.failure.is_empty() {
            ui.colored_label(ui.visuals().error_fg_color, &self.failure);
        }
        ui.separator();
        self.attention(ui);
        ui.separator();
        self.experiments(ui);
        ui.separator();
        ui.add_enabled_ui(self.decoder.is_some(), |ui| self.what_if(ui, jobs));
        ui.separator();
        self.explain(ui, jobs);
    }

    fn language_rows(&mut self, ui: &mut Ui) {
        if self.languages.is_empty() {
            return;
        }
        let name = |id: Option<u32>| {
            let found = self.languages.iter().find(|(_, own)| Some(*own) == id);
            found.map_or("as given", |(name, _)| name.as_str()).to_owned()
        };
        let generation = &mut self.params.generation;
        for (label, slot) in [
            ("Source language", &mut self.params.source_language),
            ("Target language", &mut generation.forced_first),
        ] {
            ui.horizontal(|ui| {
                ui.label(label);
                ComboBox::from_id_salt(label)
                    .selected_text(name(*slot))
                    .show_ui(ui, |ui| {
                        for (language, id) in &self.languages {
                            ui.selectable_value(slot, Some(*id), language);
                        }
                    });
            });
        }
    }

    /// Whose attention is drawn, and how.
    fn attention(&mut self, ui: &mut Ui) {
        ui.label(RichText::new("Attention").strong());
        let Some(run) = self.runs.get(self.shown) else { return };
        let all = run
            .decoding
            .hypotheses
            .first()
            .map(|found| found.cross.as_ref().unwrap_or(&found.decoder_self));
        let (layers, heads) = all.map_or((0, 0), |all| (all.layers, all.heads));
        let before = (self.chosen, self.heads.len(), self.flow.clone());
        let scored = !self.aligning.is_empty();
        ui.horizontal_wrapped(|ui| {
            ui.radio_value(&mut self.chosen, Chosen::All, "all heads");
            if scored {
                ui.radio_value(&mut self.chosen, Chosen::Aligning, "heads that align");
            }
            for layer in 0..layers {
                ui.radio_value(&mut self.chosen, Chosen::Layer(layer), format!("layer {layer}"));
            }
            ui.radio_value(&mut self.chosen, Chosen::Some, "some:");
        });
        if self.chosen == Chosen::Some {
            Grid::new("heads").spacing([4.0, 2.0]).show(ui, |ui| {
                for layer in 0..layers {
                    for head in 0..heads {
                        let mut on = self.heads.contains(&(layer, head));
                        if ui.checkbox(&mut on, format!("L{layer} H{head}")).changed() {
                            if on {
                                self.heads.insert((layer, head));
                            } else {
                                self.heads.remove(&(layer, head));
                            }
                        }
                        if head % COLUMNS == COLUMNS - 1 {
                            ui.end_row();
                        }
                    }
                    ui.end_row();
                }
            });
        }
        ui.horizontal_wrapped(|ui| {
            ui.radio_value(&mut self.flow.unit, Unit::Pieces, "pieces");
            ui.radio_value(&mut self.flow.unit, Unit::Words, "words");
            let mut read = self.flow.shift == Shift::Read;
            let shift = ui
                .checkbox(&mut read, "step that reads")
                .on_hover_text("Shift-Att: the step that reads a target token");
            if shift.changed() {
                self.flow.shift = if read { Shift::Read } else { Shift::Predicted };
            }
            ui.checkbox(&mut self.flow.text_only, "text only");
        });
        ui.horizontal(|ui| {
            ui.label("Share of mass");
            ui.add(Slider::new(&mut self.flow.share, 0.1..=1.0).fixed_decimals(2));
        });
        self.choose();
        if before != (self.chosen, self.heads.len(), self.flow.clone()) {
            self.views.invalidate();
        }
    }

    /// Every run, indented under what it was made from.
    fn experiments(&mut self, ui: &mut Ui) {
        ui.label(RichText::new("Runs").strong());
        let mut show = None;
        for at in 0..self.runs.len() {
            let run = &self.runs[at];
            let mut depth = 0;
            let mut parent = run.parent;
            while let Some(at) = parent {
                depth += 1;
                parent = self.runs[at].parent.filter(|next| *next < at);
            }
            let target = run
                .decoding
                .hypotheses
                .first()
                .map_or("", |found| found.row.text.as_str());
            let words = format!("{}. {} → {target}", at + 1, run.label);
            ui.horizontal(|ui| {
                ui.add_space(8.0 * f32::from(u8::try_from(depth).unwrap_or(8).min(8)));
                let mut compared = self.against == Some(at);
                if ui
                    .checkbox(&mut compared, "")
                    .on_hover_text("Compare the shown run with this one")
                    .changed()
                {
                    self.against = compared.then_some(at);
                    self.views.invalidate();
                }
                if ui.selectable_label(self.shown == at, words).clicked() {
                    show = Some(at);
                }
            });
        }
        if let Some(at) = show {
            self.show(at);
        }
    }

    /// Near words for a source token, and the weights of a step.
    fn what_if(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        let Some(run) = self.runs.get(self.shown) else { return };
        let decoding = &run.decoding;
        let source = decoding.source.tokens.clone();
        let row = decoding.hypotheses.get(self.hypothesis).map(|found| &found.row);
        let target: Vec<String> = row.map(|row| row.tokens.clone()).unwrap_or_default();
        ui.label(RichText::new("What if").strong());
        let id = decoding.source.ids.get(self.token).copied();
        let name = |tokens: &[String], at: usize| format!("{}: {}", at + 1, tokens.get(at).map_or("", String::as_str));
        ui.horizontal(|ui| {
            ui.label("Source token");
            ComboBox::from_id_salt("token")
                .selected_text(name(&source, self.token))
                .show_ui(ui, |ui| {
                    for at in 0..source.len() {
                        ui.selectable_value(&mut self.token, at, name(&source, at));
                    }
                });
            if ui.button("Find near words").clicked()
                && let Some(id) = id
            {
                match self.decoder.as_ref().map(|decoder| decoder.nearest_words(id, NEAR)) {
                    Some(Ok(near)) => self.near = near,
                    Some(Err(error)) => self.failure = error.to_string(),
                    None => {}
                }
            }
        });
        if !self.near.is_empty() {
            let mut put = None;
            ui.horizontal_wrapped(|ui| {
                for word in &self.near {
                    let label = format!("{} {:.2}", word.token, word.cosine);
                    if ui
                        .button(label)
                        .on_hover_text("Put it in the place of the token, and decode")
                        .clicked()
                    {
                        put = Some(word.token.clone());
                    }
                }
            });
            if let Some(word) = put
                && let Some(text) = self.with_word(&word)
            {
                self.source = text;
                self.decode(jobs);
            }
        }
        let mut step = self.step;
        ui.horizontal(|ui| {
            ui.label("Attention of step");
            ComboBox::from_id_salt("step")
                .selected_text(name(&target, step))
                .show_ui(ui, |ui| {
                    for at in 0..target.len() {
                        ui.selectable_value(&mut step, at, name(&target, at));
                    }
                });
        });
        if step != self.step {
            self.step = step;
            self.reset_weights();
        }
        Grid::new("weights").num_columns(2).spacing([8.0, 1.0]).show(ui, |ui| {
            for (token, weight) in source.iter().zip(&mut self.weights) {
                ui.label(token);
                ui.add(Slider::new(weight, 0.0..=1.0).fixed_decimals(2));
                ui.end_row();
            }
        });
        ui.horizontal(|ui| {
            if ui.button("Reset weights").clicked() {
                self.reset_weights();
            }
            let help = "The row is renormalized in the chosen heads, and decoding goes on from this step";
            if ui.button("Decode with weights").on_hover_text(help).clicked() {
                self.edited(jobs);
            }
        });
    }

    /// The source text with a word in the place of the chosen token.
    fn with_word(&self, word: &str) -> Option<String> {
        let decoding = &self.run()?.decoding;
        let decoder = self.decoder.as_ref()?;
        let info = decoder.model().info();
        let read = decoder.tokenizer().encode(&decoding.source.text, info).ok()?;
        let (from, to) = read.tokens.get(self.token)?.span?;
        let text = &decoding.source.text;
        Some(format!("{}{word}{}", text.get(..from)?, text.get(to..)?))
    }

    fn explain(&mut self, ui: &mut Ui, jobs: &Jobs<News>) {
        ui.label(RichText::new("Blame").strong());
        ui.horizontal(|ui| {
            ui.label("Expected");
            ui.add(TextEdit::singleline(&mut self.expected).desired_width(150.0));
            if ui.button("Find the cause").clicked() && !self.expected.trim().is_empty() {
                self.blame(jobs);
            }
        });
        let blame = self.runs.get(self.shown).and_then(|run| run.decoding.blame.as_ref());
        let Some(blame) = blame else { return };
        let stage = |stage: Stage| format!("{stage:?}").to_lowercase();
        ui.label(match (blame.kind, blame.stage) {
            (BlameKind::None, _) => "The output is as expected.".to_owned(),
            (BlameKind::Search, _) => "Search error: the model prefers the expected output.".to_owned(),
            (BlameKind::Model, found) => {
                format!("Model error, stage: {}.", stage(found.unwrap_or(Stage::Undetermined)))
            }
        });
        Grid::new("stages")
            .num_columns(3)
            .striped(true)
            .spacing([14.0, 2.0])
            .show(ui, |ui| {
                if !blame.stages.is_empty() {
                    for name in ["stage", "recovered", "random donors"] {
                        ui.label(RichText::new(name).weak());
                    }
                    ui.end_row();
                }
                for share in &blame.stages {
                    ui.label(stage(share.stage));
                    ui.label(format!("{:.2}", share.recovered));
                    ui.label(format!("{:.2}", share.control));
                    ui.end_row();
                }
            });
        ui.label(RichText::new(&blame.note).weak());
    }
}
