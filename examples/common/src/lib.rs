//! What the command-line examples share: progress bars with time left, Ctrl-C as cancellation, errors as one line.

#![allow(clippy::print_stderr, clippy::exit, reason = "for command-line programs")]

mod npy;
mod search;

use std::{
    collections::HashMap,
    error::Error,
    fmt::Write as _,
    io::IsTerminal,
    ops::ControlFlow,
    path::Path,
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex, PoisonError,
    },
};

use attn_sdk::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;

pub use search::SearchArgs;

/// What a file in JSON says.
///
/// # Errors
/// A file that cannot be read, or says something else, with its path.
pub fn read_json<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, String> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// One bar per stage on stderr, and Ctrl-C turned into a cancellation. A second Ctrl-C ends the program.
pub struct Terminal {
    bars: MultiProgress,
    stages: Mutex<HashMap<String, ProgressBar>>,
    stopped: Arc<AtomicBool>,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// No bars yet. Ctrl-C cancels from now on.
    pub fn new() -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = stopped.clone();
        // A second handler cannot be set; the first one serves as well.
        let _ = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nstopping at the next safe point; Ctrl-C again to quit at once");
        });
        Self {
            bars: MultiProgress::new(),
            stages: Mutex::default(),
            stopped,
        }
    }

    /// Whether Ctrl-C was pressed.
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Says something without disturbing the bars.
    pub fn say(&self, text: impl AsRef<str>) {
        if std::io::stderr().is_terminal() {
            self.bars.suspend(|| eprintln!("{}", text.as_ref()));
        } else {
            eprintln!("{}", text.as_ref());
        }
    }
}

impl Progress for Terminal {
    fn update(&self, stage: &str, done: usize, total: usize) -> ControlFlow<()> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = stages.entry(stage.to_owned()).or_insert_with(|| {
            let style = ProgressStyle::with_template("{msg:>18} {wide_bar} {pos}/{len}, {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            self.bars.add(
                ProgressBar::new(total as u64)
                    .with_style(style)
                    .with_message(stage.to_owned()),
            )
        });
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        if done >= total && !bar.is_finished() {
            bar.finish();
        }
        if self.stopped() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Runs a program: its error, with every cause, becomes one line on stderr and exit status 1. That nobody reads its output
/// any more (`| head`) is no error.
pub fn run(program: impl FnOnce() -> Result<(), Box<dyn Error>>) -> ExitCode {
    quiet_drivers();
    match program() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                let text = error.to_string();
                // Errors that pass through several crates unchanged would be repeated.
                if !line.contains(&text) {
                    let _ = write!(line, ": {text}");
                }
                cause = error.source();
            }
            eprintln!("error: {line}");
            ExitCode::FAILURE
        }
    }
}

/// Without a session, Mesa's layer that selects a device looks for a Wayland display and prints two errors that are none.
/// A program does this first, when it has one thread.
fn quiet_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none_or(|value| value.is_empty()) {
        std::env::set_var("NODEVICE_SELECT", "1");
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Whether a window can be opened. Only X11 and Wayland need a variable to say so.
pub fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(target_vendor = "apple"))) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Points from a `.npy` file `[point, dimension]` of floats or integers, as float32, and the threads that everything after it runs on.
pub fn points(path: &Path, threads: Option<usize>) -> Result<ndarray::Array2<f32>, Box<dyn Error>> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0))
        .build_global()?;
    npy::read(path)
}

/// Writes an array as `.npy`, so that the file is there whole or not at all.
pub fn write_npy<T: ndarray_npy::WritableElement>(
    path: &Path,
    array: &ndarray::Array2<T>,
) -> Result<(), Box<dyn Error>> {
    use ndarray_npy::WriteNpyExt;
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes)?;
    Ok(attn_sdk::core::files::write_atomically(path, &bytes)?)
}
