//! The image of a captured sequence, and a sheet of the patches of all images.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use attn_core::{HeadId, Limits, Sequence, Side, files};
use attn_models::images::Image as InputImage;
use attn_render::{
    Image,
    scene::{PatchStyle, Patches},
};

use crate::{Error, Study, patches::sampled};

/// Limit of pixels per side of a patch on the sheet: more than a patch has on a screen.
const SIDE: u32 = 16;
/// Patches per row of the sheet, and limit of its height in pixels: every device takes a texture of this size.
const ACROSS: usize = 256;
const HEIGHT: usize = 8192;

/// The image of a sequence: in memory, or its file.
pub(crate) fn image_of(sequence: &Sequence) -> Result<InputImage, Error> {
    let image = sequence.image.as_ref();
    let data = image.and_then(|image| image.data.as_ref());
    let path = image.and_then(|image| image.path.clone());
    match (data, path) {
        (Some(data), _) => Ok(InputImage::memory(sequence.name.clone(), data.bytes().to_vec())),
        (None, Some(path)) => Ok(path.into()),
        (None, None) => Err(Error::NotAnImage {
            sequence: sequence.name.clone(),
        }),
    }
}

/// Reads the image of a sequence, whose pixels take at most so much memory.
///
/// # Errors
/// [`Error::NotAnImage`], [`Error::ImageLost`].
pub(crate) fn load_image(sequence: &Sequence, limits: Limits) -> Result<Arc<Image>, Error> {
    let image = image_of(sequence)?;
    let load = || {
        if let Some(path) = image.path() {
            // A capture may name any path of this machine; what is no file does not end.
            files::open(path)?;
        }
        let pixels = image.decode_within(limits)?.into_rgba8();
        Ok(Arc::new(Image::new(
            pixels.width(),
            pixels.height(),
            pixels.into_raw(),
        )?))
    };
    load().map_err(|source: Error| Error::ImageLost {
        sequence: sequence.name.clone(),
        source: Box::new(source),
    })
}

/// Reads the image of a sequence; `None` if it cannot be read again.
///
/// # Errors
/// [`Error::NotAnImage`].
pub(crate) fn image_if_there(sequence: &Sequence, limits: Limits) -> Result<Option<Arc<Image>>, Error> {
    match load_image(sequence, limits) {
        Err(Error::ImageLost { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// The last sheet, with the sides of its tokens.
#[derive(Debug, Default)]
pub(crate) struct Sheet(Mutex<Option<(Side, Side, Patches)>>);

impl Clone for Sheet {
    fn clone(&self) -> Self {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self(Mutex::new(known))
    }
}

impl Study {
    /// The sequences without those whose image cannot be read again, and the number of these.
    pub(crate) fn readable_sequences(&self) -> Result<(Cow<'_, [Sequence]>, usize), Error> {
        let all = self.capture().sequences();
        if all.iter().all(|sequence| sequence.image.is_none()) {
            return Ok((all.into(), 0));
        }
        let mut there = Vec::with_capacity(all.len());
        for sequence in all {
            if sequence.image.is_none() || image_if_there(sequence, self.limits)?.is_some() {
                there.push(sequence.clone());
            }
        }
        let lost = all.len() - there.len();
        Ok((there.into(), lost))
    }

    /// The patches of a head's points, all images on one sheet; `None` for text.
    pub(crate) fn patches(&self, head: HeadId, style: PatchStyle) -> Result<Option<Patches>, Error> {
        if !self.is_image(0) {
            return Ok(None);
        }
        let sides = (head.attention.query_side(), head.attention.key_side());
        let mut known = self.sheet.0.lock().unwrap_or_else(PoisonError::into_inner);
        let patches = match &*known {
            Some((query, key, patches)) if (*query, *key) == sides => patches.clone(),
            _ => {
                let patches = self.sheet_of(sides)?;
                *known = Some((sides.0, sides.1, patches.clone()));
                patches
            }
        };
        Ok(Some(Patches { style, ..patches }))
    }

    fn sheet_of(&self, (query_side, key_side): (Side, Side)) -> Result<Patches, Error> {
        let all = self.capture().sequences();
        let sides: &[Side] = if query_side == key_side {
            &[query_side]
        } else {
            &[query_side, key_side]
        };
        let drawn = || self.sequences().iter().map(|&sequence| &all[sequence]);
        let patches = drawn().flat_map(|sequence| sides.iter().flat_map(|side| sequence.tokens(*side)));
        let patches = patches.filter(|token| token.patch.is_some()).count();
        let side = (HEIGHT / patches.div_ceil(ACROSS).max(1)).clamp(1, SIDE as usize);
        let most = u32::try_from(side).unwrap_or(SIDE);
        let mut cells: Vec<(u32, u32, Vec<[u8; 3]>)> = Vec::with_capacity(patches);
        let mut parts: Vec<[u16; 4]> = Vec::new();
        for tokens in sides {
            for sequence in drawn() {
                let image = image_if_there(sequence, self.limits)?;
                let grid = sequence
                    .image
                    .as_ref()
                    .map_or((1, 1), |image| (image.rows, image.columns));
                for token in sequence.tokens(*tokens) {
                    // What shows no patch stays a dot.
                    let (Some(patch), Some(image)) = (token.patch, &image) else {
                        parts.push([0; 4]);
                        continue;
                    };
                    let cell = sampled(image, grid, patch, most);
                    let pixels = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
                    let (left, top) = (cells.len() % ACROSS * side, cells.len() / ACROSS * side);
                    parts.push([left, top, cell.0 as usize, cell.1 as usize].map(pixels));
                    cells.push(cell);
                }
            }
        }
        if query_side == key_side {
            // Queries and keys are the same patches.
            parts.extend_from_within(..);
        }
        let (width, height) = (
            side * cells.len().clamp(1, ACROSS),
            side * cells.len().div_ceil(ACROSS).max(1),
        );
        let mut rgba = vec![255; 4 * width * height];
        for (index, (across, _, pixels)) in cells.iter().enumerate() {
            let (left, top) = (index % ACROSS * side, index / ACROSS * side);
            for (at, pixel) in pixels.iter().enumerate() {
                let (x, y) = (left + at % *across as usize, top + at / *across as usize);
                let start = 4 * (y * width + x);
                rgba[start..start + 3].copy_from_slice(pixel);
            }
        }
        let size = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        Ok(Patches {
            sheet: Arc::new(Image::new(size(width), size(height), rgba)?),
            parts: parts.into(),
            style: PatchStyle::default(),
        })
    }
}
