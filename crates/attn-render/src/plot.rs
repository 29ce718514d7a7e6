//! What can be drawn and tabulated: one trait for the plots of this crate and for those of a host.

use std::sync::Arc;

use crate::{Result, Scene, Table, Target, ViewState};

/// A plot: data that becomes a scene, and a table of the numbers behind it.
///
/// Every type in [`plots`](crate::plots) implements it, and so may a host's own: whatever takes a plot (the widget of
/// `attn-egui`, [`Exporter`](crate::Exporter), [`write_plot`](crate::write_plot)) takes both. Title, legend, caption and points
/// for a plot of your own are in [`plots::kit`](crate::plots::kit); `examples/custom_plot.rs` is one.
///
/// Plots own their data. Large arrays are shared ([`Arc`]), so that a clone costs little.
///
/// ```
/// use attn_render::{Color, scene::Label, Plot, Result, Scene, Table, ViewState};
///
/// /// A number, large.
/// struct Figure(f64);
///
/// impl Plot for Figure {
///     fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
///         let colors = state.colors();
///         let mut scene = Scene::new(size, colors.background);
///         let label = Label::new(0, [0.5 * size[0], 0.5 * size[1]], self.0.to_string(), 40.0, colors.text);
///         scene.layers[0].labels.push(label.aligned(0.5, 0.5));
///         Ok(scene)
///     }
///
///     fn table(&self, _: &ViewState) -> Result<Table> {
///         let mut table = Table::new(1);
///         table.numbers("value", |_| self.0);
///         Ok(table)
///     }
///
///     fn natural_size(&self) -> [f32; 2] {
///         [200.0, 80.0]
///     }
/// }
///
/// let plot: &dyn Plot = &Figure(4.5);
/// assert_eq!(plot.scene(&ViewState::default(), plot.natural_size())?.layers[0].labels.len(), 1);
/// # Ok::<(), attn_render::Error>(())
/// ```
pub trait Plot: Send + Sync {
    /// The scene, laid out in `size` layout units (width, height).
    ///
    /// It may depend on all of the state but its cameras, which move what is drawn.
    ///
    /// # Errors
    /// [`Error::Empty`](crate::Error::Empty) without data, [`Error::Shape`](crate::Error::Shape) and
    /// [`Error::NotFinite`](crate::Error::NotFinite) for data that does not fit together.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene>;

    /// The numbers behind the scene.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    fn table(&self, state: &ViewState) -> Result<Table>;

    /// A size, in layout units, at which everything is legible.
    fn natural_size(&self) -> [f32; 2];

    /// What is said of something under the pointer; nothing by default.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let _ = target;
        None
    }
}

/// A box with words beside the pointer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tooltip {
    /// In bold; may be empty.
    pub title: String,
    /// Lines under the title.
    pub lines: Vec<String>,
    /// A sentence, word by word, under the lines.
    pub words: Vec<TooltipWord>,
}

impl Tooltip {
    /// A box with a title alone.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// The same with one more line.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Title and lines as one text: `cat, query 3 of line 1`. Vector drawings have it as the title of a point.
    pub fn text(&self) -> String {
        let parts = std::iter::once(&self.title).chain(&self.lines);
        let parts: Vec<&str> = parts.map(String::as_str).filter(|part| !part.is_empty()).collect();
        parts.join(", ")
    }
}

/// A word of a [`Tooltip`].
#[derive(Debug, Clone, PartialEq)]
pub struct TooltipWord {
    /// Its text.
    pub text: String,
    /// How strong its ground is, 0 to 1: the attention between it and the token under the pointer.
    pub weight: f32,
    /// Whether the weight is that of a key, which gives the ground its color; else that of a query.
    pub key: bool,
    /// Whether it is the token under the pointer.
    pub itself: bool,
}

