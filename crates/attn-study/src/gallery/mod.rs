//! Galleries: the plots of a study as files, under names that stay, with the summary and all numbers beside them. A headless run
//! writes one; a host may take its plots instead.
//!
//! | file | content |
//! |---|---|
//! | `matrix`, `overview`, `rollout` | every head; a sequence's attention in all heads; its rollout |
//! | `head-L-H`, `aggregate-L-H`, `sentence-L-H` or `image-L-H` | a chosen head; `matches-L-H` on demand |
//! | `sentence-L-H-typed` or `image-L-H-typed`, on demand | the same of what was typed |
//! | `values-L`, on demand | the values of the heads of a chosen head's layer |
//! | `head-map`, `summary.md`, `summary.json` | similarity of the heads, and the summary |
//! | `summary.csv`, `heads.csv`, `sequences.csv`, with CSV | scores, what plots show of attention, and the data, as tables |
//! | `ablation.json`, `knock-out.json`, on demand | the experiments; their results stand in `summary.md` too |
//! | `atlas.json` | everything that is drawn, as data |
//!
//! Names are checked before long work, by [`GalleryParams::check`].

mod files;
mod params;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use attn_core::{HeadId, Progress, Token, progress::step};
use attn_models::Capturer;
#[cfg(doc)]
use attn_render::Exporter;
use attn_render::{Format, Plot, ViewState};

use self::files::Files;
pub use self::params::GalleryParams;
use crate::{
    Error, Study,
    checkpoints::Checkpoints,
    contrast::Contrast,
    experiment::{Answer, ExperimentParams, Question},
    placed::{PlacedTokens, Placers, read_typed},
    summary::{Summary, SummaryParams},
};

/// Heads drawn on their own if none is named.
pub const HEADS: usize = 3;

/// The plots of a study, made one by one, and the files of all.
///
/// ```no_run
/// use attn_study::{Study, gallery::{Gallery, GalleryParams}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let capturer = attn_models::Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
/// let capture = capturer.capture_lines(attn_embedded::sentences())?;
/// let study = Study::project(capture, &attn_project::AtlasParams::default())?;
/// let params = GalleryParams::default();
/// let gallery = Gallery::new(&study, Some(&capturer), &params, &())?;
/// for named in gallery.plots(&()) {
///     println!("{}", named?.name);
/// }
/// let written = gallery.write("out", &())?;
/// println!("{}: {}", written.folder.display(), written.files.join(", "));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Gallery<'a> {
    study: &'a Study,
    capturer: Option<&'a Capturer>,
    params: &'a GalleryParams,
    heads: Vec<HeadId>,
    sequence: usize,
    placed: Arc<[PlacedTokens]>,
    /// What was typed.
    guest: Option<Study>,
    summary: OnceLock<Summary>,
}

/// A plot of a gallery.
pub struct NamedPlot {
    /// The name of its files, without an extension: `head-3-9`.
    pub name: String,
    /// The plot.
    pub plot: Box<dyn Plot>,
    /// The state it is drawn in.
    pub state: ViewState,
}

/// The files of a gallery.
#[derive(Debug, Clone)]
pub struct Written {
    /// The folder.
    pub folder: PathBuf,
    /// Names of the files, in the order of writing.
    pub files: Vec<String>,
    /// Experiments and their results.
    pub answers: Vec<(Question, Answer)>,
    /// Plots that were left out, and why.
    pub notes: Vec<String>,
}

/// A plot that is still to be made.
#[derive(Debug, Clone, Copy)]
enum Item {
    Matrix,
    Overview,
    Rollout(HeadId),
    Head(HeadId),
    Aggregate(HeadId),
    Matches(HeadId),
    Image(HeadId),
    Sentence(HeadId),
    TypedImage(HeadId),
    TypedSentence(HeadId),
    Values(HeadId),
    HeadMap,
}

