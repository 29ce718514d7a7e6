//! New text or a new image: the model reads it, and its tokens are placed in the existing projections. A field under the plots,
//! which also takes files dropped on the window; and an option.

use std::error::Error;

use attn_sdk::{
    PlacedTokens, Progress, Study,
    core::{Capture, HeadId},
    models::{Capturer, images::Image},
    render::{Plot, over},
};
use eframe::egui::{Key, RichText, TextEdit, Ui};
use rayon::prelude::*;

use crate::{side::Side, window::Atlas};

/// Captures the typed text, or the image at a typed path.
pub(crate) fn read(capturer: &Capturer, typed: &str, progress: &dyn Progress) -> Result<Capture, Box<dyn Error>> {
    if capturer.model().vision().is_none() {
        return Ok(capturer.lines([typed]).progress(progress).run()?.capture);
    }
    let image = Image::from(typed.trim());
    Ok(capturer.images([image]).progress(progress).run()?.capture)
}

/// Places the typed text in these heads.
pub(crate) fn place(
    study: &Study,
    capturer: Option<&Capturer>,
    typed: &str,
    heads: &[HeadId],
    progress: &dyn Progress,
) -> Result<Vec<PlacedTokens>, Box<dyn Error>> {
    let capturer = capturer.ok_or("--place needs a model: replace --open by --model")?;
    let capture = read(capturer, typed, progress)?;
    let place = |head: &HeadId| study.placer(*head, progress)?.place(&capture, 0, progress);
    Ok(heads.par_iter().map(place).collect::<Result<_, attn_sdk::Error>>()?)
}

/// Draws placed tokens over a plot of their heads.
pub(crate) fn draw(guests: &[PlacedTokens], plot: impl Plot) -> impl Plot {
    over(plot, move |scene, view| {
        let colors = view.colors();
        guests.iter().for_each(|guest| guest.draw(scene, &colors));
    })
}

/// The hint of the field, if the model can be run.
fn reads(side: &Side) -> Option<&'static str> {
    let capturer = side.capturer.as_ref()?;
    match capturer.model().vision() {
        Some(_) => Some(
            "Drop an image on the window, or type its path and press Enter: squares show its patches in every head",
        ),
        None => capturer
            .tokenizer()
            .map(|_| "Type a sentence and press Enter: squares show its tokens in every head"),
    }
}

impl Atlas {
    /// The field for new text, captured by every shown model.
    pub(crate) fn guest(&mut self, ui: &mut Ui) {
        let hints: Vec<_> = self.sides.iter().map(reads).collect();
        let Some(hint) = hints[self.active].or_else(|| hints.iter().flatten().next().copied()) else {
            ui.label(RichText::new("New text needs a model with a tokenizer.").weak());
            return;
        };
        let side = &mut self.sides[self.active];
        let dropped = ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).next());
        if let Some(path) = &dropped {
            side.typed = path.display().to_string();
        }
        let field = TextEdit::singleline(&mut side.typed)
            .hint_text(hint)
            .desired_width(f32::INFINITY);
        let entered = ui.add(field).lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if entered || dropped.is_some() {
            let text = side.typed.clone();
            for side in self.sides.iter_mut().filter(|side| reads(side).is_some()) {
                side.typed.clone_from(&text);
                side.read_typed();
            }
        }
    }
}
