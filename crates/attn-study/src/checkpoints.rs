//! Checkpoints of a training run: the same heads with aligned layouts, and the movement of each head.

use std::fmt::Write as _;

use attn_analyze::heads::{DivergenceParams, divergence_between};
use attn_core::{Capture, HeadId, Progress, TokenColumn};
use attn_project::{
    AtlasParams,
    aligned::{Alignment, Movement},
    atlas::{HeadCheckpoints, atlas_checkpoints},
};
use attn_render::{Plot, Scene, Table, Target, Transition, ViewState, plot::Tooltip};
use serde::Serialize;

use crate::{Error, Study, TokenFilter, Weighting};

/// One study per checkpoint of a training run, with aligned layouts.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    studies: Vec<Study>,
    moved: Vec<HeadMovement>,
}

/// A training run at a checkpoint or between two: see [`Checkpoints::at`].
#[derive(Debug, Clone, Copy)]
pub struct AtCheckpoint<'a> {
    checkpoints: &'a Checkpoints,
    at: f32,
}

impl AtCheckpoint<'_> {
    /// The study of the nearest checkpoint.
    fn nearest(&self) -> Option<&Study> {
        self.checkpoints.studies.get(self.at.round() as usize)
    }
}

impl Plot for AtCheckpoint<'_> {
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> attn_render::Result<Scene> {
        let before = self.at.floor() as usize;
        let Some(study) = self.checkpoints.studies.get(before) else {
            return Ok(Scene::new(size, state.colors().background));
        };
        let scene = study.scene(state, size)?;
        let share = self.at - before as f32;
        match self.checkpoints.studies.get(before + 1) {
            Some(after) if share > 0.0 => Ok(Transition::new(&scene, after.scene(state, size)?, state).at(share)),
            _ => Ok(scene),
        }
    }

    /// The numbers of the nearest checkpoint.
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

/// Movement of a head from each checkpoint to the next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadMovement {
    /// The head.
    pub head: HeadId,
    /// Root mean square distance that its points move, as a share of the plot's size; see [`Movement::relative`].
    pub moved: Vec<f32>,
    /// The noise floor of that: how far the layouts of the last checkpoint and of a copy with 0.1 % of noise are apart.
    /// Movements of this size mean nothing.
    pub floor: f32,
    /// Change of its attention: mean Jensen-Shannon divergence of the rows in bits, 0 for equal, 1 for rows that share no key.
    pub attention: Vec<f32>,
}

impl Checkpoints {
    /// Checkpoints without projections yet: captures of the same sequences, in the order of training.
    pub fn new(captures: Vec<Capture>, params: &AtlasParams) -> Self {
        let studies = captures.into_iter().map(|capture| Study::new(capture, params));
        Self {
            studies: studies.collect(),
            moved: Vec::new(),
        }
    }

    /// Projects every head at all checkpoints together.
    ///
    /// ```
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_project::{AtlasParams, pca::Pca};
    /// use attn_study::checkpoints::Checkpoints;
    ///
    /// let mut captures = Vec::new();
    /// for model in attn_embedded::SENTIMENT_EPOCHS {
    ///     captures.push(Capturer::load(&model.checkpoint()?)?.capture_lines(sentences().take(10))?);
    /// }
    /// let params = AtlasParams { method: Pca.into(), ..AtlasParams::default() };
    /// let checkpoints = Checkpoints::project(captures, &params, &())?;
    /// assert_eq!((checkpoints.studies().len(), checkpoints.movements().len()), (4, 16));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`atlas_checkpoints`] and [`divergence_between`]: other sequences, a cancellation. [`Error::HeadFailed`] for the
    /// first head that cannot be projected: left out, it would look like one that does not move.
    pub fn project(captures: Vec<Capture>, params: &AtlasParams, progress: &dyn Progress) -> Result<Self, Error> {
        let mut checkpoints = Self::new(captures, params);
        let heads = std::cell::RefCell::new(Vec::new());
        let collect = |head| heads.borrow_mut().push(head);
        checkpoints.project_heads(&collect, progress)?;
        for head in heads.into_inner() {
            checkpoints.insert(head);
        }
        checkpoints.compare(progress)?;
        Ok(checkpoints)
    }

    /// Projects every head and passes each to `on_head` when it is done, for [`insert`](Self::insert).
    ///
    /// # Errors
    /// Those of [`atlas_checkpoints`]; [`Error::HeadFailed`] for the first head that cannot be projected.
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

