//! A scene in the window, as a texture, and what was clicked in it. All that the browser knows of drawing.

use std::error::Error;

use attn_sdk::render::{Headless, Picker, Projection, Scene, View};
use eframe::egui;

/// How near to a point a click must be, in pixels.
const REACH: f32 = 8.0;

/// One picture at a time, drawn anew when what it shows or its size changes.
pub(crate) struct Canvas {
    headless: Headless,
    picker: Picker,
    drawn: Option<Drawn>,
}

struct Drawn {
    key: String,
    size: egui::Vec2,
    scene: Scene,
    texture: egui::TextureHandle,
}

impl Canvas {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            headless: Headless::new()?,
            picker: Picker::default(),
            drawn: None,
        })
    }

    /// Shows the scene that `scene` makes for a size, in `size` points; gives the id that was clicked. `key` names what is
    /// shown: as long as it stays, nothing is drawn anew.
    pub(crate) fn show(
        &mut self,
        ui: &mut egui::Ui,
        key: &str,
        size: egui::Vec2,
        view: &View,
        scene: impl FnOnce([f32; 2]) -> Result<Scene, Box<dyn Error>>,
    ) -> Result<Option<u32>, Box<dyn Error>> {
        let size = size.round().max(egui::vec2(200.0, 160.0));
        let current = self
            .drawn
            .as_ref()
            .is_some_and(|drawn| drawn.key == key && drawn.size == size);
        if !current {
            let scene = scene([size.x, size.y])?;
            let picture = self.headless.render(&scene, view, ui.pixels_per_point())?;
            let pixels = [picture.width() as usize, picture.height() as usize];
            let image = egui::ColorImage::from_rgba_unmultiplied(pixels, picture.rgba());
            let texture = ui.ctx().load_texture("picture", image, egui::TextureOptions::LINEAR);
            self.drawn = Some(Drawn {
                key: key.to_owned(),
                size,
                scene,
                texture,
            });
        }
        let Some(drawn) = &self.drawn else { return Ok(None) };
        let picture = egui::Image::new((drawn.texture.id(), size)).sense(egui::Sense::click());
        let response = ui.add(picture);
        let Some(at) = response.interact_pointer_pos().filter(|_| response.clicked()) else {
            return Ok(None);
        };
        let at = at - response.rect.min;
        let projection = Projection::new(&drawn.scene, view, [size.x, size.y]);
        let hit = self.picker.hit(&drawn.scene, &projection, [at.x, at.y], REACH);
        Ok(hit.and_then(|hit| hit.id))
    }
}
