//! Files of a gallery: each appears complete or not at all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use attn_core::files::write_atomically;
use attn_render::{Exporter, Format, Plot, ViewState};
use serde::Serialize;

use super::Written;
use crate::Error;

/// The files of a folder, and the device that draws them.
pub(super) struct Files {
    pub(super) folder: PathBuf,
    exporter: Exporter,
    pub(super) written: Vec<String>,
}

impl Files {
    pub(super) fn create(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|source| attn_core::Error::Io {
            path: folder.to_owned(),
            source,
        })?;
        // Texts are in any script.
        let mut exporter = Exporter::default();
        exporter.system_fonts = true;
        Ok(Self {
            folder: folder.to_owned(),
            exporter,
            written: Vec::new(),
        })
    }

    pub(super) fn draw(
        &mut self,
        name: &str,
        plot: &dyn Plot,
        state: &ViewState,
        formats: &[Format],
    ) -> Result<(), Error> {
        for format in formats {
            let name = format!("{name}.{}", format.extension());
            self.exporter.write(plot, state, self.folder.join(&name))?;
            self.written.push(name);
        }
        Ok(())
    }

    pub(super) fn text(&mut self, name: &str, text: impl AsRef<[u8]>) -> Result<(), Error> {
        write_atomically(&self.folder.join(name), text.as_ref())?;
        self.written.push(name.to_owned());
        Ok(())
    }

    /// Writes a file again, with more in it.
    pub(super) fn again(&mut self, name: &str, text: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(write_atomically(&self.folder.join(name), text.as_ref())?)
    }

    pub(super) fn json<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let bytes = serde_json::to_vec(value);
        self.serialized(name, bytes)
    }

    pub(super) fn pretty_json<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(value);
        self.serialized(name, bytes)
    }

    fn serialized(&mut self, name: &str, bytes: serde_json::Result<Vec<u8>>) -> Result<(), Error> {
        let bytes = bytes.map_err(|error| attn_core::Error::Io {
            path: self.folder.join(name),
            source: error.into(),
        })?;
        self.text(name, bytes)
    }

    /// What pictures could not show.
    pub(super) fn notes(&self) -> Vec<String> {
        self.exporter.missing_note().into_iter().collect()
    }

    pub(super) fn done(self) -> Written {
        let notes = self.notes();
        Written {
            folder: self.folder,
            files: self.written,
            answers: Vec::new(),
            notes,
        }
    }
}
