#![doc = include_str!("../README.md")]

mod canvas;
mod colors;
mod commands;
mod error;
mod export;
mod fold_panel;
mod fonts;
mod help;
mod input;
mod jobs;
mod notes;
mod open_dialog;
mod progress;
mod scene_view;
mod search_box;
mod session;
mod shortcuts;
mod table;
mod toolbar;

pub use attn_core;
pub use attn_render;
pub use egui;
pub use egui_wgpu;

pub use attn_render::Format;
pub use colors::{apply_theme, egui_color, visuals};
pub use commands::{Command, CommandSearch, find_commands};
pub use error::Error;
pub use export::{Exports, export_menu};
pub use fold_panel::{Edge, FoldPanel};
pub use help::key_help;
pub use jobs::{Job, JobEvent, JobId, Jobs, RunningJob, Stage};
pub use notes::Notes;
pub use open_dialog::{OpenDialog, SessionDialog};
pub use progress::progress_bar;
pub use scene_view::{SceneResponse, SceneView, link_views};
pub use search_box::search_box;
pub use session::{Bookmark, Bookmarks, open_session, save_session};
pub use shortcuts::{Shortcut, pressed_shortcuts};
pub use table::{Sorting, TextTable, TextTableResponse};
pub use toolbar::{color_picker, history_buttons, patch_picker, theme_switch, tool_buttons};
