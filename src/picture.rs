//! The picture behind a captured sequence, as pixels to draw on.

use std::sync::Arc;

use attn_core::Sequence;
use attn_models::Picture;
use attn_render::Image;

use crate::{Error, embedded};

/// Reads a sequence's picture again: from its file, or from the embedded pictures by name.
pub(crate) fn load_picture(sequence: &Sequence) -> Result<Arc<Image>, Error> {
    let path = sequence.image.as_ref().and_then(|image| image.path.clone());
    let embedded = || embedded::PICTURES.iter().find(|(name, _)| *name == sequence.name);
    let picture = match (path, embedded()) {
        (Some(path), _) => Picture::File(path),
        (None, Some((name, bytes))) => Picture::Memory((*name).to_owned(), (*bytes).into()),
        (None, None) => {
            return Err(Error::NotAPicture {
                sequence: sequence.name.clone(),
            });
        }
    };
    let pixels = picture.decode()?.into_rgba8();
    Ok(Arc::new(Image::new(
        pixels.width(),
        pixels.height(),
        pixels.into_raw(),
    )?))
}
