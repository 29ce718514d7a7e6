//! Images as PNG files, and files that appear complete or not at all.

use std::{borrow::Cow, io, path::Path};

use attn_core::files::write_atomically;

use crate::{Error, Image};

impl Image {
    /// Writes a PNG file. It appears complete or not at all: it is written under a temporary name beside `path` and
    /// renamed.
    ///
    /// # Errors
    /// [`Error::Write`] if the file cannot be written, [`Error::Encode`] if the image cannot be encoded.
    pub fn write_png(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let bytes = self.encode_png().map_err(|error| Error::Encode {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        write_whole(path, &bytes)
    }

    /// The image as a PNG file in memory.
    ///
    /// # Errors
    /// [`Error::Embed`] if it cannot be encoded.
    pub fn png_bytes(&self) -> Result<Vec<u8>, Error> {
        self.encode_png().map_err(|error| Error::Embed {
            message: error.to_string(),
        })
    }

    fn encode_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width(), self.height());
        // Journals demand images without an alpha channel; an opaque one needs none.
        let (color, pixels): (_, Cow<'_, [u8]>) = match self.rgba().chunks_exact(4).all(|pixel| pixel[3] == 255) {
            true => (
                png::ColorType::Rgb,
                self.rgba()
                    .chunks_exact(4)
                    .flat_map(|pixel| &pixel[..3])
                    .copied()
                    .collect(),
            ),
            false => (png::ColorType::Rgba, Cow::Borrowed(self.rgba())),
        };
        encoder.set_color(color);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Balanced);
        encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(bytes)
    }
}

/// Writes a file that appears complete or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_atomically(path, bytes).map_err(|error| Error::Write {
        path: path.to_owned(),
        source: match error {
            attn_core::Error::Io { source, .. } => source,
            other => io::Error::other(other),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn picture() -> Image {
        Image::new(3, 2, (0..24).collect()).unwrap()
    }

    #[test]
    fn a_png_file_holds_the_pixels_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        picture().write_png(&path).unwrap();
        let decoder = png::Decoder::new(io::BufReader::new(fs::File::open(&path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (3, 2));
        assert_eq!(pixels, picture().rgba());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn opaque_pictures_are_written_without_alpha() {
        let path = tempfile::tempdir().unwrap().keep().join("opaque.png");
        Image::new(1, 2, vec![1, 2, 3, 255, 4, 5, 6, 255])
            .unwrap()
            .write_png(&path)
            .unwrap();
        let mut reader = png::Decoder::new(io::BufReader::new(fs::File::open(&path).unwrap()))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.color_type, &pixels[..]),
            (png::ColorType::Rgb, &[1, 2, 3, 4, 5, 6][..])
        );
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn unwritable_places_are_errors_that_name_them() {
        let error = picture().write_png("no/such/folder/picture.png").unwrap_err();
        assert!(error.to_string().starts_with("no/such/folder/picture.png"), "{error}");
        assert!(matches!(picture().write_png("/").unwrap_err(), Error::Write { .. }));
    }
}
