//! A search over everything a window can do: Ctrl+K, a few letters, Enter.

use egui::{
    Align2, Context, Event, Id, Key, KeyboardShortcut, Modifiers, RichText, ScrollArea, TextEdit, Ui, Window, vec2,
};

/// Width of the window, and height of its list, in points.
const WIDTH: f32 = 460.0;
const HEIGHT: f32 = 320.0;

/// An action with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command<A> {
    /// What the user reads: a verb and its object.
    pub name: String,
    /// The keys that do the same; may be empty.
    pub keys: String,
    /// Other words that find it; may be empty.
    pub also: String,
    /// What is returned when it is chosen.
    pub action: A,
}

impl<A> Command<A> {
    /// A command without keys.
    pub fn new(name: impl Into<String>, action: A) -> Self {
        Self {
            name: name.into(),
            keys: String::new(),
            also: String::new(),
            action,
        }
    }

    /// The same with the keys that do it.
    #[must_use]
    pub fn keys(mut self, keys: impl Into<String>) -> Self {
        self.keys = keys.into();
        self
    }

    /// The same with other words that find it.
    #[must_use]
    pub fn also(mut self, words: impl Into<String>) -> Self {
        self.also = words.into();
        self
    }

    /// How well it fits what was typed: the less the better; `None` if a word is missing.
    fn rank(&self, typed: &str) -> Option<u8> {
        let (name, also) = (self.name.to_lowercase(), self.also.to_lowercase());
        let words = || name.split_whitespace().chain(also.split_whitespace());
        let missing = |word: &str| !name.contains(word) && !also.contains(word);
        if typed.split_whitespace().any(missing) {
            return None;
        }
        let begins = |word: &str| words().any(|known| known.starts_with(word));
        Some(match typed {
            _ if words().any(|word| word == typed) || name == typed => 0,
            _ if name.starts_with(typed) => 1,
            _ if typed.split_whitespace().all(begins) => 2,
            _ => 3,
        })
    }
}

/// The commands that fit what was typed, best first; equal ones in their order.
///
/// ```
/// use attn_egui::commands::{Command, find_commands};
///
/// let commands = [Command::new("Reset camera", 0), Command::new("Open head L3 H9", 1).also("3:9")];
/// let names = |typed| find_commands(&commands, typed).map(|found| &*found.name).collect::<Vec<_>>();
/// assert_eq!(names("3:9"), ["Open head L3 H9"]);
/// assert_eq!(names("cam res"), ["Reset camera"]);
/// assert_eq!(names("e"), ["Reset camera", "Open head L3 H9"]);
/// ```
pub fn find_commands<'c, A>(commands: &'c [Command<A>], typed: &str) -> impl Iterator<Item = &'c Command<A>> {
    let typed = typed.trim().to_lowercase();
    let mut found: Vec<(u8, &Command<A>)> = commands
        .iter()
        .filter_map(|command| Some((command.rank(&typed)?, command)))
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, command)| command)
}

/// What the search keeps between frames. The host makes the commands.
#[derive(Debug, Clone, Default)]
pub struct CommandSearch {
    open: bool,
    typed: String,
    chosen: usize,
}

impl CommandSearch {
    /// Opens it, for a button.
    pub fn open(&mut self) {
        *self = Self {
            open: true,
            ..Self::default()
        };
    }

    /// Whether it is on view.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Opens with Ctrl+K (⌘K), shows what fits and returns the action that was chosen. Call it once a frame, before the widgets
    /// that take keys: arrows, Enter and Escape are its own while it is open. `commands` is asked only then.
    pub fn show<A: Clone>(&mut self, context: &Context, commands: impl FnOnce() -> Vec<Command<A>>) -> Option<A> {
        let shortcut = KeyboardShortcut::new(Modifiers::COMMAND, Key::K);
        if context.input_mut(|input| input.consume_shortcut(&shortcut)) {
            if self.open {
                self.open = false;
            } else {
                self.open();
                // What was typed before the field is there is meant for it.
                let typed = &mut self.typed;
                context.input_mut(|input| {
                    input.events.retain(|event| match event {
                        Event::Text(text) => {
                            typed.push_str(text);
                            false
                        }
                        Event::Key { key, modifiers, .. } => !writes(*key, *modifiers),
                        _ => true,
                    });
                });
            }
        }
        if !self.open {
            return None;
        }
        let pressed = |key| context.input_mut(|input| input.consume_key(Modifiers::NONE, key));
        let (up, down, enter) = (pressed(Key::ArrowUp), pressed(Key::ArrowDown), pressed(Key::Enter));
        if pressed(Key::Escape) {
            self.open = false;
            return None;
        }
        let commands = commands();
        let found: Vec<&Command<A>> = find_commands(&commands, &self.typed).collect();
        self.chosen = (self.chosen + usize::from(down))
            .saturating_sub(usize::from(up))
            .min(found.len().saturating_sub(1));
        let mut action = found
            .get(self.chosen)
            .filter(|_| enter)
            .map(|command| command.action.clone());
        let before = self.typed.clone();
        Window::new("Commands")
            .id(Id::unique("attn commands"))
            .title_bar(false)
            .resizable(false)
            .anchor(Align2::CENTER_TOP, [0.0, 70.0])
            .show(context, |ui| {
                ui.set_width(WIDTH);
                let field = TextEdit::singleline(&mut self.typed)
                    .hint_text("Search commands")
                    .desired_width(f32::INFINITY);
                ui.add(field).request_focus();
                let area = ScrollArea::vertical().max_height(HEIGHT).auto_shrink([false, true]);
                area.show(ui, |ui| {
                    for (index, command) in found.iter().enumerate() {
                        if line(ui, command, index == self.chosen, up || down) {
                            action = Some(command.action.clone());
                        }
                    }
                    if found.is_empty() {
                        ui.label(RichText::new("No such command").weak());
                    }
                });
            });
        if self.typed != before {
            self.chosen = 0;
        }
        if action.is_some() || enter {
            self.open = false;
        }
        action
    }
}

/// Whether a key writes something.
fn writes(key: Key, modifiers: Modifiers) -> bool {
    let acts = [Key::Enter, Key::Escape, Key::ArrowUp, Key::ArrowDown, Key::Tab];
    !acts.contains(&key) && !modifiers.command && !modifiers.alt
}

/// A command; returns whether it was clicked.
fn line<A>(ui: &mut Ui, command: &Command<A>, chosen: bool, moved: bool) -> bool {
    ui.horizontal(|ui| {
        let keys = 110.0;
        let size = vec2(ui.available_width() - keys, 0.0);
        let layout = egui::Layout::top_down_justified(egui::Align::Min);
        let label = ui
            .allocate_ui_with_layout(size, layout, |ui| {
                let text = egui::Button::selectable(chosen, command.name.as_str());
                ui.add(text.truncate())
            })
            .inner;
        if chosen && moved {
            label.scroll_to_me(None);
        }
        ui.label(RichText::new(&command.keys).weak());
        label.clicked()
    })
    .inner
}
