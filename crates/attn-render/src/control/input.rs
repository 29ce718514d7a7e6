//! What a controller is told, and what it tells.

use attn_core::HeadId;

use crate::Pick;
#[cfg(doc)]
use crate::{ViewState, state::Shared};

/// A user's input. Positions are pixels of the target, from its left top.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// The target has another size, in pixels. Must come first.
    Resized {
        /// Width and height.
        size: [f32; 2],
    },
    /// The pointer is somewhere.
    PointerMoved {
        /// Where.
        position: [f32; 2],
    },
    /// The pointer left the target.
    PointerLeft,
    /// The main button went down.
    PointerPressed {
        /// Where.
        position: [f32; 2],
    },
    /// The main button went up.
    PointerReleased {
        /// Where.
        position: [f32; 2],
    },
    /// The wheel turned; a pinch does the same.
    Wheel {
        /// Where.
        position: [f32; 2],
        /// Notches, positive away from the person, which enlarges.
        notches: f32,
    },
    /// Two fingers moved, on a trackpad or a screen: what a drag with [`Tool::Look`] does, whatever the tool.
    Pan {
        /// Where.
        position: [f32; 2],
        /// How far, in pixels, as the content is to move.
        by: [f32; 2],
    },
    /// A finger touches a screen, for toolkits that tell of each of them: one is a pointer, two move and pinch.
    Finger {
        /// The system's name for it.
        id: u64,
        /// Where; `None` once it is lifted.
        position: Option<[f32; 2]>,
    },
    /// Shift went down or up. With it a click on a token isolates it instead of switching it off.
    Shift(bool),
    /// A key went down.
    Key(Key),
}

/// The keys a controller understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Key {
    /// Goes back: to the matrix, or to the whole of it.
    Escape,
    /// Enlarges.
    Plus,
    /// Shrinks.
    Minus,
    /// Shows everything again.
    Home,
    /// Moves or turns left.
    Left,
    /// Moves or turns right.
    Right,
    /// Moves or turns up.
    Up,
    /// Moves or turns down.
    Down,
    /// To the next head of the matrix, or the next point or token of an open head.
    Next,
    /// To the previous one.
    Previous,
    /// Presses what [`Key::Legend`] marked in the legend, else opens the head that [`Key::Next`] came to.
    Enter,
    /// Marks the next entry of the legend that can be pressed, around the end; Escape takes the mark away.
    Legend,
    /// Switches the token off, or on again, that [`Key::Next`] or a click with Shift came to.
    Switch,
    /// Selects every point in sight.
    SelectAll,
    /// Undoes the last change.
    Undo,
    /// Redoes the last undone change.
    Redo,
    /// Takes another tool.
    Tool(Tool),
}

impl Key {
    /// The key of a W3C name (`KeyboardEvent.key`), as browsers and winit have them: `ArrowLeft`, `Escape`, or the character.
    ///
    /// ```
    /// use attn_render::control::Key;
    /// assert_eq!(Key::from_name("ArrowLeft"), Some(Key::Left));
    /// assert_eq!(Key::from_name("u"), Some(Key::Undo));
    /// assert_eq!(Key::from_name("F1"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "Escape" => Self::Escape,
            "Enter" => Self::Enter,
            "ArrowLeft" => Self::Left,
            "ArrowRight" => Self::Right,
            "ArrowUp" => Self::Up,
            "ArrowDown" => Self::Down,
            "Home" => Self::Home,
            "+" => Self::Plus,
            "-" => Self::Minus,
            "c" => Self::Legend,
            "n" => Self::Next,
            "p" => Self::Previous,
            "x" | "Delete" => Self::Switch,
            "u" => Self::Undo,
            "r" => Self::Redo,
            _ => return None,
        })
    }
}

/// What a drag does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Moves or turns what is seen. The default.
    #[default]
    Look,
    /// Selects the points in a rectangle.
    Box,
    /// Selects the points within a drawn line.
    Lasso,
}

/// The meaning of an input.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// What is seen changed: draw again.
    ViewChanged,
    /// The pointer is over the panel of another head, or of none.
    HoverHead(Option<HeadId>),
    /// The pointer is over another point, token or patch, or over none.
    HoverPoint(Option<Pick>),
    /// A head was clicked, or zoomed into: [`ViewState::open`] names it.
    OpenHead(HeadId),
    /// A point, token or patch was clicked; `None`: empty space was.
    SelectPoint(Option<Pick>),
    /// A token of a sentence was switched off or on: [`ViewState::hidden`] changed.
    SwitchToken(u32),
    /// The number of selected points changed; [`Shared::selected`] has them.
    SelectPoints(usize),
    /// A class of the legend was clicked: [`Shared::hidden_classes`] changed.
    ToggleClass(u32),
    /// Another page of the legend is in sight: [`Shared::legend_page`].
    LegendPage(u32),
    /// The open head was left.
    Back,
}
