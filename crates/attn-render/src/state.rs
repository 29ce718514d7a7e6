//! View state: cameras, the open head, selection, search and colors. What a host saves, restores and undoes.

use std::collections::{BTreeMap, BTreeSet};

use attn_core::HeadId;
use serde::{Deserialize, Serialize};

use crate::{
    Pick, Selection, Theme,
    camera::{Camera, Orbit},
    color::{Colors, Palette},
    scene::PatchStyle,
};

/// What the color of a point stands for.
///
/// Saved as text: nothing for [`Auto`](Self::Auto), `query-key` for [`Role`](Self::Role), else the name of the values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ColorChoice {
    /// The values that a plot has; query or key where it has none. The default.
    #[default]
    Auto,
    /// Query or key, whatever values a plot has.
    Role,
    /// The values of this name. The maker of a plot defines the names.
    Values(String),
}

/// The name of [`ColorChoice::Role`].
const ROLE: &str = "query-key";

impl ColorChoice {
    /// The values of this name.
    pub fn values(name: impl Into<String>) -> Self {
        Self::Values(name.into())
    }

    /// The name of the values; `None` for the other choices.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Values(name) => Some(name),
            Self::Auto | Self::Role => None,
        }
    }
}

impl From<String> for ColorChoice {
    fn from(text: String) -> Self {
        match text.as_str() {
            "" => Self::Auto,
            ROLE | "query_key" => Self::Role,
            _ => Self::Values(text),
        }
    }
}

impl From<&str> for ColorChoice {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<ColorChoice> for String {
    fn from(choice: ColorChoice) -> Self {
        match choice {
            ColorChoice::Auto => Self::new(),
            ColorChoice::Role => ROLE.into(),
            ColorChoice::Values(name) => name,
        }
    }
}

/// The part of a view state that linked views of the same data share.
///
/// ```
/// use attn_render::{state::Shared, Theme, ViewState};
/// let from = ViewState::from(Shared { theme: Theme::Dark, ..Shared::default() });
/// let mut to = ViewState::default();
/// to.stage.zoom = 3.0;
/// to.shared = from.shared.clone(); // linked; the camera stays
/// assert_eq!((to.shared.theme, to.stage.zoom), (Theme::Dark, 3.0));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Shared {
    /// Light or dark.
    pub theme: Theme,
    /// The colors of queries and keys.
    pub palette: Palette,
    /// What the color of a point stands for.
    pub color: ColorChoice,
    /// How patches are drawn in the place of points; `None`, the default, draws points.
    pub patches: Option<PatchStyle>,
    /// Text whose tokens are highlighted.
    pub search: String,
    /// Points that a box or a lasso selected: highlighted in every head of their kind of attention.
    pub selected: Selection,
    /// Classes whose points are not drawn, by index, where points are colored by class.
    pub hidden_classes: BTreeSet<u32>,
    /// The page of a legend of many classes, counted from 0; beyond the last they start again.
    pub legend_page: u32,
    /// The values of this name as the sizes of points in an open head, such as `norm`; `None`, the default, draws all alike. The
    /// maker of a plot defines the names, as those of colors.
    pub size_by: Option<String>,
    /// Whether lines enclose where points are dense in an open head, with names where the maker of the plot knows them.
    /// Default: no.
    pub contours: bool,
    /// Whether [`ImageAttention`](crate::plots::ImageAttention) draws all flows between patches from weight 0.1 in place of the
    /// strongest of each. Default: no.
    pub all_flows: bool,
    /// Whether nothing moves by itself: a [`Transition`](crate::Transition) jumps to its end.
    pub reduced_motion: bool,
}

/// [`Shared`] as files have it. Those of the first versions say the color in two fields.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Saved {
    theme: Theme,
    palette: Palette,
    color: Option<ColorChoice>,
    color_mode: Option<String>,
    column: String,
    patches: Option<PatchStyle>,
    search: String,
    selected: Selection,
    hidden_classes: BTreeSet<u32>,
    legend_page: u32,
    size_by: Option<String>,
    contours: bool,
    all_flows: bool,
    reduced_motion: bool,
}

impl From<Saved> for Shared {
    fn from(saved: Saved) -> Self {
        let column = saved.column;
        let older = saved.color_mode.map(|mode| match mode.as_str() {
            "value" if !column.is_empty() => ColorChoice::Values(format!("column:{column}")),
            mode => mode.into(),
        });
        Self {
            theme: saved.theme,
            palette: saved.palette,
            color: saved.color.or(older).unwrap_or_default(),
            patches: saved.patches,
            search: saved.search,
            selected: saved.selected,
            hidden_classes: saved.hidden_classes,
            legend_page: saved.legend_page,
            size_by: saved.size_by,
            contours: saved.contours,
            all_flows: saved.all_flows,
            reduced_motion: saved.reduced_motion,
        }
    }
}

impl Shared {
    /// The colors of its theme and palette.
    pub fn colors(&self) -> Colors {
        Colors::new(self.theme, self.palette)
    }

    /// Hides the points of a class, or shows them again.
    pub fn toggle_class(&mut self, class: u32) {
        if !self.hidden_classes.remove(&class) {
            self.hidden_classes.insert(class);
        }
    }
}

