//! Plots as files: pixels, vector drawings and the numbers behind them. The one way that viewers, programs and examples take.

use std::path::Path;

use crate::{
    Error, Headless, Plot, Result, Scene, SvgOptions, Table, Target, ViewState, files::write_whole, interaction::Pick,
    svg::svg_with_titles,
};

/// What a plot is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The plot as pixels.
    Png,
    /// The plot as a vector drawing.
    Svg,
    /// The numbers behind it, for spreadsheets.
    Csv,
    /// The numbers behind it, for programs.
    Json,
}

impl Format {
    /// Every format, in the order of menus.
    pub const ALL: [Self; 4] = [Self::Png, Self::Svg, Self::Csv, Self::Json];

    /// The formats of a table.
    pub const NUMBERS: [Self; 2] = [Self::Csv, Self::Json];

    /// The end of a file's name, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// The format that a file's name asks for.
    ///
    /// # Errors
    /// [`Error::Format`] for any other name.
    ///
    /// ```
    /// use attn_render::Format;
    /// assert_eq!(Format::of("out/matrix.SVG")?, Format::Svg);
    /// assert!(Format::of("matrix").is_err());
    /// # Ok::<(), attn_render::Error>(())
    /// ```
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let found = Self::ALL
            .into_iter()
            .find(|format| format.extension().eq_ignore_ascii_case(end));
        found.ok_or_else(|| Error::Format { path: path.to_owned() })
    }

    /// The content of a file that holds a table alone; `None` for pictures.
    pub fn table_bytes(self, table: &Table) -> Option<Vec<u8>> {
        match self {
            Self::Csv => Some(table.to_csv().into_bytes()),
            Self::Json => Some(table.to_json().into_bytes()),
            Self::Png | Self::Svg => None,
        }
    }
}

/// Writes plots as files, and keeps the graphics device between two pictures. Opening one takes a fraction of a second, which
/// happens at the first PNG.
///
/// ```
/// use attn_render::{Exporter, Format, ViewState, plots::Histogram};
/// let plot = Histogram { bins: 2, ..Histogram::new([0.0, 0.1, 1.0]) };
/// let mut exporter = Exporter::default();
/// let csv = exporter.bytes(&plot, &ViewState::default(), Format::Csv)?;
/// assert_eq!(csv, b"from,to,count\r\n0,0.5,2\r\n0.5,1,1\r\n");
/// assert!(exporter.bytes(&plot, &ViewState::default(), Format::Svg)?.starts_with(b"<svg"));
/// # Ok::<(), attn_render::Error>(())
/// ```
pub struct Exporter {
    /// Pixels per layout unit of a PNG: 2, the default, is sharp on screens, 4 in print.
    pub scale: f32,
    /// Width and height of the layout; `None`, the default, for the natural size of each plot.
    pub size: Option<[f32; 2]>,
    /// How scenes become SVG files.
    pub svg: SvgOptions,
    /// Whether PNG files take fonts of the system for characters that the bundled fonts lack. Such pictures differ between
    /// machines, others do not. Default: no.
    pub system_fonts: bool,
    headless: Option<Headless>,
}

impl Default for Exporter {
    fn default() -> Self {
        Self {
            scale: 2.0,
            size: None,
            svg: SvgOptions::default(),
            system_fonts: false,
            headless: None,
        }
    }
}

impl Exporter {
    /// Writes with this device, to which a host gave its fonts.
    pub fn with_device(headless: Headless) -> Self {
        Self {
            headless: Some(headless),
            ..Self::default()
        }
    }

    /// The device, opened if there is none yet.
    ///
    /// # Errors
    /// Those of `Headless::new`.
    #[cfg(not(target_family = "wasm"))]
    pub fn device(&mut self) -> Result<&mut Headless> {
        let headless = match self.headless.take() {
            Some(headless) => headless,
            None => Headless::new()?,
        };
        Ok(self.headless.insert(headless))
    }

