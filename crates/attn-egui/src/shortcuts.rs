//! Keys that mean an action wherever the focus is.

use egui::{Context, Event, Key, Modifiers};

/// A key, with the keys that are held, and what it asks for.
pub type Shortcut<A> = (Modifiers, Key, A);

/// What was asked for by keys, in the order they were pressed: a slow frame may have several. Their events are taken, so that no
/// widget sees them.
///
/// `elsewhere` are the shortcuts that write where text is typed; with `writes` they are left to the text. Where two shortcuts match,
/// the first is meant: `Ctrl+Shift+S` comes before `Ctrl+S`.
///
/// ```
/// use attn_egui::{egui::{self, Key, Modifiers}, pressed_shortcuts};
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
    let meaning = |key: Key, held: Modifiers| {
        let mut all = anywhere.iter().chain(elsewhere);
        let found = all.find(|(wanted, own, _)| *own == key && held.matches_logically(*wanted));
        found.map(|(.., action)| action.clone())
    };
    let mut asked = Vec::new();
    context.input_mut(|input| {
        input.events.retain(|event| {
            let Event::Key {
                key,
                pressed: true,
                modifiers,
                ..
            } = event
            else {
                return true;
            };
            let action = meaning(*key, *modifiers);
            let stays = action.is_none();
            asked.extend(action);
            stays
        });
    });
    asked
}