/// How a plot is looked at: cameras, the open head, selection, colors. One value that a host owns, saves and restores; a
/// stack of them is undo. What the pointer is over is not part of it: see [`Interaction`](crate::Interaction).
///
/// ```
/// use attn_render::{state::Shared, Theme, ViewState};
/// let state = ViewState::from(Shared { theme: Theme::Dark, ..Shared::default() });
/// assert_eq!(state.open, None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ViewState {
    /// What linked views have in common.
    #[serde(flatten)]
    pub shared: Shared,
    /// The open head; `None` shows all heads.
    pub open: Option<HeadId>,
    /// Camera over all heads.
    pub stage: Camera,
    /// Camera inside an open panel.
    pub inside: Camera,
    /// Camera around clouds in three dimensions.
    pub orbit: Orbit,
    /// The point or item that was clicked.
    pub selection: Option<Pick>,
    /// Tokens of a [`Sentence`](crate::plots::Sentence) that are switched off: query ids, then key ids.
    pub hidden: BTreeSet<u32>,
    /// The first visible token of a long [`Sentence`](crate::plots::Sentence).
    pub first_token: u32,
    /// What a host adds under names of its own, such as a filter: saved, undone and redone with the rest. Plots do not read it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub host: BTreeMap<String, String>,
}

impl From<Shared> for ViewState {
    fn from(shared: Shared) -> Self {
        Self {
            shared,
            ..Self::default()
        }
    }
}

impl ViewState {
    /// The colors of its theme and palette.
    pub fn colors(&self) -> Colors {
        self.shared.colors()
    }

    /// Opens a head with fresh cameras and nothing selected.
    pub fn open_head(&mut self, head: HeadId) {
        self.open = Some(head);
        self.inside = Camera::default();
        self.forget();
    }

    /// Goes back to all heads, whose camera is where it was.
    pub fn close_head(&mut self) {
        self.open = None;
        self.forget();
    }

    /// Switches a token of a sentence off, or on again.
    pub fn toggle_hidden(&mut self, id: u32) {
        if !self.hidden.remove(&id) {
            self.hidden.insert(id);
        }
    }

    fn forget(&mut self) {
        self.selection = None;
        self.hidden.clear();
        self.first_token = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_at() -> ViewState {
        let mut state = ViewState::from(Shared {
            theme: Theme::Dark,
            search: "the".into(),
            legend_page: 3,
            color: ColorChoice::values("position-mod-5"),
            patches: Some(PatchStyle::Tinted),
            ..Shared::default()
        });
        state.open_head(HeadId::new(attn_core::Attention::DecoderSelf, 1, 2));
        state.toggle_hidden(4);
        state.shared.toggle_class(2);
        state.shared.selected = Selection::new(state.open, [1, 2, 3, 900]);
        state.stage.zoom = 2.5;
        state
    }

    #[test]
    fn a_state_survives_saving() {
        let mut state = looked_at();
        state.shared.size_by = Some("norm".into());
        (state.shared.contours, state.shared.all_flows) = (true, true);
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ViewState>(&text).unwrap(), state);
        assert_eq!(
            serde_json::from_str::<ViewState>("{}").unwrap(),
            ViewState::default(),
            "older files lack fields"
        );
        for color in [ColorChoice::Auto, ColorChoice::Role, ColorChoice::values("column:norm")] {
            let text = serde_json::to_string(&color).unwrap();
            assert_eq!(serde_json::from_str::<ColorChoice>(&text).unwrap(), color);
        }
    }

    #[test]
    fn a_file_of_the_first_version_opens() {
        let file = |color_mode: &str, column: &str| {
            format!(
                r#"{{"open":{{"attention":"decoder_self","layer":1,"head":2}},"stage":{{"center":[0.5,0.5],"zoom":2.5}},
                "inside":{{"center":[0.5,0.5],"zoom":1.0}},"orbit":{{"yaw":0.6,"pitch":0.35,"zoom":1.0}},
                "selection":null,"selected":{{"head":{{"attention":"decoder_self","layer":1,"head":2}},
                "runs":[[1,3],[900,900]]}},"hidden":[4],"search":"the","color_mode":"{color_mode}","column":"{column}",
                "patches":"tinted","hidden_classes":[2],"legend_page":3,"palette":"color_blind_safe","theme":"dark",
                "reduced_motion":false,"first_token":0}}"#
            )
        };
        let open = |color_mode, column| serde_json::from_str::<ViewState>(&file(color_mode, column)).unwrap();
        let mut expected = looked_at();
        for (mode, column, color) in [
            ("position-mod-5", "", ColorChoice::values("position-mod-5")),
            ("neighbors_kept", "upos", ColorChoice::values("neighbors_kept")),
            ("value", "upos", ColorChoice::values("column:upos")),
            ("value", "", ColorChoice::values("value")),
            ("query_key", "upos", ColorChoice::Role),
        ] {
            expected.shared.color = color;
            assert_eq!(open(mode, column), expected, "{mode} {column}");
        }
    }
}
