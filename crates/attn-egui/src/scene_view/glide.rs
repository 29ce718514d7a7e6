//! A large scene under a moving camera: the last picture is shifted at once, and drawn anew when the camera rests.
//!
//! On a software rasterizer a picture of 400,000 points takes most of a second; shifting it takes nothing. What comes into sight
//! from outside is blank until then.

use attn_render::{
    Scene, ViewState,
    projection::Projection,
    scene::{Axes, Motion},
};
use egui::{Color32, Mesh, Rect, TextureId, Ui, Vec2, pos2, vec2};

use super::SceneView;
use crate::direct::Part;

/// Scenes of more points are shifted.
const LARGE: usize = 50_000;
/// How long a camera must rest, in seconds.
const RESTS: f64 = 0.12;

/// Where the last picture is shown, both in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Glide {
    /// The part that moves.
    clip: attn_render::geometry::Rect,
    by: [f32; 2],
    /// Whether its ground is that of a panel, else that of the page.
    pub(super) inside: bool,
}

impl Glide {
    /// What is painted in place of the picture that fills `whole`: the shifted part with what stays around it, and the ground that
    /// the part leaves blank. Every pixel is painted once, because a software rasterizer pays for each.
    pub(super) fn parts(&self, whole: Rect, scale: f32, ground: Color32) -> Vec<Part> {
        let at = |p: [f32; 2]| whole.min + vec2(p[0], p[1]) / scale;
        let clip = Rect::from_min_max(at(self.clip.min), at(self.clip.max)).intersect(whole);
        // By whole pixels, which stay what they are.
        let by = Vec2::from(self.by.map(f32::round)) / scale;
        let place = clip.translate(by).intersect(clip);
        let stays = around(whole, clip).map(|place| Part::Picture(place, Vec2::ZERO));
        let bare = around(clip, place).map(|place| Part::Blank(place, ground));
        let mut parts: Vec<Part> = stays.chain(bare).collect();
        if place.is_positive() {
            parts.push(Part::Picture(place, by));
        }
        parts
    }
}

/// Parts of a picture that fills `whole`, for egui's shader.
pub(super) fn meshes(parts: &[Part], whole: Rect, texture: TextureId) -> [Mesh; 2] {
    let (mut picture, mut blank) = (Mesh::with_texture(texture), Mesh::default());
    let corner = |p: egui::Pos2| ((p - whole.min) / whole.size()).to_pos2();
    for part in parts {
        match part {
            Part::Picture(place, by) => {
                let from = place.translate(-*by);
                let part = Rect::from_min_max(corner(from.min), corner(from.max));
                picture.add_rect_with_uv(*place, part, Color32::WHITE);
            }
            Part::Blank(place, color) => blank.add_colored_rect(*place, *color),
        }
    }
    [picture, blank]
}

/// The parts of a rectangle around another one within it.
fn around(whole: Rect, within: Rect) -> impl Iterator<Item = Rect> {
    let (min, max) = if within.is_positive() {
        (within.min, within.max)
    } else {
        (whole.left_bottom(), whole.right_bottom())
    };
    let parts = [
        Rect::from_min_max(whole.min, pos2(whole.max.x, min.y)),
        Rect::from_min_max(pos2(whole.min.x, max.y), whole.max),
        Rect::from_min_max(pos2(whole.min.x, min.y), pos2(min.x, max.y)),
        Rect::from_min_max(pos2(max.x, min.y), pos2(whole.max.x, max.y)),
    ];
    parts.into_iter().filter(|part| part.is_positive())
}

impl SceneView {
    /// Whether the last picture is shifted instead of drawn anew.
    pub(super) fn glides(&mut self, ui: &Ui, view: &ViewState) -> bool {
        let now = ui.input(|input| input.time);
        let moved = self.seen.as_ref().is_none_or(|(seen, _)| seen != view);
        if moved {
            self.seen = Some((view.clone(), now));
        }
        let since = self.seen.as_ref().map_or(now, |(_, since)| *since);
        self.glide = self
            .scene
            .as_ref()
            .zip(self.drawn_for.as_ref())
            .and_then(|(scene, (drawn, size))| {
                (*size == self.size && now - since < RESTS && self.moving.is_none())
                    .then(|| between(scene, drawn, view, self.size))
                    .flatten()
            });
        if self.glide.is_some() {
            ui.ctx()
                .request_repaint_after(std::time::Duration::from_secs_f64(RESTS));
        }
        self.glide.is_some()
    }
}

