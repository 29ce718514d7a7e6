//! The window: the browser shows layers as they are found, while jobs find more, cut them anew, and read sentences.

use std::{
    collections::BTreeMap,
    error::Error,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use attn_egui::{
    Jobs, apply_theme, draw_directly,
    egui_wgpu::{RenderState, RendererOptions},
    jobs::{JobEvent, JobId},
};
use attn_sdk::{
    analyze::concepts::{ConceptLayer, ConceptSpace, ConceptStudy, PipelineParams},
    render::ViewState,
};
use eframe::egui::{CentralPanel, Panel, RichText, Ui, ViewportBuilder};

use super::{
    browser::{Browser, Cut, Wish},
    files,
    options::{OUT, Options, Rule},
    run::{self, Loaded, News, Placed},
    session::Look,
    source::Source,
};

/// Opens the window and returns when it is closed.
pub(crate) fn open(options: Options, sources: Vec<Source>) -> Result<(), Box<dyn Error>> {
    let native = eframe::NativeOptions {
        viewport: ViewportBuilder::default().with_inner_size([1500.0, 900.0]),
        ..Default::default()
    };
    let app = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        let state = cc.wgpu_render_state.clone().ok_or("eframe runs without wgpu")?;
        // The renderer of the default window, which this is.
        draw_directly(&state, &RendererOptions::default());
        let params = options.params().map_err(|error| error.to_string())?;
        Ok(Box::new(Window::new(
            options,
            params,
            sources,
            state,
            Jobs::new(&cc.egui_ctx),
        )))
    };
    eframe::run_native("Latent concepts", native, Box::new(app)).map_err(|error| error.to_string().into())
}

/// What jobs have found.
enum Message {
    /// A study that was saved.
    Opened(Box<ConceptStudy>),
    /// A model begins: its words are known.
    Space(Box<ConceptSpace>, Arc<Loaded>),
    /// A layer of the last model, by these settings.
    Layer(Box<ConceptLayer>, u64),
    /// All layers of all models are there.
    Whole,
    /// The models by other settings. Layers that came meanwhile are not among them.
    Cut(Vec<ConceptSpace>, u64),
    /// The models, compared.
    Study(Box<ConceptStudy>, u64),
    /// The model of a study that was opened.
    Model(usize, Arc<Loaded>),
    Placed(usize, Box<Placed>),
    NotPlaced(String),
}

/// The settings, and how often they changed.
#[derive(Clone)]
struct Settings {
    params: PipelineParams,
    version: u64,
}

struct Window {
    options: Arc<Options>,
    state: RenderState,
    view: ViewState,
    jobs: Jobs<Message>,
    browser: Option<Box<Browser>>,
    /// By model.
    loaded: BTreeMap<usize, Arc<Loaded>>,
    settings: Arc<Mutex<Settings>>,
    /// Some layers are of older settings.
    stale: bool,
    /// The settings that the comparisons are of; `None` before the first.
    compared: Option<u64>,
    /// All layers are there.
    whole: bool,
    cutting: Option<JobId>,
    comparing: Option<JobId>,
    /// The study changed since it was saved.
    unsaved: bool,
    said: String,
}

impl Window {
    fn new(
        options: Options,
        params: PipelineParams,
        sources: Vec<Source>,
        state: RenderState,
        jobs: Jobs<Message>,
    ) -> Self {
        let options = Arc::new(options);
        let settings = Arc::new(Mutex::new(Settings { params, version: 0 }));
        let (own, asked) = (options.clone(), settings.clone());
        jobs.start("words", move |job| {
            if let Some(path) = &own.open {
                job.send(Message::Opened(Box::new(run::open(&own, path, job)?)));
                return Ok(());
            }
            let version = std::cell::Cell::new(0);
            let params = || {
                let now = now(&asked);
                version.set(now.version);
                now.params
            };
            let mut tell = |news: News| match news {
                News::Space(space, loaded) => job.send(Message::Space(space, loaded)),
                News::Layer(layer) => job.send(Message::Layer(layer, version.get())),
            };
            run::encode(&own, &sources, &params, &mut tell, job)?;
            job.send(Message::Whole);
            Ok(())
        });
        Self {
            view: options.view(),
            options,
            state,
            jobs,
            browser: None,
            loaded: BTreeMap::new(),
            settings,
            stale: false,
            compared: None,
            whole: false,
            cutting: None,
            comparing: None,
            unsaved: false,
            said: String::new(),
        }
    }

    fn version(&self) -> u64 {
        now(&self.settings).version
    }

    fn out(&self) -> &Path {
        // A study that was opened is saved where it was.
        let opened = self.options.open.as_deref().and_then(Path::parent);
        opened.unwrap_or(Path::new(OUT))
    }

