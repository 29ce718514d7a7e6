//! The libraries in Chromium, with WebGPU by a software rasterizer, against the same libraries on this machine.
//!
//! `scripts/check-browser` compiles the page and calls this. Browsers judge shaders by rules of their own, which no
//! compiler for this machine checks.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail the test"
)]

mod browser;
mod server;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use attn_render::Image;
use browser_tests::Findings;

use self::{browser::Browser, server::Server};

/// Folder of the page: `page.js` and `page_bg.wasm`.
const FOLDER: &str = "BROWSER_PAGE";
/// Several times what the page takes on two busy cores.
const MOST_TIME: Duration = Duration::from_secs(900);
/// Difference of rounded numbers, for a largest magnitude of 1.
const ROUNDING: f32 = 2e-5;
/// Difference of qualities.
const QUALITY: f32 = 0.02;
/// Mean difference of a channel, of 255. Two software rasterizers round edges differently: 0.03 to 0.12.
const MEAN: f64 = 0.25;
/// Share of pixels with a channel that differs by more than 16: below 0.0004 for two rasterizers.
const VISIBLE: f64 = 0.001;

#[test]
#[ignore = "scripts/check-browser compiles the page for it"]
fn a_browser_finds_and_draws_what_this_machine_does() {
    let folder = std::env::var_os(FOLDER).unwrap_or_else(|| panic!("{FOLDER} names no folder"));
    let Some(program) = browser::find() else {
        eprintln!("skipped: no Chromium (Debian: apt-get install chromium)");
        return;
    };
    let server = Server::start(PathBuf::from(folder));
    let browser = Browser::start(&program, server.address());
    let start = Instant::now();
    let (mine, drawn) = pollster::block_on(browser_tests::run()).unwrap();
    eprintln!("this machine took {:.1} s", start.elapsed().as_secs_f64());
    let (found, images) = server
        .answers(MOST_TIME)
        .unwrap_or_else(|reason| panic!("{reason}\n{}", browser.log()));
    drop(browser);

    eprintln!("adapters: {:?} and {:?}", mine.adapters, found.adapters);
    assert_eq!(found.threads, 1, "a page has one thread");
    let mut faults = compare_findings(&mine, &found);
    assert_eq!(drawn.len(), images.len());
    for (name, image) in &drawn {
        faults.extend(compare_images(name, image, &images[name]));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn compare_findings(mine: &Findings, found: &Findings) -> Vec<String> {
    let mut faults = Vec::new();
    same_names(&mine.exact, &found.exact);
    for (name, text) in &mine.exact {
        assert!(!text.is_empty(), "{name}");
        if let Some((at, (here, there))) = text
            .lines()
            .zip(found.exact[name].lines())
            .enumerate()
            .find(|(_, (a, b))| a != b)
        {
            faults.push(format!(
                "{name}, line {}: {here:?} here, {there:?} in the browser",
                at + 1
            ));
        } else if *text != found.exact[name] {
            faults.push(format!("{name}: another number of lines"));
        }
    }
    same_names(&mine.rounded, &found.rounded);
    for (name, values) in &mine.rounded {
        let others = &found.rounded[name];
        assert_eq!(values.len(), others.len(), "{name}");
        let largest = values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        assert!(largest > 0.0, "{name}");
        let gap = values.iter().zip(others).map(|(a, b)| (a - b).abs());
        // A sum is NaN if a difference is; the largest is not.
        let (most, sum) = gap.fold((0.0, 0.0), |(most, sum): (f32, f32), gap| (most.max(gap), sum + gap));
        eprintln!("{name}: largest difference {:.1e}", most / largest);
        if !(most <= ROUNDING * largest && sum.is_finite()) {
            faults.push(format!("{name}: values up to {largest} differ by {most}"));
        }
    }
    same_names(&mine.quality, &found.quality);
    for (name, &value) in &mine.quality {
        let other = found.quality[name];
        eprintln!("{name}: {value:.4} here, {other:.4} in the browser");
        if other.is_nan() || (value - other).abs() > QUALITY {
            faults.push(format!("{name}: {value} here, {other} in the browser"));
        }
    }
    faults
}

fn same_names<V>(mine: &BTreeMap<String, V>, found: &BTreeMap<String, V>) {
    assert!(!mine.is_empty());
    assert_eq!(mine.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
}

fn compare_images(name: &str, mine: &Image, found: &[u8]) -> Option<String> {
    let found = image::load_from_memory(found).unwrap().to_rgba8();
    assert_eq!((mine.width(), mine.height()), found.dimensions(), "{name}");
    let differences: Vec<u8> = mine
        .rgba()
        .iter()
        .zip(found.as_raw())
        .map(|(a, b)| a.abs_diff(*b))
        .collect();
    let mean = differences.iter().copied().map(f64::from).sum::<f64>() / differences.len() as f64;
    let visible = differences
        .chunks(4)
        .filter(|pixel| pixel.iter().any(|d| *d > 16))
        .count();
    let visible = visible as f64 / (differences.len() / 4) as f64;
    eprintln!("{name}: mean difference {mean:.4}, {visible:.5} of the pixels differ visibly");
    if mean <= MEAN && visible <= VISIBLE {
        return None;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let [here, there] = ["here", "browser"].map(|side| folder.join(format!("{name}-{side}.png")));
    mine.write_png(&here).unwrap();
    found.save(&there).unwrap();
    Some(format!(
        "{name}: mean difference {mean:.4}, {visible:.5} of the pixels; see {here:?}, {there:?}"
    ))
}