    /// A sentence on the characters that were drawn as boxes so far, because no font has them; `None` if there are none.
    pub fn missing_note(&self) -> Option<String> {
        self.headless.as_ref()?.missing_note()
    }

    #[cfg(not(target_family = "wasm"))]
    fn pixels(&mut self, scene: &Scene, state: &ViewState, scale: f32) -> Result<Vec<u8>> {
        let system_fonts = self.system_fonts;
        let device = self.device()?;
        let mut image = device.render(scene, state, scale)?;
        if system_fonts && device.add_missing_fonts() {
            image = device.render(scene, state, scale)?;
        }
        image.png_bytes()
    }

    /// Reading pixels back would block, which a browser does not allow.
    #[cfg(target_family = "wasm")]
    fn pixels(&mut self, _: &Scene, _: &ViewState, _: f32) -> Result<Vec<u8>> {
        Err(Error::Device("a browser renders by Headless::render_async".to_owned()))
    }

    /// The content of a file.
    ///
    /// # Errors
    /// Those of [`Plot::scene`] and [`Plot::table`], of [`Headless`] and of [`svg`](crate::svg).
    pub fn bytes(&mut self, plot: &dyn Plot, state: &ViewState, format: Format) -> Result<Vec<u8>> {
        let size = self.size.unwrap_or_else(|| plot.natural_size());
        match format {
            Format::Png => {
                let scale = self.scale;
                let scene = plot.scene(state, size)?;
                self.pixels(&scene, state, scale)
            }
            Format::Svg => {
                let scene = plot.scene(state, size)?;
                Ok(svg_with_titles(&scene, state, &self.svg, &|scene, panel, id| {
                    title(plot, scene, panel, id)
                })?
                .into_bytes())
            }
            Format::Csv => Ok(plot.table(state)?.to_csv().into_bytes()),
            Format::Json => Ok(plot.table(state)?.to_json().into_bytes()),
        }
    }

    /// Writes a file, in the [format](Format::of) that its name asks for. It appears complete or not at all.
    ///
    /// # Errors
    /// Those of [`bytes`](Self::bytes), [`Error::Format`], and [`Error::Write`] if the file cannot be written.
    pub fn write(&mut self, plot: &dyn Plot, state: &ViewState, path: impl AsRef<Path>) -> Result<()> {
        let bytes = self.bytes(plot, state, Format::of(&path)?)?;
        write_whole(path.as_ref(), &bytes)
    }
}

/// What a drawing says of a point.
fn title(plot: &dyn Plot, scene: &Scene, panel: usize, id: u32) -> Option<String> {
    let head = scene.panels.get(panel)?.head;
    let tooltip = plot.tooltip(Target::Point(Pick { head, id }))?;
    Some(tooltip.text())
}

/// Writes a plot at its natural size, as PNG, SVG, CSV or JSON, whichever the file's name asks for. Programs that write much
/// keep an [`Exporter`].
///
/// # Errors
/// As [`Exporter::write`].
///
/// ```no_run
/// use attn_render::{ViewState, plots::Histogram, write_plot};
/// let histogram = Histogram::new([0.0, 0.1, 1.0]);
/// write_plot(&histogram, &ViewState::default(), "entropy.svg")?;
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn write_plot(plot: &dyn Plot, state: &ViewState, path: impl AsRef<Path>) -> Result<()> {
    Exporter::default().write(plot, state, path)
}

/// Writes a table as CSV or JSON, whichever the file's name asks for. The file appears complete or not at all.
///
/// # Errors
/// [`Error::Format`] for a name that asks for neither, [`Error::Write`] if the file cannot be written.
///
/// ```no_run
/// use attn_render::{Plot, ViewState, plots::Histogram, write_table};
/// let table = Histogram::new([0.0, 0.1, 1.0]).table(&ViewState::default())?;
/// write_table(&table, "entropy.csv")?;
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn write_table(table: &Table, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes = Format::of(path)?.table_bytes(table);
    let bytes = bytes.ok_or_else(|| Error::Format { path: path.to_owned() })?;
    write_whole(path, &bytes)
}
