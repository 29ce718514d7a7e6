//! A model over its training: the same heads in several checkpoints, in pictures that can be compared, and how far each moves.

use std::fmt::Write as _;

use attn_analyze::heads::{DivergenceParams, divergence_between};
use attn_core::{Capture, HeadId, Progress};
use attn_project::{Alignment, AtlasParams, HeadSteps, Movement, atlas_steps};
use attn_render::{Cells, Scene, Table, Transition, View};
use serde::Serialize;

use crate::{Column, Error, Study, TokenFilter};

/// One study per step of a training, whose pictures belong together.
#[derive(Debug, Clone)]
pub struct Steps {
    studies: Vec<Study>,
    moved: Vec<HeadMovement>,
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
    /// use attn_project::{AtlasParams, Method};
    /// use attn_study::Steps;
    ///
    /// let mut captures = Vec::new();
    /// for model in attn_embedded::SENTIMENT_EPOCHS {
    ///     captures.push(Capturer::load(&model.checkpoint()?)?.capture_lines(sentences().take(10))?);
    /// }
    /// let params = AtlasParams { method: Method::Pca, ..AtlasParams::default() };
    /// let steps = Steps::project(captures, &params, &())?;
    /// assert_eq!((steps.studies().len(), steps.movements().len()), (4, 16));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`atlas_steps`] and [`divergence_between`]: other sequences, a cancellation.
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
    /// Those of [`atlas_steps`].
    pub fn project_heads(&self, on_head: &dyn Fn(HeadSteps), progress: &dyn Progress) -> Result<(), Error> {
        let captures: Vec<&Capture> = self.studies.iter().map(Study::capture).collect();
        let Some(first) = self.studies.first() else {
            return Ok(());
        };
        Ok(atlas_steps(
            &captures,
            first.params(),
            Alignment::default(),
            on_head,
            progress,
        )?)
    }

    /// Adds a head to all steps.
    pub fn insert(&mut self, head: HeadSteps) {
        let Some(id) = head.head() else { return };
        for (study, step) in self.studies.iter_mut().zip(head.steps) {
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
    pub fn add_column(&mut self, column: &Column) -> Result<(), Error> {
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

    /// The view's scene at a step, counted from 0; between two, points are on their way from one to the other.
    ///
    /// # Errors
    /// Those of [`Study::scene`].
    pub fn scene(&self, at: f32, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        let last = self.studies.len().saturating_sub(1);
        let at = at.clamp(0.0, last as f32);
        let before = (at.floor() as usize).min(last);
        let Some(study) = self.studies.get(before) else {
            return Ok(Scene::new(size, view.colors().background));
        };
        let scene = study.scene(view, size)?;
        let share = at - before as f32;
        match self.studies.get(before + 1) {
            Some(after) if share > 0.0 => Ok(Transition::new(&scene, after.scene(view, size)?, view).at(share)),
            _ => Ok(scene),
        }
    }

    /// How far heads go, a row per head: see [`HeadMovement`].
    ///
    /// # Errors
    /// None at present.
    pub fn table(&self) -> Result<Table, Error> {
        let mut table = Table::default();
        let model = self.studies.first().map(|study| study.capture().model());
        let name = |moved: &HeadMovement| model.map_or_else(String::new, |model| model.head_name(moved.head));
        table.push("head", Cells::Texts(self.moved.iter().map(name).collect()))?;
        for step in 1..self.studies.len() {
            let values = |of: fn(&HeadMovement) -> &[f32]| {
                let value = |moved: &HeadMovement| of(moved).get(step - 1).copied().unwrap_or(f32::NAN);
                Cells::Numbers(self.moved.iter().map(value).collect())
            };
            table.push(format!("picture {step} to {}", step + 1), values(|moved| &moved.moved))?;
            table.push(
                format!("attention {step} to {}", step + 1),
                values(|moved| &moved.attention),
            )?;
        }
        Ok(table)
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
