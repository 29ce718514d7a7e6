//! What can be hit, and what the pointer and the keyboard are at: nothing of it is saved.

use attn_core::HeadId;
use serde::{Deserialize, Serialize};

/// A point or item of a plot, and the head whose panel it is in.
///
/// Ids of points and tokens count the queries first, then the keys; those of patches count special tokens first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pick {
    /// The head of the panel; `None` where a plot has no heads.
    pub head: Option<HeadId>,
    /// The id.
    pub id: u32,
}

/// What a hit test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// The panel of a head.
    Head(HeadId),
    /// A point.
    Point(Pick),
    /// An area that stands for something: a token, a patch, a bar, a node of a tree.
    Item(Pick),
    /// A token of a sentence: a click switches it off or on again, with Shift a click isolates it.
    Token(Pick),
    /// A class of a legend, by its index: a click hides or shows it.
    LegendClass(u32),
    /// A button that turns a legend to this page, counted from 0.
    LegendPage(u32),
    /// A place of a long text: a click scrolls to this token.
    ScrollTo(u32),
}

impl Target {
    /// The target of an area that stands for the item `id` of a plot.
    pub fn item(id: usize) -> Self {
        Self::Item(Pick {
            head: None,
            id: u32::try_from(id).unwrap_or(u32::MAX),
        })
    }

    /// The point, item or token; `None` for legends, scrolling and panels.
    pub fn pick(self) -> Option<Pick> {
        match self {
            Self::Point(pick) | Self::Item(pick) | Self::Token(pick) => Some(pick),
            _ => None,
        }
    }

    /// The id of the point or item.
    pub fn id(self) -> Option<u32> {
        self.pick().map(|pick| pick.id)
    }

    /// Whether it is part of a legend.
    pub fn is_legend(self) -> bool {
        matches!(self, Self::LegendClass(_) | Self::LegendPage(_))
    }

    /// The same in the panel of a head.
    pub(crate) fn in_panel(self, head: Option<HeadId>) -> Self {
        match self {
            Self::Point(pick) => Self::Point(Pick { head, ..pick }),
            Self::Item(pick) => Self::Item(Pick { head, ..pick }),
            Self::Token(pick) => Self::Token(Pick { head, ..pick }),
            other => other,
        }
    }
}

/// What the pointer is over, and where the keyboard is in the legend. A [`Controller`](crate::control::Controller) keeps it; linked
/// views may share it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interaction {
    /// The head whose panel the pointer is over.
    pub head: Option<HeadId>,
    /// The point or item that the pointer is over.
    pub pick: Option<Pick>,
    /// The legend entry that the keyboard is at, counted from 0 among those that can be pressed.
    pub legend_mark: Option<u32>,
}

impl Interaction {
    /// Whether the pointer is over nothing and the keyboard is not in the legend.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
