//! The host examples: those without a window by their images, those with one by user input: moved, clicked, wheeled and
//! typed into, and looked at.
//!
//! Windows need Xvfb, openbox (without a window manager no window gets the keyboard), xdotool and ImageMagick's `import`. Where one is
//! missing the tests say so and pass. Screenshots stay in the target directory's `tmp/hosts`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "helpers of tests"
)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use attn_sdk::render::ViewState;
use image::RgbImage;

const PATIENCE: Duration = Duration::from_secs(240);

/// Asks until there is an answer.
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(100));
    }
}

/// A screen of its own, without a monitor.
struct Screen {
    server: Child,
    manager: Child,
    display: String,
    folder: tempfile::TempDir,
}

impl Screen {
    /// `None`, with a message, if a program is missing.
    fn open() -> Option<Self> {
        for program in ["Xvfb", "openbox", "xdotool", "import"] {
            let found = std::env::split_paths(&std::env::var_os("PATH")?).any(|folder| folder.join(program).is_file());
            if !found {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut number)
            .unwrap();
        let display = format!(":{}", number.trim());
        let manager = Command::new("openbox")
            .arg("--sm-disable")
            .env("DISPLAY", &display)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self {
            server,
            manager,
            display,
            folder,
        })
    }

    fn xdotool(&self, arguments: &[&str]) -> String {
        let output = Command::new("xdotool")
            .args(arguments)
            .env("DISPLAY", &self.display)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The screen, when it has shown the same for a second: on a busy machine a frame may take that long. A caret that
    /// blinks is no change.
    fn shot(&self, name: &str) -> RgbImage {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hosts");
        fs::create_dir_all(&folder).unwrap();
        // Taken in a folder of this screen's own, for tests run beside each other.
        let path = self.folder.path().join("shot.png");
        let mut before: Option<RgbImage> = None;
        let mut same = 0;
        wait_for("a picture that stays", || {
            sleep(Duration::from_millis(250));
            let taken = Command::new("import")
                .args(["-window", "root"])
                .arg(&path)
                .env("DISPLAY", &self.display)
                .status();
            assert!(taken.unwrap().success());
            // A picture that cannot be read yet is taken again.
            let now = image::open(&path).ok()?.into_rgb8();
            // What was seen last tells why a picture does not stay.
            now.save(folder.join(format!("{name}.png"))).unwrap();
            let stays = |before: &RgbImage| changed(before, &now) * f64::from(now.width() * now.height()) < 100.0;
            same = if before.as_ref().is_some_and(stays) {
                same + 1
            } else {
                0
            };
            before = Some(now);
            before.clone().filter(|_| same >= 4)
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        for child in [&mut self.manager, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A running example with its window.
struct Host<'a> {
    screen: &'a Screen,
    program: Child,
    window: String,
    origin: [i32; 2],
    size: [i32; 2],
}

impl<'a> Host<'a> {
    fn start(screen: &'a Screen, program: &Path, session: &Path, more: &[&str]) -> Self {
        let mut arguments = vec!["--session", session.to_str().unwrap()];
        arguments.extend(more);
        let host = Self::open(screen, program, "attention heads", &arguments);
        host.leave();
        wait_for("the first picture", || {
            sleep(Duration::from_millis(300));
            Some(()).filter(|()| colors(&host.screen.shot("start"), host.origin, host.size) > 50)
        });
        host
    }

    /// Waits for the window of this name.
    fn open(screen: &'a Screen, program: &Path, name: &str, arguments: &[&str]) -> Self {
        let program = Command::new(program)
            .args(arguments)
            .current_dir(screen.folder.path())
            .env("DISPLAY", &screen.display)
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("WAYLAND_SOCKET")
            .env("XDG_RUNTIME_DIR", screen.folder.path())
            .spawn()
            .unwrap();
        let window = wait_for("a window", || {
            let found = screen.xdotool(&["search", "--onlyvisible", "--name", &format!("^{name}$")]);
            found.lines().next().map(str::to_owned)
        });
        screen.xdotool(&["windowactivate", "--sync", &window]);
        let geometry = screen.xdotool(&["getwindowgeometry", "--shell", &window]);
        let value = |name: &str| {
            let line = geometry
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap().parse::<i32>().unwrap()
        };
        Self {
            origin: [value("X"), value("Y")],
            size: [value("WIDTH"), value("HEIGHT")],
            screen,
            program,
            window,
        }
    }

    /// Clicks at a place of the window, in pixels.
    fn click_px(&self, x: u32, y: u32) {
        let (x, y) = (x.to_string(), y.to_string());
        self.screen.xdotool(&["mousemove", "--window", &self.window, &x, &y]);
        sleep(Duration::from_millis(200));
        self.button("1");
        self.leave();
    }

    /// Moves the pointer to a place of the window, in shares of its width and height.
    fn move_to(&self, x: f32, y: f32) {
        let at = [x, y];
        let px = [0, 1].map(|axis| (self.origin[axis] + (at[axis] * self.size[axis] as f32) as i32).to_string());
        self.screen.xdotool(&["mousemove", &px[0], &px[1]]);
        sleep(Duration::from_millis(200));
    }

    /// Moves the pointer out of the window.
    fn leave(&self) {
        self.screen.xdotool(&["mousemove", "1279", "899"]);
        sleep(Duration::from_millis(200));
    }

    fn button(&self, button: &str) {
        for action in ["mousedown", "mouseup"] {
            self.screen.xdotool(&[action, button]);
            sleep(Duration::from_millis(150));
        }
    }

    fn click(&self, x: f32, y: f32) {
        self.move_to(x, y);
        self.button("1");
    }

    fn key(&self, key: &str) {
        self.screen.xdotool(&["key", "--clearmodifiers", key]);
        sleep(Duration::from_millis(200));
    }

    /// Closes the window as its frame's button does, and waits for the program.
    fn close(mut self) -> ExitStatus {
        self.screen.xdotool(&["windowactivate", "--sync", &self.window]);
        self.key("alt+F4");
        wait_for("the program's end", || self.program.try_wait().unwrap())
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Colors in a part of a picture.
fn colors(image: &RgbImage, origin: [i32; 2], size: [i32; 2]) -> usize {
    let mut seen = std::collections::HashSet::new();
    for y in origin[1]..(origin[1] + size[1]).min(image.height() as i32) {
        for x in origin[0]..(origin[0] + size[0]).min(image.width() as i32) {
            seen.insert(image.get_pixel(x as u32, y as u32).0);
        }
    }
    seen.len()
}

/// The share of pixels that differ.
fn changed(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let differ = a.pixels().zip(b.pixels()).filter(|(a, b)| a != b).count();
    differ as f64 / (a.width() * a.height()) as f64
}

fn brightness(image: &RgbImage) -> f64 {
    let sum: u64 = image.as_raw().iter().map(|byte| u64::from(*byte)).sum();
    sum as f64 / image.as_raw().len() as f64
}

/// Builds the program of an example: tests of examples are other programs than the examples.
fn example(name: &str) -> PathBuf {
    build("--example", name).join("examples").join(name)
}

/// Builds a viewer.
fn viewer(name: &str) -> PathBuf {
    build("--bin", name).join(name)
}

/// Builds a target and returns the folder of programs.
fn build(kind: &str, name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().unwrap().parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    // With the features that the tests were built with, nothing but the target itself is compiled.
    build.args(["build", "--quiet", "--workspace", kind, name]);
    for (feature, on) in [
        ("attn-sdk/hnsw", cfg!(feature = "hnsw")),
        ("attn-sdk/linfa", cfg!(feature = "linfa")),
    ] {
        if on {
            build.args(["--features", feature]);
        }
    }
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "{name} does not build");
    folder.to_path_buf()
}

#[test]
fn a_window_of_winit() {
    let Some(screen) = Screen::open() else { return };
    let program = example("embed_winit");
    let session = screen.folder.path().join("session.json");
    let host = Host::start(&screen, &program, &session, &[]);
    let matrix = screen.shot("winit-matrix");
    // A head of the second layer.
    host.move_to(0.4, 0.4);
    let hovered = screen.shot("winit-hover");
    assert!(
        (0.0001..0.2).contains(&changed(&matrix, &hovered)),
        "a frame and a box with words"
    );
    host.button("1");
    host.leave();
    let opened = screen.shot("winit-head");
    assert!(changed(&matrix, &opened) > 0.05, "a head fills the window");
    // Its device is lost and made anew: the same picture from the same scene.
    host.key("d");
    host.move_to(0.5, 0.5);
    host.leave();
    assert_eq!(changed(&opened, &screen.shot("winit-after-loss")), 0.0);
    host.key("Escape");
    assert_eq!(
        changed(&matrix, &screen.shot("winit-back")),
        0.0,
        "Escape goes back to the matrix"
    );
    host.move_to(0.4, 0.4);
    host.button("4");
    host.leave();
    let zoomed = screen.shot("winit-zoomed");
    assert!(changed(&matrix, &zoomed) > 0.02, "the wheel zooms");
    host.key("u");
    host.key("r");
    assert_eq!(changed(&zoomed, &screen.shot("winit-redone")), 0.0, "undo and redo");
    assert!(host.close().success());
    let view: ViewState = serde_json::from_slice(&fs::read(&session).unwrap()).unwrap();
    assert!(view.stage.zoom > 1.0 && view.open.is_none());
    let again = Host::start(&screen, &program, &session, &[]);
    assert_eq!(
        changed(&zoomed, &screen.shot("winit-reopened")),
        0.0,
        "a session reopens to the same picture"
    );
    assert!(again.close().success());
    // In the dark.
    let host = Host::start(&screen, &program, &screen.folder.path().join("dark.json"), &["--dark"]);
    let dark = screen.shot("winit-dark");
    assert!(brightness(&dark) < 0.6 * brightness(&matrix));
    assert!(host.close().success());
}

#[test]
fn an_egui_window_with_several_views() {
    let Some(screen) = Screen::open() else { return };
    let program = example("embed_egui");
    let session = screen.folder.path().join("session.json");
    let host = Host::start(&screen, &program, &session, &[]);
    let first = screen.shot("egui-first");
    let saved = |path: &Path| -> serde_json::Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    // A head in the matrix opens beside it.
    // Not the best one, which is open at first.
    host.click(0.36, 0.54);
    host.leave();
    let opened = screen.shot("egui-opened");
    assert!(changed(&first, &opened) > 0.02, "another head and its sentence");
    // The wheel over the open head moves it alone.
    host.move_to(0.80, 0.30);
    for _ in 0..3 {
        host.button("4");
    }
    host.leave();
    let zoomed = screen.shot("egui-zoomed");
    assert!(changed(&opened, &zoomed) > 0.01);
    // A click gives it the focus; then its keys work.
    host.click(0.80, 0.30);
    host.key("t");
    host.leave();
    let dark = screen.shot("egui-dark");
    assert!(
        brightness(&dark) < 0.6 * brightness(&opened),
        "all views and the window are dark"
    );
    assert!(host.close().success());
    let state = saved(&session);
    for view in ["matrix", "head", "sentence"] {
        assert_eq!(state[view]["theme"], "dark", "{view}");
    }
    assert!(state["head"]["inside"]["zoom"].as_f64().unwrap() > 1.0);
    assert_eq!(state["matrix"]["stage"]["zoom"], 1.0);
    let again = Host::start(&screen, &program, &session, &[]);
    let reopened = screen.shot("egui-reopened");
    // Only the frame of the focus is not saved.
    assert!(changed(&dark, &reopened) < 0.01, "{}", changed(&dark, &reopened));
    assert!(again.close().success());
}

#[test]
fn a_browser_of_clusters() {
    let Some(screen) = Screen::open() else { return };
    let program = viewer("concepts");
    let few = ["--max-sentences", "40", "--at-least", "2", "--layers", "0,4"];
    let host = Host::open(&screen, &program, "Latent concepts", &few);
    screen.xdotool(&["windowsize", "--sync", &host.window, "1270", "800"]);
    host.leave();
    // While it computes there are few colors, and then the bar of its work moves.
    let first = wait_for("the clusters", || {
        let shot = screen.shot("concepts-first");
        Some(shot).filter(|shot| colors(shot, [0, 0], [1280, 900]) > 1_000)
    });
    // The head of the second column sorts, smallest first; a row shows another cluster and brings it out in the map.
    host.click_px(226, 230);
    let sorted = screen.shot("concepts-sorted");
    assert!(changed(&first, &sorted) > 0.002, "{}", changed(&first, &sorted));
    host.click_px(80, 340);
    let chosen = screen.shot("concepts-chosen");
    assert!(changed(&sorted, &chosen) > 0.02, "{}", changed(&sorted, &chosen));
    // The tree; its first branch opens.
    host.click_px(373, 12);
    let tree = screen.shot("concepts-tree");
    assert!(changed(&chosen, &tree) > 0.05, "{}", changed(&chosen, &tree));
    host.click_px(700, 190);
    let opened = screen.shot("concepts-opened");
    assert!(changed(&tree, &opened) > 0.005, "{}", changed(&tree, &opened));
    // The click gave it the focus; its keys work for the whole window.
    host.key("t");
    let dark = screen.shot("concepts-dark");
    assert!(brightness(&dark) < 0.6 * brightness(&opened));
    // What is saved opens without the model, and shows what was on view: saved again, it says the same.
    let study = screen.folder.path().join("out/concepts");
    let session = study.join("session.json");
    let save = |host: &Host<'_>| {
        host.key("ctrl+s");
        wait_for("a session", || {
            serde_json::from_slice::<serde_json::Value>(&fs::read(&session).ok()?).ok()
        })
    };
    let before = save(&host);
    assert!(host.close().success());
    let study = study.join("concepts.json");
    let again = Host::open(
        &screen,
        &program,
        "Latent concepts",
        &["--open", study.to_str().unwrap()],
    );
    screen.xdotool(&["windowsize", "--sync", &again.window, "1270", "800"]);
    again.leave();
    let reopened = wait_for("the study again", || {
        let shot = screen.shot("concepts-reopened");
        Some(shot).filter(|shot| colors(shot, [0, 0], [1280, 900]) > 1_000)
    });
    assert!(brightness(&reopened) < 0.6 * brightness(&opened));
    fs::remove_file(&session).unwrap();
    assert_eq!(save(&again), before);
    assert!(again.close().success());
}

/// The session of a window of `atlas`, saved anew.
fn session_of(host: &Host<'_>) -> serde_json::Value {
    let path = host.screen.folder.path().join("session.json");
    let _ = fs::remove_file(&path);
    host.key("ctrl+s");
    wait_for("a session", || {
        let file = fs::read(&path).ok()?;
        serde_json::from_slice::<serde_json::Value>(&file).ok()
    })["session"]
        .clone()
}

/// A command, by what is typed into the search over commands.
fn command(host: &Host<'_>, words: &str) {
    host.key("ctrl+k");
    sleep(Duration::from_millis(700));
    host.screen.xdotool(&["type", "--delay", "40", words]);
    sleep(Duration::from_millis(700));
    host.key("Return");
    sleep(Duration::from_millis(700));
}

#[test]
fn a_window_of_all_heads() {
    let Some(screen) = Screen::open() else { return };
    let program = viewer("atlas");
    // What cannot be opened is said on the command line.
    let refused = Command::new(&program)
        .args(["--model", "no/such/model"])
        .current_dir(screen.folder.path())
        .env("DISPLAY", &screen.display)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("no/such/model"), "{said}");
    // It opens where it cannot write.
    fs::write(screen.folder.path().join("out"), "a file").unwrap();
    let few = [
        "--embedded",
        "text-encoder",
        "--projection",
        "pca",
        "--max-points",
        "1500",
        "--max-per-word",
        "5",
    ];
    let host = Host::open(&screen, &program, "attn atlas", &few);
    screen.xdotool(&["windowsize", "--sync", &host.window, "1240", "820"]);
    host.leave();
    assert!(brightness(&screen.shot("atlas-first")) > 120.0, "no black stage");
    wait_for("all heads", || {
        let shot = screen.shot("atlas-heads");
        Some(()).filter(|()| colors(&shot, [0, 0], [1280, 900]) > 1_000)
    });

    // The first session asks for its name, and proposes one.
    host.key("ctrl+s");
    sleep(Duration::from_secs(1));
    host.key("Return");
    let path = screen.folder.path().join("session.json");
    wait_for("the first session", || path.exists().then_some(()));
    let look = |session: &serde_json::Value| session["panes"][0]["look"]["view"].clone();

    // Heads by their numbers; the keys that step work whatever has the focus.
    command(&host, "3:1");
    assert_eq!(look(&session_of(&host))["open"]["layer"], 3);
    assert_eq!(look(&session_of(&host))["open"]["head"], 1);
    host.key("period");
    assert_eq!(look(&session_of(&host))["open"]["head"], 2);
    host.click(0.5, 0.5);
    host.key("comma");
    assert_eq!(look(&session_of(&host))["open"]["head"], 1);
    host.leave();

    // Undo takes the theme back, as a whole.
    let light = screen.shot("atlas-light");
    host.key("t");
    let dark = screen.shot("atlas-dark");
    assert!(brightness(&dark) < 0.6 * brightness(&light));
    host.key("u");
    assert!(
        changed(&light, &screen.shot("atlas-undone")) < 0.02,
        "canvas and frame are light again"
    );

    // And the filter, which plots know nothing of.
    let most = || session_of(&host)["panes"][0]["look"]["filter"]["at_most"].clone();
    assert_eq!(most(), 5);
    command(&host, "clear token filter");
    assert!(most().is_null());
    host.key("u");
    assert_eq!(most(), 5);

    // Panels fold and come back.
    host.key("bracketleft");
    assert_eq!(session_of(&host)["panels"]["sequences"]["folded"], true);
    host.key("bracketleft");
    host.key("backslash");
    let folded = session_of(&host);
    assert_eq!(folded["panels"]["sequences"]["folded"], false);
    assert_eq!(folded["panels"]["detail"]["folded"], true);
    host.key("backslash");

    // Tokens are switched off in the sentence and in the lines of the open head.
    command(&host, "switch off special");
    let hidden = look(&session_of(&host))["hidden"].as_array().map_or(0, Vec::len);
    assert_eq!(hidden, 4, "[CLS] and [SEP], as queries and as keys");
    command(&host, "switch all tokens on");
    assert_eq!(look(&session_of(&host))["hidden"].as_array().map_or(0, Vec::len), 0);

    // All points are selected, and the page says what they are.
    host.key("a");
    sleep(Duration::from_secs(2));
    screen.shot("atlas-selection");
    assert!(
        !look(&session_of(&host))["selected"]["runs"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    command(&host, "clear selection");

    // What is typed is placed, and is a sequence of its own. It survives another projection.
    host.click_px(500, 780);
    host.screen.xdotool(&["type", "--delay", "40", "the dog sleeps ."]);
    host.key("Return");
    let typed = || session_of(&host)["panes"][0]["typed"].clone();
    wait_for("the typed text", || (typed() == "the dog sleeps .").then_some(()));
    screen.shot("atlas-typed");
    command(&host, "in 3 dimensions");
    let turned = session_of(&host);
    assert_eq!(
        (&turned["params"]["dims"], &typed()),
        (&"three".into(), &"the dog sleeps .".into())
    );
    assert_eq!(look(&turned)["open"]["layer"], 3, "the head stays open");
    screen.shot("atlas-space");

    // A path that does not open leaves the model on view.
    command(&host, "open model or capture");
    host.screen.xdotool(&["type", "--delay", "40", "/no/such/model"]);
    host.key("Return");
    screen.shot("atlas-refused");
    host.key("Escape");
    assert_eq!(
        session_of(&host)["panes"][0]["what"]["subject"]["embedded"],
        "text-encoder"
    );

    // Bookmarks, and the session as a whole.
    host.key("ctrl+d");
    let before = session_of(&host);
    assert_eq!(before["panes"][0]["bookmarks"][0]["name"], "L3 H1");
    assert!(host.close().success());
    let again = Host::open(&screen, &program, "attn atlas", &["session.json"]);
    wait_for("the session", || {
        let shot = screen.shot("atlas-reopened");
        Some(()).filter(|()| colors(&shot, [0, 0], [1280, 900]) > 500)
    });
    sleep(Duration::from_secs(3));
    let after = session_of(&again);
    assert_eq!(look(&before), look(&after));
    assert_eq!(before["panes"][0]["fingerprint"], after["panes"][0]["fingerprint"]);
    assert!(again.close().success());
}

#[test]
fn a_window_of_what_a_model_writes() {
    let Some(screen) = Screen::open() else { return };
    let program = viewer("seq2seq");
    let host = Host::open(&screen, &program, "Sequence to sequence", &[]);
    screen.xdotool(&["windowsize", "--sync", &host.window, "1270", "800"]);
    host.leave();
    wait_for("the first run", || {
        let shot = screen.shot("seq2seq-first");
        Some(()).filter(|()| colors(&shot, [0, 0], [1280, 900]) > 500)
    });
    host.key("ctrl+s");
    sleep(Duration::from_secs(1));
    host.key("Return");
    let path = screen.folder.path().join("session.json");
    wait_for("the first session", || path.exists().then_some(()));
    let listed = || session_of(&host)["look"]["listed"].as_array().map_or(0, Vec::len);
    assert_eq!(listed(), 1);

    // Another source is a run beside the one before.
    host.click_px(150, 62);
    host.key("ctrl+a");
    host.screen.xdotool(&["type", "--delay", "40", "Mar 21, 2000"]);
    host.key("ctrl+Return");
    wait_for("the typed source", || (listed() == 2).then_some(()));
    let second = session_of(&host);
    assert_eq!(second["look"]["source"], "Mar 21, 2000");
    assert_eq!(
        (&second["look"]["shown"], &second["look"]["against"]),
        (&1.into(), &0.into())
    );
    let light = screen.shot("seq2seq-typed");

    // Attention that is edited makes a third one. Undo takes it off, redo brings it back, wherever the focus is.
    command(&host, "shift the edited weights");
    command(&host, "decode with the edited weights");
    wait_for("the edited run", || (listed() == 3).then_some(()));
    screen.shot("seq2seq-edited");
    host.key("u");
    assert_eq!(listed(), 2);
    host.key("ctrl+y");
    assert_eq!(listed(), 3);
    command(&host, "show change");
    assert_eq!(session_of(&host)["look"]["tab"], "change");
    host.key("ctrl+z");
    assert_eq!(session_of(&host)["look"]["tab"], "beam");

    // Theme and panels.
    host.key("t");
    let dark = screen.shot("seq2seq-dark");
    assert!(brightness(&dark) < 0.6 * brightness(&light));
    host.key("bracketright");
    assert_eq!(session_of(&host)["panels"]["experiments"]["folded"], true);

    // The session opens again to the same picture, with its model: it decodes on.
    host.leave();
    let before = screen.shot("seq2seq-saved");
    let kept = session_of(&host);
    assert!(host.close().success());
    let again = Host::open(
        &screen,
        &program,
        "Sequence to sequence",
        &["--open", path.to_str().unwrap()],
    );
    screen.xdotool(&["windowsize", "--sync", &again.window, "1270", "800"]);
    again.leave();
    let reopened = wait_for("the session", || {
        let shot = screen.shot("seq2seq-reopened");
        Some(shot).filter(|shot| colors(shot, [0, 0], [1280, 900]) > 500)
    });
    assert!(changed(&before, &reopened) < 0.01, "{}", changed(&before, &reopened));
    let same = session_of(&again);
    assert_eq!((&kept["look"], &kept["panels"]), (&same["look"], &same["panels"]));
    again.key("ctrl+Return");
    wait_for("one more run", || {
        let runs = session_of(&again)["look"]["listed"].as_array().map_or(0, Vec::len);
        (runs == 4).then_some(())
    });
    assert!(again.close().success());
}

#[test]
fn pictures_without_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        let mut host = Command::new(program);
        host.current_dir(folder.path())
            .args(["--session", "session.json"])
            .args(arguments);
        assert!(host.status().unwrap().success());
    };
    let picture = |name: &str| image::open(folder.path().join("out").join(name)).unwrap().into_rgb8();
    let texture = example("embed_texture");
    run(&texture, &["--dark"]);
    let dark = picture("embed-texture.png");
    assert_eq!(dark.dimensions(), (1024, 640));
    assert_eq!(dark.get_pixel(100, 300).0, [26, 56, 92], "the host's own color");
    assert!(colors(&dark, [160, 32], [832, 576]) > 200, "the scene in its place");
    // The session says dark, whatever the command line says now.
    run(&texture, &[]);
    assert_eq!(changed(&dark, &picture("embed-texture.png")), 0.0);
    run(&example("embed_headless"), &[]);
    for name in ["embed-matrix.png", "embed-head-0-0.png", "embed-head-0-3.png"] {
        let picture = picture(name);
        let size = [picture.width() as i32, picture.height() as i32];
        assert!(
            colors(&picture, [0, 0], size) > 200 && brightness(&picture) < 80.0,
            "{name}"
        );
    }
}

#[test]
fn a_plot_of_a_host_is_written_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Command::new(example("custom_plot"));
    assert!(host.current_dir(folder.path()).status().unwrap().success());
    let file = |name: &str| folder.path().join("out").join(name);
    let picture = image::open(file("custom-plot.png")).unwrap().into_rgb8();
    let size = [picture.width() as i32, picture.height() as i32];
    assert!(colors(&picture, [0, 0], size) > 20);
    assert!(fs::read_to_string(file("custom-plot.svg")).unwrap().starts_with("<svg"));
    let csv = fs::read_to_string(file("custom-plot.csv")).unwrap();
    let heads = "head,least,lower quartile,median,upper quartile,most\r\n";
    assert!(csv.starts_with(heads) && csv.lines().count() == 17, "{csv}");
}
