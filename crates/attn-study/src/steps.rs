//! A model over its training: the same heads in several checkpoints, in pictures that can be compared, and how far each moves.

use std::fmt::Write as _;

use attn_analyze::heads::{DivergenceParams, divergence_between};
use attn_core::{Capture, HeadId, Progress, TokenColumn};
use attn_project::{
    AtlasParams,
    aligned::{Alignment, Movement},
    atlas::{HeadCheckpoints, atlas_checkpoints},
};
use attn_render::{Plot, Scene, Table, Target, Tooltip, Transition, ViewState};
use serde::Serialize;

use crate::{Error, Study, TokenFilter};

/// One study per step of a training, whose pictures belong together.
#[derive(Debug, Clone)]
pub struct Steps {
    studies: Vec<Study>,
    moved: Vec<HeadMovement>,
}

/// A training at a step, or between two: see [`Steps::at`].
#[derive(Debug, Clone, Copy)]
pub struct AtStep<'a> {
    steps: &'a Steps,
    step: f32,
}

impl AtStep<'_> {
    /// The study of the nearest step.
    fn nearest(&self) -> Option<&Study> {
        self.steps.studies.get(self.step.round() as usize)
    }
}

impl Plot for AtStep<'_> {
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> attn_render::Result<Scene> {
        let before = self.step.floor() as usize;
        let Some(study) = self.steps.studies.get(before) else {
            return Ok(Scene::new(size, state.colors().background));
        };
        let scene = study.scene(state, size)?;
        let share = self.step - before as f32;
        match self.steps.studies.get(before + 1) {
            Some(after) if share > 0.0 => Ok(Transition::new(&scene, after.scene(state, size)?, state).at(share)),
            _ => Ok(scene),
        }
    }

    /// The numbers of the nearest step.
    fn table(&self, state: &ViewState) -> attn_render::Result<Table> {
        self.nearest()
            .map_or_else(|| Ok(Table::default()), |study| study.table(state))
    }

    fn natural_size(&self) -> [f32; 2] {
        self.nearest().map_or([900.0, 820.0], Plot::natural_size)
    }

    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        self.nearest()?.tooltip(target)
    }
}

/// How far a head goes from each step to the next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadMovement {
    /// Which head.
    pub head: HeadId,
    /// How far the points of its picture move, as a share of the picture's size; see [`Movement::relative`].
    pub moved: Vec<f32>,
    /// How far its attention moves: mean Jensen-Shannon divergence in bits of the rows, 0 for equal, 1 for rows that share no key.
    pub attention: Vec<f32>,
}

impl Steps {
    /// Steps without projections yet: captures of the same sequences, in the order of the training.
    ///
    /// # Errors
    /// Those of [`Study::new`].
    pub fn new(captures: Vec<Capture>, params: &AtlasParams) -> Result<Self, Error> {
        let studies = captures.into_iter().map(|capture| Study::new(capture, params));
        Ok(Self {
            studies: studies.collect::<Result<_, _>>()?,
            moved: Vec::new(),
        })
    }

    /// Projects every head of all steps together.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_project::{AtlasParams, pca::Pca};
    /// use attn_study::Steps;
    ///
    /// let mut captures = Vec::new();
    /// for model in attn_embedded::SENTIMENT_EPOCHS {
    ///     captures.push(Capturer::load(&model.checkpoint()?)?.capture_lines(sentences().take(10))?);
    /// }
    /// let params = AtlasParams { method: Pca.into(), ..AtlasParams::default() };
    /// let steps = Steps::project(captures, &params, &())?;
    /// assert_eq!((steps.studies().len(), steps.movements().len()), (4, 16));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`atlas_checkpoints`] and [`divergence_between`]: other sequences, a cancellation.
    pub fn project(captures: Vec<Capture>, params: &AtlasParams, progress: &dyn Progress) -> Result<Self, Error> {
        let mut steps = Self::new(captures, params)?;
        let heads = std::cell::RefCell::new(Vec::new());
        let collect = |head| heads.borrow_mut().push(head);
        steps.project_heads(&collect, progress)?;
        for head in heads.into_inner() {
            steps.insert(head);
        }
        steps.compare(progress)?;
        Ok(steps)
    }

    /// Projects every head and hands each over when it is done, for [`insert`](Self::insert).
    ///
    /// # Errors
    /// Those of [`atlas_checkpoints`].
    pub fn project_heads(&self, on_head: &dyn Fn(HeadCheckpoints), progress: &dyn Progress) -> Result<(), Error> {
        let captures: Vec<&Capture> = self.studies.iter().map(Study::capture).collect();
        let Some(first) = self.studies.first() else {
            return Ok(());
        };
        let failures = atlas_checkpoints(&captures, first.params(), Alignment::default(), on_head, progress)?;
        // A head that is missing would look like one that does not move.
        match failures.into_iter().next() {
            Some(failure) => Err(Error::HeadFailed(failure.error)),
            None => Ok(()),
        }
    }