impl<'a> Gallery<'a> {
    /// The gallery of a projected study. The capturer reads more and knows the weights; a capture alone has neither.
    ///
    /// # Errors
    /// Those of [`GalleryParams::check`] and [`Placers::place_all`].
    pub fn new(
        study: &'a Study,
        capturer: Option<&'a Capturer>,
        params: &'a GalleryParams,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        params.check(study, capturer)?;
        let mut heads = params.named(study)?;
        if heads.is_empty() {
            heads = study.ranking().into_iter().take(HEADS).collect();
        }
        let (mut placed, mut guest) = (Vec::new(), None);
        if let (Some(typed), Some(capturer)) = (&params.typed, capturer) {
            let capture = read_typed(capturer, typed, progress)?;
            placed = Placers::default().place_all(study, &capture, progress)?;
            let mut typed = Study::new(capture, study.params());
            typed.set_weighting(study.weighting().clone());
            for tokens in &mut placed {
                *tokens = tokens.without(&typed.switched_off(tokens.head, 0, params.off))?;
            }
            guest = Some(typed);
        }
        Ok(Self {
            study,
            capturer,
            params,
            heads,
            sequence: params.sequence_in(study)?,
            placed: placed.into(),
            guest,
            summary: OnceLock::new(),
        })
    }

    /// The heads that are drawn on their own.
    pub fn heads(&self) -> &[HeadId] {
        &self.heads
    }

    /// Index of the sequence that is drawn.
    pub fn sequence(&self) -> usize {
        self.sequence
    }

    /// The names of the plots, in their order.
    pub fn names(&self) -> Vec<String> {
        self.items().into_iter().map(|item| self.name(item)).collect()
    }

