//! How far something is that takes longer than a second, and a way to stop it.

use egui::{ProgressBar, Ui};

/// Shows `done` of `total` steps of `stage` (those of an `attn_core::Progress`) and a button; returns whether it was clicked.
pub fn progress_bar(ui: &mut Ui, stage: &str, done: usize, total: usize) -> bool {
    ui.horizontal(|ui| {
        let share = if total == 0 { 0.0 } else { done as f32 / total as f32 };
        let width = (ui.available_width() - 80.0).clamp(80.0, 320.0);
        ui.add(
            ProgressBar::new(share.min(1.0))
                .desired_width(width)
                .text(format!("{stage}: {done} of {total}")),
        );
        ui.button("Stop").clicked()
    })
    .inner
}
