#![allow(dead_code, reason = "each example uses a part of this")]
//! What the embedding examples show, so that they themselves are only about their host: a small study, and a session in a file.

use std::{error::Error, path::PathBuf};

use attn_sdk::{
    Study,
    embedded::{self, sentences},
    models::Capturer,
    project::{AtlasParams, pca::Pca},
    render::{Theme, ViewState, state::Shared},
};
use clap::Parser;
use serde::{Serialize, de::DeserializeOwned};

/// The command line of every embedding example.
#[derive(Parser)]
pub(crate) struct Options {
    /// Reopens how one looked at the data from this file, and saves it there at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) session: Option<PathBuf>,
    /// Dark pictures, where the session does not say otherwise
    #[arg(long)]
    pub(crate) dark: bool,
}

impl Options {
    /// The state in the session's file; `fresh` without one.
    pub(crate) fn open<T: DeserializeOwned>(&self, fresh: T) -> Result<T, Box<dyn Error>> {
        match &self.session {
            Some(path) if path.exists() => Ok(serde_json::from_slice(&attn_sdk::core::files::read(path, 1 << 24)?)
                .map_err(|error| format!("{}: {error}", path.display()))?),
            _ => Ok(fresh),
        }
    }

    /// Saves the state.
    pub(crate) fn save<T: Serialize>(&self, state: &T) -> Result<(), Box<dyn Error>> {
        match &self.session {
            Some(path) => Ok(attn_sdk::core::files::write_atomically(
                path,
                &serde_json::to_vec_pretty(state)?,
            )?),
            None => Ok(()),
        }
    }

    /// How one looks at first.
    pub(crate) fn view(&self) -> ViewState {
        ViewState::from(Shared {
            theme: if self.dark { Theme::Dark } else { Theme::Light },
            ..Shared::default()
        })
    }
}

/// The embedded text encoder on some sentences, projected in the fastest way.
pub(crate) fn study() -> Result<Study, Box<dyn Error>> {
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint()?)?;
    let capture = capturer.capture_lines(sentences().take(40))?;
    let parameters = AtlasParams {
        method: Pca.into(),
        ..AtlasParams::default()
    };
    Ok(Study::project(capture, &parameters)?)
}