    /// Adds a head to all checkpoints.
    pub fn insert(&mut self, head: HeadCheckpoints) {
        let Some(id) = head.head() else { return };
        for (study, checkpoint) in self.studies.iter_mut().zip(head.checkpoints) {
            study.insert(checkpoint);
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
            floor: head.floor,
            attention: Vec::new(),
        });
        self.moved.sort_by_key(|moved| moved.head);
    }

    /// Measures the change of attention of the heads so far, from each checkpoint to the next.
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

    /// The studies, one per checkpoint.
    pub fn studies(&self) -> &[Study] {
        &self.studies
    }

    /// Movement of each head, in the order of the model.
    pub fn movements(&self) -> &[HeadMovement] {
        &self.moved
    }

    /// Adds a column to all checkpoints; see [`Study::add_column`].
    ///
    /// # Errors
    /// Those of [`Study::add_column`].
    pub fn add_column(&mut self, column: &TokenColumn) -> Result<(), Error> {
        self.studies
            .iter_mut()
            .try_for_each(|study| study.add_column(column.clone()))
    }

    /// Sets the filter of drawn tokens; see [`Study::set_filter`].
    ///
    /// # Errors
    /// Those of [`Study::set_filter`].
    pub fn set_filter(&mut self, filter: &TokenFilter) -> Result<(), Error> {
        self.studies
            .iter_mut()
            .try_for_each(|study| study.set_filter(filter.clone()))
    }

    /// Sets the weighting of attention at every checkpoint; see [`Study::set_weighting`]. [`Weighting::Output`] holds the matrices of
    /// the last checkpoint, so that the others have raw weights then.
    pub fn set_weighting(&mut self, weighting: &Weighting) {
        let last = self.studies.len().saturating_sub(1);
        for (at, study) in self.studies.iter_mut().enumerate() {
            study.set_weighting(match weighting {
                Weighting::Output(_) if at < last => Weighting::Attention,
                other => other.clone(),
            });
        }
    }

    /// Names roles of heads in the matrix of the last checkpoint, which they were found at; see [`Study::set_roles`].
    pub fn set_roles(&mut self, roles: impl IntoIterator<Item = (HeadId, String)>) {
        if let Some(last) = self.studies.last_mut() {
            last.set_roles(roles);
        }
    }

    /// The plot at a checkpoint, counted from 0. Between two checkpoints, points are interpolated.
    pub fn at(&self, checkpoint: f32) -> AtCheckpoint<'_> {
        let last = self.studies.len().saturating_sub(1);
        let at = if checkpoint.is_nan() { 0.0 } else { checkpoint };
        AtCheckpoint {
            checkpoints: self,
            at: at.clamp(0.0, last as f32),
        }
    }

    /// Movement of heads, a row per head: see [`HeadMovement`].
    pub fn table(&self) -> Table {
        let mut table = Table::new(self.moved.len());
        let model = self.studies.first().map(|study| study.capture().model());
        table.texts("head", |row| {
            model.map_or_else(String::new, |model| model.head_name(self.moved[row].head))
        });
        table.numbers("noise floor", |row| Some(self.moved[row].floor));
        for from in 1..self.studies.len() {
            let next = from + 1;
            let moved = |row: usize| self.moved[row].moved.get(from - 1).copied();
            table.numbers(format!("points {from} to {next}"), moved);
            let attention = |row: usize| self.moved[row].attention.get(from - 1).copied();
            table.numbers(format!("attention {from} to {next}"), attention);
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
        let mut page = format!("# Heads at {} checkpoints\n\n", names.len());
        for (number, name) in names.iter().enumerate() {
            let _ = writeln!(page, "{}. {name}", number + 1);
        }
        page.push_str(
            "\nPoints: root mean square distance that points move, as a share of the plot's size (about 1.4 for unrelated layouts). \
             Floor: the same between the last checkpoint and a copy of it with 0.1 % of noise; movements of this size \
             mean nothing. Attention: mean Jensen-Shannon divergence in bits (0 for equal rows, 1 for rows that share no key).\n\n| head | floor |",
        );
        let pairs: Vec<String> = (1..names.len()).map(|from| format!("{from} → {}", from + 1)).collect();
        for what in ["points", "attention"] {
            for pair in &pairs {
                let _ = write!(page, " {what} {pair} |");
            }
        }
        page.push_str("\n|---|---|");
        page.push_str(&"---|".repeat(2 * pairs.len()));
        page.push('\n');
        for HeadMovement {
            head,
            moved,
            floor,
            attention,
        } in &self.moved
        {
            let name = self
                .studies
                .first()
                .map(|study| study.capture().model().head_name(*head));
            let _ = write!(page, "| {} | {floor:.2} |", name.unwrap_or_default());
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