    /// The plots, each made when the iterator comes to it.
    ///
    /// # Errors
    /// Of an item: those of the [`Study`]'s method that makes the plot, and a cancellation.
    pub fn plots<'p>(
        &'p self,
        progress: &'p dyn Progress,
    ) -> impl ExactSizeIterator<Item = Result<NamedPlot, Error>> + 'p {
        let items = self.items().into_iter();
        items.map(move |item| {
            let (plot, state) = self.plot(item, progress)?;
            Ok(NamedPlot {
                name: self.name(item),
                plot,
                state,
            })
        })
    }

    /// The summary, made with the first call.
    ///
    /// # Errors
    /// Those of [`Summary::new`].
    pub fn summary(&self, progress: &dyn Progress) -> Result<&Summary, Error> {
        if let Some(known) = self.summary.get() {
            return Ok(known);
        }
        let capture = self.study.capture();
        let mut summary = Summary::new(capture, self.capturer, &SummaryParams::default(), progress)?;
        summary.add_projections(self.study.heads());
        Ok(self.summary.get_or_init(|| summary))
    }

    /// Writes all plots, the summary, the results of the experiments and `atlas.json` to a folder, which is made if needed. Each
    /// file appears complete or not at all. Plots over an image that cannot be read again are left out with a note.
    ///
    /// # Errors
    /// Those of [`plots`](Self::plots), of [`Exporter::write`] and of the experiments, [`Error::Core`] if a file cannot be
    /// written, a cancellation.
    pub fn write(&self, folder: impl AsRef<Path>, progress: &dyn Progress) -> Result<Written, Error> {
        let mut files = Files::create(folder.as_ref())?;
        let plots = self.plots(progress);
        let total = plots.len();
        let (names, mut notes) = (self.names(), Vec::new());
        for (done, named) in plots.enumerate() {
            match named {
                Ok(named) => files.draw(&named.name, &*named.plot, &named.state, &self.params.formats)?,
                Err(error @ Error::ImageLost { .. }) => notes.push(format!("{} was left out: {error}", names[done])),
                Err(error) => return Err(error),
            }
            step(progress, "pictures", done + 1, total)?;
        }
        let summary = self.summary(progress)?;
        files.text("summary.md", summary.markdown())?;
        files.json("summary.json", summary)?;
        if self.params.formats.contains(&Format::Csv) {
            files.text("summary.csv", summary.table().to_csv())?;
            files.text("heads.csv", self.study.heads_table().to_csv())?;
            files.text("sequences.csv", self.study.sequences_table().to_csv())?;
        }
        files.json("atlas.json", &self.study.report())?;
        let answers = self.experiments(&mut files, &mut notes, progress)?;
        if !answers.is_empty() {
            files.again(
                "summary.md",
                summary.markdown() + &experiments_markdown(self.study, &answers),
            )?;
        }
        notes.extend(files.notes());
        Ok(Written {
            folder: files.folder,
            files: files.written,
            answers,
            notes,
        })
    }

    /// Runs the experiments over all sequences that can be read again.
    fn experiments(
        &self,
        files: &mut Files,
        notes: &mut Vec<String>,
        progress: &dyn Progress,
    ) -> Result<Vec<(Question, Answer)>, Error> {
        let mut answers = Vec::new();
        let questions = self.params.questions(self.study)?;
        if questions.is_empty() {
            return Ok(answers);
        }
        let capturer = self.capturer.ok_or(Error::NoModel { what: "an experiment" })?;
        let (sequences, lost) = self.study.readable_sequences()?;
        if lost > 0 {
            notes.push(format!("experiments leave out {lost} images that cannot be read again"));
        }
        for question in questions {
            let answer = question.answer(capturer, &sequences, &ExperimentParams::default(), progress)?;
            if let Answer::Ablation(ablation) = &answer {
                files.pretty_json("ablation.json", ablation)?;
            }
            answers.push((question, answer));
        }
        let cuts = answers.iter().filter_map(|(_, answer)| match answer {
            Answer::KnockOut(cut) => Some(cut),
            Answer::Ablation(_) => None,
        });
        let cuts: Vec<_> = cuts.collect();
        if !cuts.is_empty() {
            files.pretty_json("knock-out.json", &cuts)?;
        }
        Ok(answers)
    }

    /// What was typed.
    fn typed(&self) -> Result<&Study, Error> {
        self.guest.as_ref().ok_or(Error::NoModel { what: "a new point" })
    }

    fn items(&self) -> Vec<Item> {
        let mut items = vec![Item::Matrix, Item::Overview];
        items.extend(self.heads.first().map(|head| Item::Rollout(*head)));
        for &head in &self.heads {
            items.extend([Item::Head(head), Item::Aggregate(head)]);
            if self.params.matches {
                items.push(Item::Matches(head));
            }
            items.push(match self.study.is_image(self.sequence) {
                true => Item::Image(head),
                false => Item::Sentence(head),
            });
            items.extend(self.guest.as_ref().map(|guest| match guest.is_image(0) {
                true => Item::TypedImage(head),
                false => Item::TypedSentence(head),
            }));
        }
        if self.params.values {
            // A head of each layer.
            let mut layers = self.heads.clone();
            layers.sort_unstable();
            layers.dedup_by_key(|head| (head.attention, head.layer));
            items.extend(layers.into_iter().map(Item::Values));
        }
        items.push(Item::HeadMap);
        items
    }

    fn name(&self, item: Item) -> String {
        let of = |what: &str, head: HeadId| format!("{what}-{}", head_file_name(self.study, head));
        match item {
            Item::Matrix => "matrix".into(),
            Item::Overview => "overview".into(),
            Item::Rollout(_) => "rollout".into(),
            Item::Head(head) => of("head", head),
            Item::Aggregate(head) => of("aggregate", head),
            Item::Matches(head) => of("matches", head),
            Item::Image(head) => of("image", head),
            Item::Sentence(head) => of("sentence", head),
            Item::TypedImage(head) => of("image", head) + "-typed",
            Item::TypedSentence(head) => of("sentence", head) + "-typed",
            Item::Values(head) => values_file_name(self.study, head),
            Item::HeadMap => "head-map".into(),
        }
    }

    fn plot(&self, item: Item, progress: &dyn Progress) -> Result<(Box<dyn Plot>, ViewState), Error> {
        let (study, sequence) = (self.study, self.sequence);
        let (patch, off) = (self.params.patch, self.params.off);
        let mut state = self.params.state.clone();
        let plot: Box<dyn Plot> = match item {
            Item::Matrix => {
                let mut matrix = study.matrix(&state)?;
                matrix.roles = self.summary(progress)?.strongest_roles().collect();
                Box::new(PlacedTokens::over(self.placed.clone(), matrix))
            }
            Item::Overview => Box::new(study.overview(sequence)?),
            Item::Rollout(head) => {
                let rollout = study.roll_out(Study::self_attention_of(head), sequence, progress)?;
                rollout.plot(study, patch)?
            }
            Item::Head(head) if self.guest.is_some() => {
                // New points stand alone.
                Box::new(PlacedTokens::over(self.placed.clone(), study.head(head, None, &state)?))
            }
            Item::Head(head) => {
                state.hidden = study.switched_off(head, sequence, off);
                head_plot(study, head, sequence, &state, progress)?
            }
            Item::Aggregate(head) => {
                let off = |token: &Token, _: bool, position: usize| off.has(token, position);
                Box::new(study.aggregate_without(head, &off)?)
            }
            Item::Matches(head) => {
                let found = study.matches(head, &state.shared.search);
                let subset = study.subset(head, found.ids(), progress)?;
                // All of them match.
                state.shared.search.clear();
                Box::new(subset.plot(study, &state)?)
            }
            Item::Image(head) => Box::new(study.image(head, sequence, patch)?),
            Item::Sentence(head) => {
                state.hidden = study.switched_off(head, sequence, off);
                Box::new(study.sentence(head, sequence)?)
            }
            Item::TypedImage(head) => Box::new(self.typed()?.image(head, 0, patch)?),
            Item::TypedSentence(head) => {
                let typed = self.typed()?;
                state.hidden = typed.switched_off(head, 0, off);
                Box::new(typed.sentence(head, 0)?)
            }
            Item::Values(head) => {
                let what = "the values of a layer";
                let capturer = self.capturer.ok_or(Error::NoModel { what })?;
                let weights = capturer.model().head_weights()?;
                let values = study.layer_values(head.attention, head.layer, &weights, progress)?;
                Box::new(values.plot(study)?)
            }
            Item::HeadMap => Box::new(self.summary(progress)?.map(None)?),
        };
        Ok((plot, state))
    }
}