macro_rules! pass_on {
    ($($of:ty),*) => {$(
        impl<P: Plot + ?Sized> Plot for $of {
            fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
                (**self).scene(state, size)
            }

            fn table(&self, state: &ViewState) -> Result<Table> {
                (**self).table(state)
            }

            fn natural_size(&self) -> [f32; 2] {
                (**self).natural_size()
            }

            fn tooltip(&self, target: Target) -> Option<Tooltip> {
                (**self).tooltip(target)
            }
        }
    )*};
}
pass_on!(&P, Box<P>, Arc<P>);

/// A plot that is made anew whenever it is drawn: see [`deferred`].
pub struct Deferred<F, T> {
    make: F,
    tooltip: T,
}

/// A plot that is made when it is drawn, for plots whose making depends on the state or costs more than a frame has.
///
/// ```
/// use attn_render::{Plot, ViewState, plot::deferred, plots::Histogram};
/// // The bins follow the zoom.
/// let plot = deferred(|state: &ViewState| {
///     let mut histogram = Histogram::new([0.0, 0.4, 1.0]);
///     histogram.bins = (4.0 * state.stage.zoom) as usize;
///     Ok::<_, attn_render::Error>(histogram)
/// });
/// assert_eq!(plot.table(&ViewState::default())?.rows(), 4);
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn deferred<P, E, F>(make: F) -> Deferred<F, fn(Target) -> Option<Tooltip>>
where
    P: Plot,
    E: Into<crate::Error>,
    F: Fn(&ViewState) -> Result<P, E> + Send + Sync,
{
    Deferred {
        make,
        tooltip: |_| None,
    }
}

impl<F, T> Deferred<F, T> {
    /// The same with these words under the pointer; by default there are none, since a plot would be made for them.
    pub fn tooltips<U: Fn(Target) -> Option<Tooltip> + Send + Sync>(self, tooltip: U) -> Deferred<F, U> {
        Deferred {
            make: self.make,
            tooltip,
        }
    }
}

/// The size of a plot that cannot be made.
const UNKNOWN: [f32; 2] = [640.0, 480.0];

impl<P, E, F, T> Plot for Deferred<F, T>
where
    P: Plot,
    E: Into<crate::Error>,
    F: Fn(&ViewState) -> Result<P, E> + Send + Sync,
    T: Fn(Target) -> Option<Tooltip> + Send + Sync,
{
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        (self.make)(state).map_err(Into::into)?.scene(state, size)
    }

    fn table(&self, state: &ViewState) -> Result<Table> {
        (self.make)(state).map_err(Into::into)?.table(state)
    }

    fn natural_size(&self) -> [f32; 2] {
        let made = (self.make)(&ViewState::default());
        made.map_or(UNKNOWN, |plot| plot.natural_size())
    }

    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        (self.tooltip)(target)
    }
}

/// A plot with more drawn over it: see [`over`].
pub struct Over<P, F> {
    plot: P,
    draw: F,
}

/// A plot over whose scene `draw` draws more: marks, labels, lines of a host's own.
///
/// ```
/// use attn_render::{scene::Label, Plot, ViewState, plot::over, plots::Histogram};
/// let plot = over(Histogram::new([0.0, 1.0]), |scene, state| {
///     let note = Label::new(0, [8.0, 8.0], "preliminary", 10.0, state.colors().accent);
///     scene.layers[0].labels.push(note);
/// });
/// let scene = plot.scene(&ViewState::default(), plot.natural_size())?;
/// assert!(scene.layers[0].labels.iter().any(|label| &*label.text == "preliminary"));
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn over<P: Plot, F: Fn(&mut Scene, &ViewState) + Send + Sync>(plot: P, draw: F) -> Over<P, F> {
    Over { plot, draw }
}

impl<P: Plot, F: Fn(&mut Scene, &ViewState) + Send + Sync> Plot for Over<P, F> {
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        let mut scene = self.plot.scene(state, size)?;
        (self.draw)(&mut scene, state);
        Ok(scene)
    }

    fn table(&self, state: &ViewState) -> Result<Table> {
        self.plot.table(state)
    }

    fn natural_size(&self) -> [f32; 2] {
        self.plot.natural_size()
    }

    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        self.plot.tooltip(target)
    }
}
