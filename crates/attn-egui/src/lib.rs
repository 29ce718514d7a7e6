//! An egui widget for every view of attn-render.