/// The experiments and their results as a section of the summary.
fn experiments_markdown(study: &Study, answers: &[(Question, Answer)]) -> String {
    let mut text = String::from("\n## Experiments\n");
    for (question, answer) in answers {
        let names: Vec<String> = question
            .heads
            .iter()
            .map(|head| study.capture().model().head_name(*head))
            .collect();
        let what = match &question.edges {
            None => format!("Ablation of {}", names.join(", ")),
            Some(edges) => format!("Knock-out in {}: {}", names.join(", "), edges.describe()),
        };
        text += &format!("\n**{what}** ({} sequences)\n\n", answer.effect().sequences);
        answer.lines().iter().for_each(|line| text += &format!("- {line}\n"));
    }
    text
}

/// Writes the matrix and the chosen heads at every checkpoint of a training, as `matrix-checkpoint-N` and `head-L-H-checkpoint-N`, and how
/// far heads move, as `checkpoints.md`, `checkpoints.json` and, with CSV among the formats, `checkpoints.csv`. Without named heads, those whose
/// attention moves most are drawn; they are returned with the files.
///
/// # Errors
/// [`Error::NoHead`], [`Error::NoSequence`], those of [`Study::matrix`], [`Study::head`] and [`Exporter::write`], a
/// cancellation.
pub fn write_checkpoints(
    steps: &Checkpoints,
    params: &GalleryParams,
    folder: impl AsRef<Path>,
    progress: &dyn Progress,
) -> Result<(Vec<HeadId>, Written), Error> {
    let mut files = Files::create(folder.as_ref())?;
    let Some(last) = steps.studies().last() else {
        return Err(Error::NoSource {
            expected: "checkpoints",
        });
    };
    let mut heads = params.named(last)?;
    if heads.is_empty() {
        heads = steps.most_moved(HEADS);
    }
    let sequence = params.sequence_in(last)?;
    let pictures = [Format::Png, Format::Svg];
    let formats: Vec<Format> = pictures.into_iter().filter(|of| params.formats.contains(of)).collect();
    let total = steps.studies().len();
    for (at, study) in steps.studies().iter().enumerate() {
        let number = at + 1;
        let matrix = study.matrix(&params.state)?;
        files.draw(&format!("matrix-checkpoint-{number}"), &matrix, &params.state, &formats)?;
        for &head in &heads {
            let name = format!("head-{}-checkpoint-{number}", head_file_name(study, head));
            let plot = head_plot(study, head, sequence, &params.state, progress)?;
            files.draw(&name, &*plot, &params.state, &formats)?;
        }
        step(progress, "pictures of checkpoints", number, total)?;
    }
    files.text("checkpoints.md", steps.markdown())?;
    files.json("checkpoints.json", steps.movements())?;
    if params.formats.contains(&Format::Csv) {
        files.text("checkpoints.csv", steps.table().to_csv())?;
    }
    Ok((heads, files.done()))
}

