//! Numbers, views and inputs by chance, for tests of what never panics.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use attn_render::{
    Color, ViewState,
    control::{Input, Key, Tool},
    geometry::Rect,
};

/// SplitMix64 (Steele et al. 2014).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    /// Mostly within a page; sometimes what arithmetic stumbles over.
    pub fn number(&mut self) -> f32 {
        let odd = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            0.0,
            -0.0,
            -1e30,
        ];
        match self.below(12) {
            0 => odd[self.below(8) as usize],
            _ => self.below(4_000) as f32 / 10.0 - 100.0,
        }
    }

    pub fn pair(&mut self) -> [f32; 2] {
        [self.number(), self.number()]
    }

    pub fn triple(&mut self) -> [f32; 3] {
        [self.number(), self.number(), self.number()]
    }

    pub fn rect(&mut self) -> Rect {
        Rect {
            min: self.pair(),
            max: self.pair(),
        }
    }

    pub fn color(&mut self) -> Color {
        Color([0; 4].map(|_: u8| self.below(256) as u8))
    }
}

/// Cameras, odd ones among them.
pub fn view(random: &mut Random) -> ViewState {
    let mut view = ViewState::default();
    view.stage.zoom = random.number();
    view.stage.center = random.pair();
    view.inside.zoom = random.number();
    view.inside.center = random.pair();
    view.orbit.yaw = random.number();
    view.orbit.pitch = random.number();
    view.orbit.zoom = random.number();
    if random.below(2) == 0 {
        view = ViewState::default();
    }
    view
}

/// A user's action.
pub fn input(random: &mut Random) -> Input {
    let keys = [
        Key::Escape,
        Key::Plus,
        Key::Minus,
        Key::Home,
        Key::Left,
        Key::Down,
        Key::Next,
        Key::Previous,
        Key::Enter,
        Key::Legend,
        Key::SelectAll,
        Key::Undo,
        Key::Redo,
        Key::Tool(Tool::Look),
        Key::Tool(Tool::Box),
        Key::Tool(Tool::Lasso),
    ];
    let position = random.pair();
    match random.below(10) {
        0 => Input::Resized { size: position },
        1 | 2 => Input::PointerMoved { position },
        3 => Input::PointerPressed { position },
        4 => Input::PointerReleased { position },
        5 => Input::Wheel {
            position,
            notches: random.number(),
        },
        6 => Input::PointerLeft,
        7 => Input::Pan {
            position,
            by: random.pair(),
        },
        8 => Input::Finger {
            id: random.below(3),
            position: Some(position).filter(|_| random.below(3) > 0),
        },
        _ => Input::Key(keys[random.below(keys.len() as u64) as usize]),
    }
}
