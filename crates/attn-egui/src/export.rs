//! The menu from which a picture and its numbers are written.

use attn_render::{Error, Headless, Scene, SvgOptions, Table, ViewState, svg};
use egui::Ui;

/// What a person wants to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Export {
    /// The picture as pixels, twice as fine as a screen.
    Png,
    /// The picture as a vector drawing.
    Svg,
    /// The numbers behind it, for spreadsheets.
    Csv,
    /// The numbers behind it, for programs.
    Json,
}

impl Export {
    /// Every kind, in the order of the menu.
    pub const ALL: [Self; 4] = [Self::Png, Self::Svg, Self::Csv, Self::Json];

    /// How the name of such a file ends, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// The file's content. Pictures show the scene as the view has it; `table` is only asked for numbers.
    ///
    /// PNG opens a device of its own, which takes a fraction of a second: hosts that export much keep a [`Headless`].
    ///
    /// # Errors
    /// Those of [`Headless`] and [`svg`].
    ///
    /// ```
    /// use attn_egui::Export;
    /// use attn_render::{Cells, Color, Scene, Table, ViewState};
    /// let mut table = Table::default();
    /// table.push("rho", Cells::Numbers(vec![-0.5]))?;
    /// let scene = Scene::new([100.0, 80.0], Color::default());
    /// let csv = Export::Csv.bytes(&scene, &ViewState::default(), || table.clone())?;
    /// assert_eq!(csv, b"rho\r\n-0.5\r\n");
    /// assert!(Export::Svg.bytes(&scene, &ViewState::default(), Table::default)?.starts_with(b"<svg"));
    /// # Ok::<(), attn_render::Error>(())
    /// ```
    pub fn bytes(self, scene: &Scene, view: &ViewState, table: impl FnOnce() -> Table) -> Result<Vec<u8>, Error> {
        match self {
            Self::Png => Headless::new()?.render(scene, view, 2.0)?.png_bytes(),
            Self::Svg => svg(scene, view, &SvgOptions::default()).map(String::into_bytes),
            Self::Csv => Ok(table().to_csv().into_bytes()),
            Self::Json => Ok(table().to_json().into_bytes()),
        }
    }
}

/// A menu of the `kinds` that the host can write; returns the one that was chosen.
pub fn export_menu(ui: &mut Ui, kinds: &[Export]) -> Option<Export> {
    let mut chosen = None;
    ui.menu_button("Export", |ui| {
        for kind in kinds {
            let name = match kind {
                Export::Png => "Picture (PNG)",
                Export::Svg => "Drawing (SVG)",
                Export::Csv => "Numbers (CSV)",
                Export::Json => "Numbers (JSON)",
            };
            if ui.button(name).clicked() {
                chosen = Some(*kind);
                ui.close();
            }
        }
    });
    chosen
}