    /// Takes in what the jobs have to tell.
    fn listen(&mut self) {
        let events: Vec<JobEvent<Message>> = self.jobs.poll().collect();
        for event in events {
            match event {
                JobEvent::Message(message) => self.take(message),
                JobEvent::Failed(_, why) => {
                    self.said = why;
                    if let Some(browser) = &mut self.browser {
                        browser.own.busy = false;
                    }
                }
                JobEvent::Finished(id) => {
                    for running in [&mut self.cutting, &mut self.comparing] {
                        if *running == Some(id) {
                            *running = None;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, message: Message) {
        let version = self.version();
        match message {
            Message::Opened(study) => {
                self.whole = true;
                self.compared = Some(version);
                // What is cut here begins with what was saved.
                if let Some(Ok(params)) = study.models.first().map(|model| self.options.params_of(model)) {
                    self.settings.lock().unwrap_or_else(PoisonError::into_inner).params = params;
                }
                let named = self.options.model.is_some();
                let reads = study
                    .models
                    .iter()
                    .map(|model| named || model.source.is_some())
                    .collect();
                self.show(*study);
                if let Some(browser) = &mut self.browser {
                    browser.reads = reads;
                    let folder = self.options.open.as_deref().and_then(Path::parent);
                    match folder.and_then(Look::beside) {
                        Some(Ok(look)) => browser.restore(look),
                        Some(Err(why)) => self.said = why.to_string(),
                        None => {}
                    }
                }
                if self.options.sentence.is_some() {
                    self.first_sentence();
                }
            }
            Message::Space(space, loaded) => {
                for note in &loaded.notes {
                    self.said.clone_from(note);
                }
                let reads = loaded.reads();
                self.loaded.insert(self.loaded.len(), loaded);
                match &mut self.browser {
                    None => self.show(ConceptStudy {
                        classes: classes(&self.options, &space),
                        models: vec![*space],
                        ..ConceptStudy::default()
                    }),
                    Some(browser) => {
                        browser.study.models.push(*space);
                        browser.reads.push(reads);
                    }
                }
                if let Some(last) = self.browser.as_mut().and_then(|browser| browser.reads.last_mut()) {
                    *last = reads;
                }
            }
            Message::Layer(layer, of) => {
                self.stale |= of != version;
                self.unsaved = true;
                if let Some(browser) = &mut self.browser {
                    let last = browser.study.models.len().saturating_sub(1);
                    browser.add_layer(last, *layer);
                    // Files of names number the clusters that the options ask for. A cut keeps the names of those that stay.
                    if of == 0
                        && let Err(why) = run::rename_last(&self.options, &mut browser.study)
                    {
                        self.said = why.to_string();
                    }
                    browser.list();
                }
            }
            Message::Whole => {
                self.whole = true;
                self.first_sentence();
            }
            Message::Cut(models, of) => {
                self.stale |= of != version;
                self.unsaved = true;
                let Some(browser) = &mut self.browser else { return };
                let mut study = std::mem::take(&mut browser.study);
                for (own, cut) in study.models.iter_mut().zip(models) {
                    own.take_cut(cut);
                }
                study.comparisons.clear();
                browser.renew(study);
            }
            Message::Study(study, of) => {
                if of != version {
                    return;
                }
                self.compared = Some(of);
                if let Some(browser) = &mut self.browser {
                    browser.study.comparisons = study.comparisons;
                    browser.study.classes = study.classes;
                    browser.stage.redraw_charts();
                }
                if self.options.open.is_none() {
                    self.save(false);
                }
            }
            Message::Model(model, loaded) => {
                self.loaded.insert(model, loaded);
            }
            Message::Placed(model, placed) => {
                if let Some(browser) = &mut self.browser {
                    browser.own.busy = false;
                    browser.own.placed = Some((model, *placed));
                }
            }
            Message::NotPlaced(why) => {
                if let Some(browser) = &mut self.browser {
                    browser.own.busy = false;
                    browser.own.problem = why;
                }
            }
        }
    }

    fn show(&mut self, study: ConceptStudy) {
        let params = now(&self.settings).params;
        let cut = Cut {
            clusters: params.clusters,
            threshold: params.align.threshold,
            rule: Rule::of(&params.align.rule).unwrap_or(Rule::Words),
        };
        let out = self.out().to_owned();
        self.browser = Some(Box::new(Browser::new(study, cut, &self.view, out, &self.state)));
    }

    /// The sentence that the options name is read for the first model that predicts something.
    fn first_sentence(&mut self) {
        let Some(browser) = &mut self.browser else { return };
        let model = browser.study.models.len().saturating_sub(1);
        let text = self.options.sentence.clone().or_else(|| {
            let at = self.options.explain.checked_sub(1)?;
            Some(browser.study.models.get(model)?.text.sentences.get(at)?.text.clone())
        });
        if let Some(text) = text.filter(|_| browser.reads.get(model) == Some(&true)) {
            browser.own.typed.clone_from(&text);
            browser.own.busy = true;
            browser.wishes.push(Wish::Place(model, text));
        }
    }

    /// Starts the work that is asked for, or due.
    fn work(&mut self) {
        let Some(browser) = &mut self.browser else { return };
        for wish in std::mem::take(&mut browser.wishes) {
            match wish {
                Wish::Cut(cut) => {
                    let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
                    settings.version += 1;
                    let params = &mut settings.params;
                    params.clusters = cut.clusters;
                    params.overlap.threshold = cut.threshold;
                    params.align = cut.align(params.align.clone());
                    self.stale = true;
                }
                Wish::Place(model, text) => self.place(model, text),
                Wish::Save => self.save(true),
            }
        }
        if self.stale && self.cutting.is_none() {
            self.stale = false;
            self.cutting = self.cut();
        }
        let due = self.whole && !self.stale && self.cutting.is_none() && self.comparing.is_none();
        if due && self.compared != Some(self.version()) {
            self.comparing = self.compare();
        }
    }

    fn cut(&self) -> Option<JobId> {
        let models = self.browser.as_ref()?.study.models.clone();
        let (options, loaded, settings) = (self.options.clone(), self.loaded.clone(), now(&self.settings));
        Some(self.jobs.start("clusters", move |job| {
            let pipeline = run::pipeline(&options, settings.params.clone())?;
            let mut cut = Vec::with_capacity(models.len());
            for (at, model) in models.iter().enumerate() {
                let readings = loaded.get(&at).map_or_else(Vec::new, |loaded| loaded.readings());
                cut.push(pipeline.recut(model, run::reading_of(&readings, model), job)?);
            }
            job.send(Message::Cut(cut, settings.version));
            Ok(())
        }))
    }

    fn compare(&self) -> Option<JobId> {
        let models = self.browser.as_ref()?.study.models.clone();
        let (options, settings) = (self.options.clone(), now(&self.settings));
        Some(self.jobs.start("comparisons", move |job| {
            let study = run::pipeline(&options, settings.params)?.compare(models, job)?;
            job.send(Message::Study(Box::new(study), settings.version));
            Ok(())
        }))
    }

    fn place(&self, model: usize, text: String) {
        let models = self.browser.as_ref().map(|browser| browser.study.models.clone());
        let Some(models) = models.filter(|models| model < models.len()) else {
            return;
        };
        let loaded = self.loaded.get(&model).cloned();
        let (options, params) = (self.options.clone(), now(&self.settings).params);
        self.jobs.start("sentence", move |job| {
            let place = || -> Result<Placed, Box<dyn Error>> {
                let loaded = match loaded {
                    Some(loaded) => loaded,
                    None => {
                        let loaded = Arc::new(Loaded::reopened(&options, &models, model)?);
                        job.send(Message::Model(model, loaded.clone()));
                        loaded
                    }
                };
                loaded.place(&run::pipeline(&options, params)?, &models[model], &text, job)
            };
            job.send(match place() {
                Ok(placed) => Message::Placed(model, Box::new(placed)),
                Err(why) => Message::NotPlaced(why.to_string()),
            });
            Ok(())
        });
    }

    /// Writes what there is, so that it opens again; with `all`, its report and clusters for other programs too.
    fn save(&mut self, all: bool) {
        let Some(browser) = &self.browser else { return };
        let out = self.out().to_owned();
        let written = if all {
            files::write(&browser.study, &out)
        } else {
            files::save(&browser.study, &out)
        };
        let written = written.and_then(|()| Ok(browser.look().save(&out)?));
        self.unsaved = written.is_err();
        self.said = match written {
            Ok(()) => format!("saved: {}", out.join("concepts.json").display()),
            Err(why) => why.to_string(),
        };
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.listen();
        let working = !self.jobs.running().is_empty();
        if working || !self.said.is_empty() {
            Panel::bottom("work").show(ui, |ui| {
                ui.add_space(3.0);
                self.jobs.show(ui);
                if !self.said.is_empty() {
                    ui.label(RichText::new(&self.said).weak());
                }
            });
        }
        match &mut self.browser {
            Some(browser) => browser.ui(ui),
            None => {
                apply_theme(ui.ctx(), &self.view);
                CentralPanel::default().show(ui, |ui| {
                    ui.add_space(12.0);
                    let what = if working {
                        "Reading the text. Layers are shown as they are done."
                    } else {
                        "Nothing to show."
                    };
                    ui.label(what);
                });
            }
        }
        self.work();
    }

    fn on_exit(&mut self) {
        if self.unsaved && self.options.open.is_none() {
            self.save(false);
        } else if let Some(browser) = self.browser.as_ref().filter(|_| self.whole) {
            // The study is there already; how it was looked at last is new. There is nobody left to tell of a failure.
            let _ = browser.look().save(self.out());
        }
    }
}

fn now(settings: &Mutex<Settings>) -> Settings {
    settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The label set that is the class of the sentence.
fn classes(options: &Options, space: &ConceptSpace) -> Option<String> {
    let found = space.sets.iter().find(|set| set.name == options.classes);
    found.map(|set| set.name.clone())
}
