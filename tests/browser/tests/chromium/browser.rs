//! Chromium without a window.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// The first Chromium or Chrome of the search path.
pub(crate) fn find() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let programs = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    programs.into_iter().find(|program| program.is_file())
}

/// A running browser with a profile of its own; ends with this value.
pub(crate) struct Browser {
    process: Child,
    folder: TempDir,
}

impl Browser {
    /// Opens the page of this server.
    pub(crate) fn start(program: &Path, server: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut profile = std::ffi::OsString::from("--user-data-dir=");
        profile.push(folder.path().join("profile"));
        let process = Command::new(program)
            .args(["--headless", "--no-first-run", "--enable-logging=stderr"])
            // Containers allow no sandbox; the page is our own.
            .args(["--no-sandbox", "--disable-gpu-sandbox", "--disable-dev-shm-usage"])
            .args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"])
            .arg(profile)
            .arg(format!("http://{server}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Its helpers end with it, see `drop`.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?}: {error}"));
        Self { process, folder }
    }

    /// What the page and the graphics of the browser complained about.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines = text
            .lines()
            .filter(|line| line.contains("CONSOLE") || line.contains("webgpu"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}