/// Writes a control model beside the model: its matrix and its plots of the chosen heads, as `matrix-NAME.png` and
/// `head-L-H-NAME.png`, and the comparison of all heads, as `control-NAME.md` and `.json`.
///
/// # Errors
/// [`Error::NoHead`], [`Error::NoSequence`], those of [`Study::matrix`], [`Study::head`], [`Exporter::write`] and
/// [`Contrast::new`].
pub fn write_contrast(
    study: &Study,
    control: &Study,
    name: &str,
    params: &GalleryParams,
    folder: impl AsRef<Path>,
    progress: &dyn Progress,
) -> Result<Written, Error> {
    let mut files = Files::create(folder.as_ref())?;
    let mut heads = params.named(study)?;
    if heads.is_empty() {
        heads = study.ranking().into_iter().take(HEADS).collect();
    }
    let sequence = params.sequence_in(study)?;
    let png = [Format::Png];
    let matrix = control.matrix(&params.state)?;
    files.draw(&format!("matrix-{name}"), &matrix, &params.state, &png)?;
    for head in heads {
        let plot = head_plot(control, head, sequence, &params.state, progress)?;
        let name = format!("head-{}-{name}", head_file_name(study, head));
        files.draw(&name, &*plot, &params.state, &png)?;
    }
    let contrast = Contrast::new(study.capture(), control.capture(), progress)?;
    files.text(&format!("control-{name}.md"), contrast.markdown())?;
    files.json(&format!("control-{name}.json"), &contrast)?;
    Ok(files.done())
}

/// One head with the lines of a sequence. A sequence that is not among the points is placed.
fn head_plot(
    study: &Study,
    head: HeadId,
    sequence: usize,
    state: &ViewState,
    progress: &dyn Progress,
) -> Result<Box<dyn Plot>, Error> {
    let mut plot = study.head(head, Some(sequence), state)?;
    if plot.sequence.is_some() {
        return Ok(Box::new(plot));
    }
    let placed = study
        .placer(head, progress)?
        .place(study.capture(), sequence, progress)?;
    let name = study.capture().sequences().get(sequence).map_or("", |item| &item.name);
    plot.subtitle.push_str(&format!(" · placed: {name}"));
    Ok(Box::new(PlacedTokens::over([placed.without(&state.hidden)?], plot)))
}

/// A head in the name of a file: `3-9`, with its attention where the model has several.
pub fn head_file_name(study: &Study, head: HeadId) -> String {
    match study.capture().model().attentions.len() {
        0 | 1 => format!("{}-{}", head.layer, head.head),
        _ => format!("{}-{}-{}", head.attention, head.layer, head.head),
    }
}

/// The values of a head's layer in the name of a file: `values-3`, with the attention where the model has several.
pub fn values_file_name(study: &Study, head: HeadId) -> String {
    match study.capture().model().attentions.len() {
        0 | 1 => format!("values-{}", head.layer),
        _ => format!("values-{}-{}", head.attention, head.layer),
    }
}
