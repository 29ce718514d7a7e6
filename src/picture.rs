//! The picture behind a captured sequence, as pixels to draw on.

use std::sync::Arc;

use attn_core::Sequence;
use attn_models::Picture;
use attn_render::Image;

use crate::{Error, embedded};

/// A sequence's picture: its file, or the embedded picture of its name.
pub(crate) fn picture_of(sequence: &Sequence) -> Result<Picture, Error> {
    let path = sequence.image.as_ref().and_then(|image| image.path.clone());
    let embedded = || embedded::PICTURES.iter().find(|(name, _)| *name == sequence.name);
    match (path, embedded()) {
        (Some(path), _) => Ok(Picture::File(path)),
        (None, Some((name, bytes))) => Ok(Picture::Memory((*name).to_owned(), (*bytes).into())),
        (None, None) => Err(Error::NotAPicture {
            sequence: sequence.name.clone(),
        }),
    }
}

/// Reads a sequence's picture again.
pub(crate) fn load_picture(sequence: &Sequence) -> Result<Arc<Image>, Error> {
    let pixels = picture_of(sequence)?.decode()?.into_rgba8();
    Ok(Arc::new(Image::new(
        pixels.width(),
        pixels.height(),
        pixels.into_raw(),
    )?))
}