    /// Adds a head to all steps.
    pub fn insert(&mut self, head: HeadCheckpoints) {
        let Some(id) = head.head() else { return };
        for (study, step) in self.studies.iter_mut().zip(head.checkpoints) {
            study.insert(step);
        }
        let moved = head
            .movements
            .iter()
            .map(|movement: &Movement| movement.relative)
            .collect();
        self.moved.retain(|other| other.head != id);
        self.moved.push(HeadMovement {
            head: id,
            moved,
            attention: Vec::new(),
        });
        self.moved.sort_by_key(|moved| moved.head);
    }

    /// Measures how far the attention of the heads that are there moves from step to step.
    ///
    /// # Errors
    /// Those of [`divergence_between`].
    pub fn compare(&mut self, progress: &dyn Progress) -> Result<(), Error> {
        self.moved.iter_mut().for_each(|moved| moved.attention.clear());
        for pair in self.studies.windows(2) {
            let options = DivergenceParams::default();
            for (head, bits) in divergence_between(pair[0].capture(), pair[1].capture(), &options, progress)? {
                if let Some(moved) = self.moved.iter_mut().find(|moved| moved.head == head) {
                    moved.attention.push(bits);
                }
            }
        }
        Ok(())
    }

    /// The studies, a step each.
    pub fn studies(&self) -> &[Study] {
        &self.studies
    }

    /// How far each head goes, in the order of the model.
    pub fn movements(&self) -> &[HeadMovement] {
        &self.moved
    }

    /// Brings a column to all steps; see [`Study::add_column`].
    ///
    /// # Errors
    /// Those of [`Study::add_column`].
    pub fn add_column(&mut self, column: &TokenColumn) -> Result<(), Error> {
        self.studies
            .iter_mut()
            .try_for_each(|study| study.add_column(column.clone()))
    }

    /// Says which tokens are drawn; see [`Study::set_filter`].
    ///
    /// # Errors
    /// Those of [`Study::set_filter`].
    pub fn set_filter(&mut self, filter: &TokenFilter) -> Result<(), Error> {
        self.studies
            .iter_mut()
            .try_for_each(|study| study.set_filter(filter.clone()))
    }

    /// The plot of a state at a step, counted from 0. Between two steps points are on their way from one to the other.
    pub fn at(&self, step: f32) -> AtStep<'_> {
        let last = self.studies.len().saturating_sub(1);
        let step = if step.is_nan() { 0.0 } else { step };
        AtStep {
            steps: self,
            step: step.clamp(0.0, last as f32),
        }
    }

    /// How far heads go, a row per head: see [`HeadMovement`].
    pub fn table(&self) -> Table {
        let mut table = Table::new(self.moved.len());
        let model = self.studies.first().map(|study| study.capture().model());
        table.texts("head", |row| {
            model.map_or_else(String::new, |model| model.head_name(self.moved[row].head))
        });
        for step in 1..self.studies.len() {
            let next = step + 1;
            let moved = |row: usize| self.moved[row].moved.get(step - 1).copied();
            table.numbers(format!("picture {step} to {next}"), moved);
            let attention = |row: usize| self.moved[row].attention.get(step - 1).copied();
            table.numbers(format!("attention {step} to {next}"), attention);
        }
        table
    }

    /// The heads whose attention moves most from the first checkpoint to the last, most first.
    pub fn most_moved(&self, count: usize) -> Vec<HeadId> {
        let way = |head: &HeadMovement| head.attention.iter().sum::<f32>();
        let mut heads: Vec<&HeadMovement> = self.moved.iter().collect();
        heads.sort_by(|a, b| way(b).total_cmp(&way(a)));
        heads.into_iter().take(count).map(|head| head.head).collect()
    }

    /// The table of how far heads go, as Markdown.
    pub fn markdown(&self) -> String {
        let names: Vec<&str> = self
            .studies
            .iter()
            .map(|study| study.capture().model().name.as_str())
            .collect();
        let mut page = format!("# Heads over {} steps\n\n", names.len());
        for (number, name) in names.iter().enumerate() {
            let _ = writeln!(page, "{}. {name}", number + 1);
        }
        page.push_str(
            "\nPicture: how far points move, as a share of the picture's size (about 1.4 for unrelated pictures). Attention: mean \
             Jensen-Shannon divergence in bits (0 for equal rows, 1 for rows that share no key).\n\n| head |",
        );
        let pairs: Vec<String> = (1..names.len()).map(|step| format!("{step} → {}", step + 1)).collect();
        for what in ["picture", "attention"] {
            for pair in &pairs {
                let _ = write!(page, " {what} {pair} |");
            }
        }
        page.push_str("\n|---|");
        page.push_str(&"---|".repeat(2 * pairs.len()));
        page.push('\n');
        for HeadMovement { head, moved, attention } in &self.moved {
            let name = self
                .studies
                .first()
                .map(|study| study.capture().model().head_name(*head));
            let _ = write!(page, "| {} |", name.unwrap_or_default());
            for value in moved {
                let _ = write!(page, " {value:.2} |");
            }
            for value in attention {
                let _ = write!(page, " {value:.3} |");
            }
            page.push('\n');
        }
        page
    }
}