/// How a picture for one state is shifted to be nearly that for another; `None` unless only a flat camera moved over many points.
fn between(scene: &Scene, drawn: &ViewState, view: &ViewState, size: [u32; 2]) -> Option<Glide> {
    let points = scene.layers.iter().map(|layer| layer.points.len()).sum::<usize>();
    let same = ViewState {
        stage: view.stage,
        inside: view.inside,
        ..drawn.clone()
    };
    if points < LARGE || same != *view || drawn.stage.zoom != view.stage.zoom || drawn.inside.zoom != view.inside.zoom {
        return None;
    }
    let size = size.map(|side| side as f32);
    let [before, after] = [drawn, view].map(|state| Projection::new(scene, state, size));
    let mut found = None;
    for (index, panel) in scene.panels.iter().enumerate() {
        let place = |projection: &Projection| projection.panels[index].px_from_data.apply([0.0; 3]);
        let (from, to) = (place(&before), place(&after));
        let by = [to[0] - from[0], to[1] - from[1]];
        if by == [0.0; 2] {
            continue;
        }
        let glide = match panel.motion {
            Motion::Stage => Glide {
                clip: after.px_rect(scene.stage),
                by,
                inside: false,
            },
            Motion::Inside if panel.axes != Axes::Space => Glide {
                clip: after.panels[index].clip,
                by,
                inside: true,
            },
            _ => return None,
        };
        // Panels that move differently cannot be shifted together.
        let near = |other: &Glide| (other.by[0] - by[0]).abs() < 0.5 && (other.by[1] - by[1]).abs() < 0.5;
        if found.as_ref().is_some_and(|other| !near(other)) {
            return None;
        }
        found.get_or_insert(glide);
    }
    found
}

#[cfg(test)]
mod tests {
    use attn_core::{Attention, HeadId};
    use attn_render::{
        Plot,
        plots::{Coordinates, Head},
    };

    use super::*;

    /// The rectangles of a mesh: where they are, and their part of the texture.
    fn rectangles(mesh: &Mesh) -> impl Iterator<Item = (Rect, Rect)> {
        mesh.vertices.chunks(4).map(|corners| {
            let (first, last) = (corners[0], corners[3]);
            (
                Rect::from_min_max(first.pos, last.pos),
                Rect::from_min_max(first.uv, last.uv),
            )
        })
    }

    #[test]
    fn a_shifted_picture_is_where_the_camera_has_it() {
        let points: Vec<f32> = (0..120_000).map(|i| (i * 7919 % 1_000) as f32).collect();
        let head = HeadId::new(Attention::EncoderSelf, 0, 0);
        let plot = Head::new(head, Coordinates::new(points, 2).unwrap(), 1);
        let drawn = ViewState::default();
        let scene = plot.scene(&drawn, [400.0, 400.0]).unwrap();
        let mut view = drawn.clone();
        view.inside.pan([0.1, -0.05]);
        let glide = between(&scene, &drawn, &view, [400, 400]).unwrap();
        let panel = scene.panel_of(head).unwrap();
        let at = |view: &ViewState| {
            Projection::new(&scene, view, [400.0; 2]).panels[panel]
                .px_from_data
                .apply([500.0, 500.0, 0.0])
        };
        let (from, to) = (at(&drawn), at(&view));
        assert!((from[0] + glide.by[0] - to[0]).abs() < 0.1 && (from[1] + glide.by[1] - to[1]).abs() < 0.1);

        let whole = Rect::from_min_size(pos2(30.0, 50.0), vec2(400.0, 400.0));
        let parts = glide.parts(whole, 1.0, Color32::RED);
        let [picture, blank] = meshes(&parts, whole, TextureId::User(0));
        let clip = Rect::from_min_max(glide.clip.min.into(), glide.clip.max.into()).translate(whole.min.to_vec2());
        for (x, y) in (0..400).flat_map(|x| (0..400).map(move |y| (x, y))) {
            let pixel = whole.min + vec2(x as f32 + 0.5, y as f32 + 0.5);
            // Where in the picture the pixel is from, or nowhere: of every rectangle that covers it.
            let painted: Vec<Option<Vec2>> = (rectangles(&picture).map(|found| (found, true)))
                .chain(rectangles(&blank).map(|found| (found, false)))
                .filter(|((place, _), _)| place.contains(pixel))
                .map(|((place, part), shows)| {
                    let from = part.min.to_vec2() + (pixel - place.min) / place.size() * part.size();
                    shows.then_some(from * 400.0)
                })
                .collect();
            let by = if clip.contains(pixel) {
                Vec2::from(glide.by.map(f32::round))
            } else {
                Vec2::ZERO
            };
            let wanted = Some(pixel - by - whole.min).filter(|_| !clip.contains(pixel) || clip.contains(pixel - by));
            assert_eq!(painted.len(), 1, "{pixel} is painted once");
            match (painted[0], wanted) {
                (Some(found), Some(wanted)) => {
                    assert!((found - wanted).length() < 0.01, "{pixel}: {found} for {wanted}")
                }
                (found, wanted) => assert_eq!(found, wanted, "{pixel}"),
            }
        }
        view.inside.zoom_at([0.5; 2], 1.5);
        assert_eq!(
            between(&scene, &drawn, &view, [400, 400]),
            None,
            "a zoomed picture is drawn"
        );
        let other = ViewState {
            first_token: 3,
            ..drawn.clone()
        };
        assert_eq!(between(&scene, &drawn, &other, [400, 400]), None, "only cameras moved");
    }
}
