//! The search over commands: a name, keys and other words for everything that a button, a menu or a key does.

use attn_egui::{attn_render::Format, commands::Command};
use attn_sdk::{
    Study, TokenFilter,
    core::HeadId,
    embedded,
    models::control::Control,
    project::Dims,
    render::{
        control::{Key, Tool},
        scene::PatchStyle,
        state::ColorChoice,
    },
    study::{
        experiment::{Edges, Question},
        summary::Block,
    },
};

use crate::{
    actions::{Action, Exported, Field, Which},
    detail::{Kind, Off},
    filter, inset,
    options::Projection,
    pane::Pane,
    weighting,
    window::Atlas,
};

/// Limit of sequences that are commands; the table has all of them.
const SEQUENCES: usize = 1_000;

type Commands = Vec<Command<Action>>;

impl Atlas {
    /// Every command that makes sense now.
    pub(crate) fn commands(&self) -> Commands {
        let pane = &self.panes[self.active];
        let mut all = of_window();
        all.extend(of_files());
        if self.panes[0].model.is_some() && self.panes[0].study.is_some() {
            let controls = Control::ALL.map(|control| {
                let name = format!("Compare with the control model {control}");
                Command::new(name, Action::Control(control)).also("baseline")
            });
            all.extend(controls);
        }
        if self.panes.len() > 1 {
            all.push(Command::new("Close comparison", Action::CloseComparison));
            let others = self.panes.iter().enumerate().filter(|(index, _)| *index != self.active);
            all.extend(others.map(|(index, other)| {
                let name = format!("Show sequences and page of {}", other.name);
                Command::new(name, Action::LookAt(index)).also("switch model pane")
            }));
        }
        let opens = self.coming.iter().map(|(pane, _)| &**pane);
        if self
            .panes
            .iter()
            .chain(opens)
            .any(|pane| !pane.work.jobs.running().is_empty())
        {
            all.push(Command::new("Stop what is running", Action::Stop).also("cancel job"));
        }
        of_work(&mut all, pane);
        if let Some(study) = &pane.study {
            of_data(&mut all, pane, study);
            of_heads(&mut all, pane, study);
        }
        all
    }
}

/// Commands of a file or a table.
fn exports(what: Exported, name: &str, formats: &[Format]) -> Commands {
    let export = |format: &Format| {
        let name = format!("Export {name} as {}", format.extension().to_uppercase());
        Command::new(name, Action::Export(what, *format)).also("save write image data")
    };
    formats.iter().map(export).collect()
}

/// What is always there: cameras, tools, colors, panels.
fn of_window() -> Commands {
    let press = |name: &str, key: Key, keys: &str| Command::new(name, Action::Press(key)).keys(keys);
    let mut all = vec![
        Command::new("Show all heads", Action::AllHeads)
            .keys("Escape")
            .also("matrix back"),
        Command::new("Next head", Action::Step(1)).keys("."),
        Command::new("Previous head", Action::Step(-1)).keys(","),
        Command::new("Reset cameras", Action::ResetViews)
            .keys("Home")
            .also("view zoom"),
        press("Zoom in", Key::Plus, "+").also("enlarge camera"),
        press("Zoom out", Key::Minus, "−").also("shrink camera"),
        press("Move or rotate left", Key::Left, "←").also("camera pan turn"),
        press("Move or rotate right", Key::Right, "→").also("camera pan turn"),
        press("Move or rotate up", Key::Up, "↑").also("camera pan turn"),
        press("Move or rotate down", Key::Down, "↓").also("camera pan turn"),
        press("Undo", Key::Undo, "Ctrl+Z, u"),
        press("Redo", Key::Redo, "Ctrl+Y, r"),
        Command::new("Switch theme", Action::Theme).keys("t").also("dark light"),
        Command::new("Switch palette", Action::Palette).also("colors color-blind original"),
        press("Drag: move", Key::Tool(Tool::Look), "m"),
        press("Drag: box selection", Key::Tool(Tool::Box), "b").also("select"),
        press("Drag: lasso selection", Key::Tool(Tool::Lasso), "l").also("select"),
        press("Select all points", Key::SelectAll, "a"),
        press("Go to the next point, token or head", Key::Next, "n"),
        press("Go to the previous point, token or head", Key::Previous, "p"),
        press("Switch the token off or on", Key::Switch, "x").also("hide"),
        press("Mark the next entry of the legend", Key::Legend, "c").also("class"),
        press("Press the marked entry, or open the marked head", Key::Enter, "Enter").also("legend class"),
        Command::new("Search tokens", Action::Write(Field::Search)).also("find highlight"),
        Command::new("Clear search", Action::ClearSearch),
        Command::new("Clear selection", Action::ClearSelection),
        Command::new("Size points by norm", Action::SizeByNorm).also("vector length"),
        Command::new("Outline dense regions", Action::Contours).also("contours clusters names density"),
        Command::new("Clear token filter", Action::Filter(TokenFilter::default())).also("draw all tokens"),
    ];
    for projection in Projection::ALL {
        let name = format!("Project by {}", projection.name());
        all.push(Command::new(name, Action::Project(projection)).also("projection layout method"));
    }
    for dims in [Dims::Two, Dims::Three] {
        let name = format!("Project in {} dimensions", dims.count());
        all.push(Command::new(name, Action::Dims(dims)).also(format!("{}D", dims.count())));
    }
    for (kind, name, hint) in Kind::ALL {
        all.push(Command::new(format!("Detail: {name}"), Action::Detail(kind)).also(hint));
    }
    all.extend([
        Command::new("Switch off special tokens", Action::SwitchOff(Off::Special)).also("hide"),
        Command::new("Switch off the first token", Action::SwitchOff(Off::First)).also("hide sink"),
        Command::new("Switch all tokens on", Action::SwitchAllOn).also("show reset"),
        Command::new("Show all flows of an image", Action::AllFlows).also("strongest"),
    ]);
    for name in weighting::NAMES {
        let words = format!("Weighting: {name}");
        all.push(Command::new(words, Action::Weighting(name)).also("norm value output"));
    }
    all.extend([
        Command::new("Fold the sequences", Action::Panel(Which::Sequences))
            .keys("[")
            .also("panel left unfold"),
        Command::new("Fold the page about heads", Action::Panel(Which::About))
            .keys("]")
            .also("panel right unfold"),
        Command::new("Fold the detail pane", Action::Panel(Which::Detail))
            .keys("\\")
            .also("panel sentence unfold"),
        Command::new("Help", Action::Help).keys("F1").also("keys mouse"),
    ]);
    all
}

