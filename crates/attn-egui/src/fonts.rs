//! Fonts of the system for text that egui draws itself: tables, fields, buttons.

use std::sync::Arc;

use attn_render::SystemFont;
use egui::{
    Context, FallbackRequest, FontData, FontFamily, FontInsert, FontProvider,
    epaint::text::{FontPriority, InsertFontFamily},
};

/// Has a window take fonts of the system for characters that its own fonts lack.
pub(crate) fn follow_system(ctx: &Context) {
    ctx.add_font_provider(Arc::new(OfSystem));
}

/// Both families of a window.
pub(crate) fn families(priority: FontPriority) -> Vec<InsertFontFamily> {
    let families = [FontFamily::Proportional, FontFamily::Monospace];
    families.map(|family| InsertFontFamily { family, priority }).into()
}

/// Finds a font at the first character that needs it.
struct OfSystem;

impl FontProvider for OfSystem {
    fn font_for(&self, request: &FallbackRequest<'_>) -> Option<FontInsert> {
        let font = SystemFont::with(request.cluster.chars().next()?)?;
        let data = FontData::from_blob(font.bytes, font.index);
        Some(FontInsert::new(&font.name, data, families(FontPriority::Lowest)))
    }
}
