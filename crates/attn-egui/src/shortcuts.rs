//! Keys that mean an action wherever the focus is.

use egui::{Context, Key, Modifiers};

use crate::input::take_keys;

/// A key, with the keys that are held, and what it asks for.
pub type Shortcut<A> = (Modifiers, Key, A);

/// The actions of the keys that were pressed since the last frame, in order. No widget sees these keys any more.
///
/// The shortcuts `anywhere` hold where text is typed too. Those `elsewhere` are keys that write: with `writes` they are left to the
/// text. Where two shortcuts match, the first is meant: put `Ctrl+Shift+S` before `Ctrl+S`.
///
/// ```
/// use attn_egui::{egui::{self, Key, Modifiers}, shortcuts::pressed_shortcuts};
///
/// let context = egui::Context::default();
/// let key = |key| egui::Event::Key {
///     key,
///     physical_key: None,
///     pressed: true,
///     repeat: false,
///     modifiers: Modifiers::NONE,
/// };
/// let input = egui::RawInput { events: vec![key(Key::T), key(Key::Home), key(Key::A)], ..Default::default() };
/// let mut asked = Vec::new();
/// let mut output = context.run_ui(input, |ui| {
///     let elsewhere = [(Modifiers::NONE, Key::T, "theme"), (Modifiers::NONE, Key::Home, "home")];
///     asked = pressed_shortcuts(ui.ctx(), &[], &elsewhere, false);
/// });
/// output.textures_delta.clear(); // nothing is drawn here
/// assert_eq!(asked, ["theme", "home"]);
/// ```
pub fn pressed_shortcuts<A: Clone>(
    context: &Context,
    anywhere: &[Shortcut<A>],
    elsewhere: &[Shortcut<A>],
    writes: bool,
) -> Vec<A> {
    let elsewhere = if writes { &[] } else { elsewhere };
    let mut asked = Vec::new();
    take_keys(context, |key, held| {
        let mut all = anywhere.iter().chain(elsewhere);
        let meant = all.find(|(wanted, own, _)| *own == key && held.matches_logically(*wanted));
        asked.extend(meant.map(|(.., action)| action.clone()));
        meant.is_some()
    });
    asked
}