/// Models, sessions and files.
fn of_files() -> Commands {
    let mut all = exports(Exported::Plot, "the plot", &Format::ALL);
    all.extend(exports(Exported::Detail, "the detail pane", &Format::ALL));
    all.extend([
        Command::new("Open model or capture …", Action::OpenDialog { beside: false }),
        Command::new("Compare with model or capture …", Action::OpenDialog { beside: true }),
        Command::new("Save session", Action::SaveSession).keys("Ctrl+S"),
        Command::new("Save session as …", Action::SaveSessionAs).keys("Ctrl+Shift+S"),
        Command::new("Open session …", Action::OpenSession).keys("Ctrl+O"),
        Command::new("Bookmark this view", Action::Bookmark).keys("Ctrl+D"),
    ]);
    for model in embedded::all() {
        for (beside, verb) in [(false, "Open"), (true, "Compare with")] {
            let name = model.name;
            let words = format!("{verb} the embedded model {name}");
            all.push(Command::new(words, Action::OpenEmbedded { name, beside }));
        }
    }
    all
}

/// Of a pane: what was typed, selected, stopped, kept.
fn of_work(all: &mut Commands, pane: &Pane) {
    if pane.capturer.is_some() {
        all.push(Command::new("Write new text", Action::Write(Field::NewText)).also("type sentence image place point"));
    }
    if !pane.typed.is_empty() {
        all.push(Command::new("Take the new text away", Action::ClearTyped).also("clear typed sentence image"));
    }
    if pane.guest.is_some() {
        all.push(Command::new("Detail: what was typed", Action::ShowTyped(true)).also("new text sentence image"));
        all.push(Command::new("Detail: the sequence of the data", Action::ShowTyped(false)).also("typed"));
    }
    if inset::chosen(pane).is_some() {
        all.push(Command::new("Project selection", Action::ProjectSelection).also("alone again"));
    }
    if pane.shown_inset.is_some() {
        all.push(Command::new("Close the inset", Action::CloseInset).also("window projected part"));
        all.extend(exports(Exported::Inset, "the inset", &Format::ALL));
    }
    if !pane.stopped.is_empty() {
        all.push(Command::new("Go on with what was stopped", Action::GoOn));
    }
    for (index, bookmark) in pane.bookmarks.iter().enumerate() {
        let name = format!("Go to bookmark: {}", bookmark.name);
        all.push(Command::new(name, Action::GoToBookmark(index)));
        let name = format!("Remove bookmark: {}", bookmark.name);
        all.push(Command::new(name, Action::RemoveBookmark(index)).also("delete"));
    }
    if let Some(checkpoints) = &pane.checkpoints {
        for (number, study) in checkpoints.studies().iter().enumerate() {
            let name = format!("Go to checkpoint {}: {}", number + 1, study.capture().model().name);
            all.push(Command::new(name, Action::Checkpoint(number)).also("training epoch"));
        }
    }
}

