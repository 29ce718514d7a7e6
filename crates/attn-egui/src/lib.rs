#![doc = include_str!("../README.md")]

mod canvas;
pub mod colors;
pub mod commands;
mod direct;
mod error;
pub mod export;
pub mod fold_panel;
mod fonts;
mod help;
mod input;
pub mod jobs;
mod notes;
pub mod open_dialog;
mod progress;
pub mod scene_view;
mod search_box;
pub mod session;
pub mod shortcuts;
pub mod table;
pub mod toolbar;

pub use attn_core;
pub use attn_render;
pub use egui;
pub use egui_wgpu;

pub use colors::apply_theme;
pub use direct::draw_directly;
pub use error::{Error, Result};
pub use export::Exports;
pub use fold_panel::FoldPanel;
pub use help::key_help;
pub use jobs::Jobs;
pub use notes::Notes;
pub use progress::progress_bar;
pub use scene_view::{SceneResponse, SceneView, link_views};
pub use search_box::search_box;
pub use table::TextTable;