/// Colors, filters and sequences of the data.
fn of_data(all: &mut Commands, pane: &Pane, study: &Study) {
    for name in study.color_names() {
        let words = format!("Color by {}", name.trim_start_matches("column:").replace('-', " "));
        all.push(Command::new(words, Action::Color(ColorChoice::values(name))));
    }
    all.push(Command::new("Color by query or key", Action::Color(ColorChoice::Role)));
    if study.is_image(0) {
        let styles = std::iter::once(None).chain(PatchStyle::ALL.map(Some));
        all.extend(styles.map(|style| {
            let name = style.map_or("Draw points".to_owned(), |style| {
                format!("Draw patches, {}", style.name())
            });
            Command::new(name, Action::Patches(style)).also("image patches style")
        }));
    }
    let limited = TokenFilter {
        at_most: Some(filter::AT_MOST),
        ..pane.filter.clone()
    };
    let name = format!("Draw at most {} tokens of each word", filter::AT_MOST);
    all.push(Command::new(name, Action::Filter(limited)).also("filter limit"));
    for column in filter::offered(study) {
        for value in column.classes() {
            let mut only = pane.filter.clone();
            only.only.insert(column.name.clone(), [value.clone()].into());
            let name = format!("Draw only {} {value}", column.name);
            all.push(Command::new(name, Action::Filter(only)).also("filter tokens"));
        }
    }
    all.push(Command::new("Next sequence", Action::StepSequence(1)).also("sentence image row"));
    all.push(Command::new("Previous sequence", Action::StepSequence(-1)).also("sentence image row"));
    for (index, sequence) in study.capture().sequences().iter().take(SEQUENCES).enumerate() {
        let text = sequence.text.as_ref().unwrap_or(&sequence.name);
        let name = format!("Show sequence {}: {text}", index + 1);
        all.push(Command::new(name, Action::Sequence(index)).also("sentence image row"));
    }
    all.extend(exports(Exported::Sequences, "the sequences", &Format::NUMBERS));
}

/// Heads by name and role, and experiments on them.
fn of_heads(all: &mut Commands, pane: &Pane, study: &Study) {
    let model = study.capture().model();
    if let Some(open) = pane.view.open.filter(|_| pane.capturer.is_some()) {
        let ask = |edges| {
            Action::Ask(Question {
                heads: vec![open],
                edges,
            })
        };
        all.push(Command::new("Project values of the layer", Action::ProjectValues));
        all.push(Command::new("Ablate this head", ask(None)).also("experiment loss without"));
        all.extend(Edges::COMMON.map(|edges| {
            let name = format!("Knock out edges of this head: {}", edges.describe());
            Command::new(name, ask(Some(edges))).also("experiment loss without")
        }));
    }
    if let Some(summary) = &pane.summary {
        all.extend(exports(Exported::Page, "the page about heads", &Format::NUMBERS));
        let blocks = summary.page.sections.iter().flat_map(|section| &section.blocks);
        let findings = blocks.flat_map(|block| match block {
            Block::List(findings) | Block::Table { rows: findings, .. } => findings.as_slice(),
            _ => &[],
        });
        let suggested = findings.filter_map(|finding| finding.experiment.as_ref());
        for experiment in suggested.filter(|_| pane.capturer.is_some()) {
            let names: Vec<String> = experiment.heads.iter().map(|head| model.head_name(*head)).collect();
            let question = Question {
                heads: experiment.heads.clone(),
                edges: None,
            };
            let name = format!("{}: {}", experiment.label, names.join(", "));
            all.push(Command::new(name, Action::Ask(question)).also("experiment loss without"));
        }
    }
    all.extend(model.heads().map(|head| open_head(pane, head, model.head_name(head))));
}

/// A head is found by its name, by `layer:head` and by its role.
fn open_head(pane: &Pane, head: HeadId, name: String) -> Command<Action> {
    let known = pane.summary.as_ref().and_then(|summary| summary.head(head));
    let role = known.and_then(|known| known.labels.first());
    let role = role.map(|label| label.name()).unwrap_or_default();
    let short = format!("{}:{} {}.{} {role}", head.layer, head.head, head.layer, head.head);
    Command::new(format!("Open head {name}"), Action::OpenHead(head))
        .keys(role.as_ref())
        .also(short)
}
