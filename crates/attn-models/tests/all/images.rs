//! Images against the pixels the reference made of the same files.

use attn_core::Limits;
use attn_models::{
    Capturer, Error, Model,
    image::{DynamicImage, ImageFormat, Rgb, RgbImage},
    images::{Image, ImageProcessor, images_in},
    model::Vision,
};

use crate::support::{expected, fixture, open, values};

#[test]
fn pixels_agree_with_the_reference_up_to_rounding_of_8_bit_values() {
    let checkpoint = open("vit");
    let vision = Model::load(&checkpoint).unwrap().vision().unwrap();
    let images = checkpoint.image_processor().unwrap();
    let decoded: Vec<_> = ["0.png", "1.png"]
        .iter()
        .map(|name| Image::from(fixture("vit/images").join(name)).decode().unwrap())
        .collect();
    let found = values(&images.batch(&decoded, &vision).unwrap());
    let wanted = values(&expected("vit")["px.in.pixel_values"]);
    assert_eq!(found.len(), wanted.len());
    // One step of an 8-bit value, divided by the deviation 0.5 of this model.
    let step = 1.0 / 255.0 / 0.5;
    let differing = found
        .iter()
        .zip(&wanted)
        .filter(|(a, b)| (**a - **b).abs() > 1e-5)
        .count();
    let largest = found
        .iter()
        .zip(&wanted)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    eprintln!(
        "{differing} of {} values differ, the largest by {:.2} steps",
        found.len(),
        largest / step
    );
    assert!(largest <= 1.01 * step, "{largest}");
    assert!(differing * 100 <= found.len(), "{differing} of {} differ", found.len());
}

fn preprocessor(json: &str) -> ImageProcessor {
    ImageProcessor::new(json.as_bytes(), "preprocessor_config.json".as_ref()).unwrap()
}

const GRAY: Vision = Vision {
    channels: 1,
    height: 2,
    width: 2,
    patch: (2, 2),
    rows: 1,
    columns: 1,
    special: 1,
};

#[test]
fn gray_images_follow_the_luma_weights() {
    let images = preprocessor(
        r#"{"image_processor_type": "ViTImageProcessor", "size": {"height": 2, "width": 2}, "image_mean": [0.0], "image_std": [1.0]}"#,
    );
    let mut image = image::RgbImage::new(2, 2);
    image.put_pixel(0, 0, image::Rgb([255, 0, 0]));
    image.put_pixel(1, 0, image::Rgb([0, 255, 0]));
    image.put_pixel(0, 1, image::Rgb([0, 0, 255]));
    image.put_pixel(1, 1, image::Rgb([255, 255, 255]));
    let pixels = images.pixels(&image.into(), &GRAY).unwrap();
    let expected = [0.299, 0.587, 0.114, 1.0];
    for (found, expected) in pixels.iter().zip(expected) {
        assert!((found - expected).abs() <= 0.5 / 255.0, "{pixels:?}");
    }
}

#[test]
fn the_shorter_edge_is_brought_to_size_and_the_center_kept() {
    // An image of 4 x 2 whose columns are 0, 85, 170, 255: the two in the middle remain.
    let images = preprocessor(
        r#"{"size": {"shortest_edge": 2}, "do_center_crop": true, "crop_size": {"height": 2, "width": 2},
        "do_normalize": false}"#,
    );
    let image = image::GrayImage::from_fn(4, 2, |x, _| image::Luma([u8::try_from(85 * x).unwrap()]));
    let pixels = images.pixels(&image.into(), &GRAY).unwrap();
    for (found, expected) in pixels.iter().zip([85.0, 170.0, 85.0, 170.0]) {
        assert!((found - expected / 255.0).abs() < 1e-6, "{pixels:?}");
    }
}

#[test]
fn a_preprocessor_of_another_model_is_refused() {
    let images = open("vit").image_processor().unwrap();
    let image = image::DynamicImage::new_rgb8(64, 64);
    let other = Vision {
        channels: 3,
        height: 224,
        width: 224,
        patch: (16, 16),
        rows: 14,
        columns: 14,
        special: 1,
    };
    assert!(matches!(images.pixels(&image, &other), Err(Error::Config { .. })));
}

#[test]
fn what_is_not_an_image_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("cat.png");
    let whole = std::fs::read(fixture("vit/images/0.png")).unwrap();
    for bytes in [&b"not an image"[..], &[], &whole[..whole.len() / 2]] {
        std::fs::write(&broken, bytes).unwrap();
        match Image::from(broken.as_path()).decode().unwrap_err() {
            Error::Image { path, .. } => assert_eq!(path, broken),
            other => panic!("{other}"),
        }
    }
    assert!(matches!(
        Image::from(folder.path().join("none.png")).decode(),
        Err(Error::Io { .. })
    ));
}

#[test]
fn wrong_preprocessor_settings_are_named() {
    for (json, key) in [
        (r#"{"size": "large"}"#, "size"),
        (r#"{"size": {"longest_edge": 5}}"#, "size"),
        (r#"{"size": 8, "resample": 9}"#, "resample"),
        (r#"{"size": 8, "image_mean": [0.5], "image_std": [0.0]}"#, "image_std"),
        (r#"{"size": 8, "image_mean": "gray"}"#, "image_mean"),
        (r#"{"size": [8, 8, 8]}"#, "size"),
        (
            r#"{"size": 8, "do_center_crop": true, "crop_size": {"height": 8}}"#,
            "crop_size",
        ),
        (r#"{"size": 8, "do_resize": "yes"}"#, "do_resize"),
        // Processors that are not implemented, whatever the model.
        (
            r#"{"image_processor_type": "ViTHybridImageProcessor"}"#,
            "image_processor_type",
        ),
        (
            r#"{"feature_extractor_type": "ConvNextFeatureExtractor"}"#,
            "feature_extractor_type",
        ),
    ] {
        let error = ImageProcessor::new(json.as_bytes(), "p.json".as_ref())
            .unwrap_err()
            .to_string();
        assert!(error.contains(key), "{json}: {error}");
    }
}

#[test]
fn absurd_sizes_are_refused_without_allocating_them() {
    let image = image::DynamicImage::new_rgb8(1, 60_000);
    let vision = Vision {
        channels: 3,
        height: 8,
        width: 8,
        patch: (8, 8),
        rows: 1,
        columns: 1,
        special: 1,
    };
    for size in ["100000000", r#"{"shortest_edge": 9000}"#] {
        let images = preprocessor(&format!(
            r#"{{"image_processor_type": "ViTImageProcessor", "size": {size}}}"#
        ));
        assert!(matches!(images.pixels(&image, &vision), Err(Error::Config { .. })));
    }
}

#[test]
fn the_images_of_a_folder_are_listed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let error = images_in(folder.path()).unwrap_err().to_string();
    assert!(error.contains("png, jpg, jpeg, webp, bmp, gif, tif, tiff"), "{error}");
    for name in ["b.PNG", "a.jpeg", "d.gif", ".hidden.png", "notes.txt", "c"] {
        std::fs::write(folder.path().join(name), b"").unwrap();
    }
    std::fs::create_dir(folder.path().join("cats.png")).unwrap();
    let names: Vec<String> = images_in(folder.path()).unwrap().iter().map(Image::name).collect();
    assert_eq!(names, ["a.jpeg", "b.PNG", "d.gif"]);
    assert!(matches!(images_in(folder.path().join("none")), Err(Error::Io { .. })));
}

/// A picture that is alike in no place: `[7x + 3y, 5xy + 11, x^2 + 40y]` modulo 256.
fn picture(height: u32, width: u32) -> DynamicImage {
    let pixel =
        |x: u32, y: u32| Rgb([7 * x + 3 * y, 5 * x * y + 11, x * x + 40 * y].map(|v| u8::try_from(v % 256).unwrap()));
    RgbImage::from_fn(width, height, pixel).into()
}

fn color(height: usize, width: usize) -> Vision {
    Vision {
        channels: 3,
        height,
        width,
        ..GRAY
    }
}

/// Sizes, crops, filters and defaults as the reference's processors have them. The expected numbers were computed with
/// Pillow 13.0 and numpy: the sum of all values, and those at 0, 7, half of all and the last.
#[test]
fn settings_mean_what_the_reference_means_by_them() {
    let vit = [-17.0667, -0.9059, 0.2157, -0.3882, 0.1765];
    let clip = [-6.7316, -1.6755, 0.2369, -0.7766, -0.2715];
    let deit = [-7.8431, -0.7804, 0.1529, 0.3255, -0.3490];
    let bordered = [-669.9586, -1.7923, -1.7923, 0.1839, -1.4802];
    let filtered =
        |filter: &str| format!(r#"{{"image_processor_type": "ViTImageProcessor", "size": 8, "resample": {filter}}}"#);
    let cases: [(String, (u32, u32), (usize, usize), [f32; 5]); 20] = [
        (r#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 8}"#.into(), (20, 24), (8, 8), vit),
        (r#"{"image_processor_type": "ViTImageProcessorFast", "size": {"height": 8, "width": 8}, "do_rescale": null,
             "do_center_crop": null, "resample": null, "image_mean": null}"#.into(), (20, 24), (8, 8), vit),
        (r#"{"size": [8, 8], "do_resize": "true", "do_normalize": 1}"#.into(), (20, 24), (8, 8), vit),
        (r#"{"size": [8, 6]}"#.into(), (20, 24), (8, 6), [-12.4471, -0.8745, -0.6157, -0.1843, 0.0431]),
        (r#"{"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 8}, "crop_size": 8}"#.into(), (20, 24), (8, 8), clip),
        (r#"{"feature_extractor_type": "CLIPFeatureExtractor", "size": 8, "crop_size": [8, 8]}"#.into(), (20, 24), (8, 8), clip),
        (r#"{"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}"#.into(), (20, 24), (8, 8), clip),
        // Larger than the image in one direction, odd in the other.
        (r#"{"image_processor_type": "CLIPImageProcessor", "do_resize": false, "crop_size": [27, 24]}"#.into(), (20, 29), (27, 24), bordered),
        (r#"{"image_processor_type": "DeiTImageProcessor", "size": 10, "crop_size": 8}"#.into(), (20, 24), (8, 8), deit),
        (filtered("0"), (20, 24), (8, 8), [-18.4471, -0.9216, 0.2314, -0.4824, 0.4118]),
        (filtered("1"), (20, 24), (8, 8), [-17.0353, -0.9294, 0.2235, -0.3569, 0.2314]),
        (filtered("2"), (20, 24), (8, 8), vit),
        (filtered("\"bilinear\""), (20, 24), (8, 8), vit),
        (filtered("4"), (20, 24), (8, 8), [-16.9961, -0.9216, 0.2314, -0.4824, 0.2392]),
        (filtered("5"), (20, 24), (8, 8), [-17.7647, -0.9137, 0.2235, -0.4510, 0.2471]),
        (r#"{"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 8, "longest_edge": 9}, "crop_size": 8}"#.into(),
            (20, 40), (8, 8), [-147.2153, -1.7923, -1.7923, -0.1163, -1.4802]),
        (r#"{"image_processor_type": "ViTImageProcessor", "size": 8, "do_rescale": false}"#.into(), (20, 24), (8, 8), [44416.0, 23.0, 309.0, 155.0, 299.0]),
        (r#"{"size": {"max_height": 8, "max_width": 40}, "do_center_crop": false}"#.into(), (8, 8), (8, 8),
            sums(&picture(8, 8))),
        (r#"{"size": {"shortest_edge": 8}, "do_normalize": "True"}"#.into(), (8, 8), (8, 8), sums(&picture(8, 8))),
        (r#"{"do_resize": false}"#.into(), (8, 8), (8, 8), sums(&picture(8, 8))),
    ];
    for (json, (height, width), (model_height, model_width), expected) in cases {
        let pixels = preprocessor(&json)
            .pixels(&picture(height, width), &color(model_height, model_width))
            .unwrap();
        let found = [pixels[0], pixels[7], pixels[pixels.len() / 2], pixels[pixels.len() - 1]];
        let step = if json.contains("do_rescale\": false") {
            255.0
        } else {
            1.0
        } * 1.05
            / 255.0
            / 0.26;
        for (found, expected) in found.iter().zip(&expected[1..]) {
            assert!((found - expected).abs() <= step, "{json}: {found} for {expected}");
        }
        let sum: f32 = pixels.iter().sum();
        assert!(
            (sum - expected[0]).abs() <= 0.05 * step * pixels.len() as f32,
            "{json}: {sum} for {}",
            expected[0]
        );
    }
}

/// The numbers of an image that nothing is done to but to normalize it by 0.5 and 0.5.
fn sums(image: &DynamicImage) -> [f32; 5] {
    let rgb = image.to_rgb8();
    let values: Vec<f32> = (0..3)
        .flat_map(|channel| rgb.pixels().map(move |pixel| f32::from(pixel[channel]) / 127.5 - 1.0))
        .collect();
    [
        values.iter().sum(),
        values[0],
        values[7],
        values[values.len() / 2],
        values[values.len() - 1],
    ]
}

/// A file that says nothing has the sizes of its processor, or of the model's family.
#[test]
fn what_a_file_leaves_out_is_that_of_its_processor() {
    let of_family =
        |json: &str, family: &str| ImageProcessor::of_family(json.as_bytes(), "p.json".as_ref(), family).unwrap();
    for (json, family, size) in [
        ("{}", "vit", (224, 224)),
        (
            r#"{"image_processor_type": "ViTImageProcessor", "do_resize": true}"#,
            "clip",
            (224, 224),
        ),
        ("{}", "dinov2", (224, 224)),
        (r#"{"size": 32}"#, "deit", (224, 224)),
        (r#"{"size": 32}"#, "vit", (32, 32)),
        (
            r#"{"size": 32, "crop_size": 16, "image_mean": [0.1, 0.2, 0.3], "image_std": 0.5}"#,
            "clip_vision_model",
            (16, 16),
        ),
    ] {
        assert_eq!(of_family(json, family).size(), Some(size), "{json} {family}");
    }
    // CLIP's mean: black is -0.48145466 / 0.26862954.
    let black = DynamicImage::new_rgb8(4, 4);
    let pixels = of_family(r#"{"size": 4, "crop_size": 4}"#, "clip")
        .pixels(&black, &color(4, 4))
        .unwrap();
    assert!((pixels[0] + 1.792_262_6).abs() < 1e-6, "{}", pixels[0]);
}

/// Neither the image that is made nor the one between rows and columns is larger than allowed.
#[test]
fn sizes_between_are_bounded() {
    let limits = Limits::of(10_000_000);
    let image = DynamicImage::new_rgb8(24, 24);
    for (json, model) in [
        (r#"{"size": {"height": 1, "width": 67108864}}"#, (1, 67_108_864)),
        (
            r#"{"image_processor_type": "CLIPImageProcessor", "size": 40000, "crop_size": 8}"#,
            (8, 8),
        ),
        (
            r#"{"do_center_crop": true, "crop_size": 200000000}"#,
            (200_000_000, 200_000_000),
        ),
    ] {
        let images = preprocessor(json).with_limits(limits);
        match images.pixels(&image, &color(model.0, model.1)).unwrap_err() {
            Error::Core(attn_core::Error::Memory { what, allowed, .. }) => {
                assert!(what.contains("size") && allowed == 10_000_000, "{what}");
            }
            other => panic!("{json}: {other}"),
        }
        // A model of another size is refused before that.
        assert!(matches!(images.pixels(&image, &color(9, 9)), Err(Error::Config { .. })));
    }
    let file = encoded(&DynamicImage::new_rgb8(3000, 3000), ImageFormat::Png);
    match Image::memory("large.png", file).decode_within(limits).unwrap_err() {
        Error::Core(attn_core::Error::Memory { what, .. }) => {
            assert!(what.contains("large.png, 3000 x 3000"), "{what}")
        }
        other => panic!("{other}"),
    }
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// An EXIF block that says how the image is turned: little endian, one entry, tag 0x0112, a short.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// A camera stores pixels as its sensor lies and says how to turn them. EXIF 2.32, tag 0x0112: the corner at which the
/// first stored pixel stands.
#[test]
fn images_are_turned_as_their_file_says() {
    // Quarters: red, green / blue, white.
    let quarters = RgbImage::from_fn(32, 16, |x, y| match (x < 16, y < 8) {
        (true, true) => Rgb([250, 0, 0]),
        (false, true) => Rgb([0, 250, 0]),
        (true, false) => Rgb([0, 0, 250]),
        (false, false) => Rgb([250; 3]),
    });
    let (red, green, blue, white) = ("red", "green", "blue", "white");
    let name = |pixel: [u8; 4]| match pixel.map(|value| value > 125) {
        [true, false, false, _] => red,
        [false, true, false, _] => green,
        [false, false, true, _] => blue,
        _ => white,
    };
    let jpeg = |orientation: u8| {
        let plain = encoded(&quarters.clone().into(), ImageFormat::Jpeg);
        let block = [b"Exif\0\0".to_vec(), exif(orientation)].concat();
        let length = u16::try_from(block.len() + 2).unwrap().to_be_bytes();
        [&plain[..2], &[0xFF, 0xE1], &length, &block, &plain[2..]].concat()
    };
    let png = |orientation: u8| {
        let plain = encoded(&quarters.clone().into(), ImageFormat::Png);
        let block = exif(orientation);
        let body = [b"eXIf".to_vec(), block.clone()].concat();
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        // After the signature and the header of 25 bytes.
        [&plain[..33], &length, &body, &crc32(&body).to_be_bytes(), &plain[33..]].concat()
    };
    for (orientation, corners) in [
        (1, [red, green, blue, white]),
        (2, [green, red, white, blue]),
        (3, [white, blue, green, red]),
        (4, [blue, white, red, green]),
        (5, [red, blue, green, white]),
        (6, [blue, red, white, green]),
        (7, [white, green, blue, red]),
        (8, [green, white, red, blue]),
    ] {
        for file in [jpeg(orientation), png(orientation)] {
            let image = Image::memory("turned", file).decode().unwrap().to_rgba8();
            let (right, bottom) = (image.width() - 4, image.height() - 4);
            let found = [(3, 3), (right, 3), (3, bottom), (right, bottom)].map(|(x, y)| name(image.get_pixel(x, y).0));
            assert_eq!(found, corners, "orientation {orientation}");
            assert_eq!(image.width() < image.height(), orientation > 4);
        }
    }
}

#[test]
fn every_format_is_read_or_named() {
    let image: DynamicImage = RgbImage::from_pixel(6, 4, Rgb([200, 100, 50])).into();
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::Tiff,
    ] {
        let read = Image::memory("x", encoded(&image, format)).decode().unwrap().to_rgb8();
        assert_eq!(read.dimensions(), (6, 4), "{format:?}");
        let close = read
            .get_pixel(2, 2)
            .0
            .iter()
            .zip([200, 100, 50])
            .all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 4);
        assert!(close, "{format:?}: {:?}", read.get_pixel(2, 2));
    }
    for (bytes, name) in [
        (&b"\0\0\0\x20ftypavif"[..], "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (b"<svg xmlns", "SVG"),
        (b"%PDF-1.7", "PDF"),
    ] {
        let error = Image::memory("x", bytes).decode().unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("png, jpg"), "{error}");
    }
}

/// One broken file among thousands does not end a run; nothing but broken files does.
#[test]
fn images_that_cannot_be_read_are_left_out_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture("vit/images/0.png")).unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("0.png"), &whole).unwrap();
    std::fs::write(path("1.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::copy(fixture("vit/images/1.png"), path("3.png")).unwrap();
    let capturer = Capturer::load(&open("vit")).unwrap();
    let found = capturer
        .images(["0.png", "1.png", "2.png", "3.png"].map(path))
        .run()
        .unwrap();
    let notes: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("1.png: not a readable image") && notes[0].ends_with("left out"));
    assert!(notes[1].contains("2.png"), "{notes:?}");
    let right = capturer.capture_images(["0.png", "3.png"].map(path)).unwrap();
    assert_eq!(found.capture.sequences(), right.sequences());
    for head in right.model().heads() {
        assert_eq!(found.capture.queries(head).unwrap(), right.queries(head).unwrap());
    }
    let broken = capturer.capture_images([path("1.png"), path("2.png")]);
    assert!(matches!(broken, Err(Error::Image { .. })));
}

/// A folder or a pipe in place of a file is said to be one, and is not waited for.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_read() {
    for path in ["/dev/zero", "/"] {
        match Image::from(path).decode().unwrap_err() {
            Error::Image { message, .. } => assert!(message.contains("not a file"), "{message}"),
            other => panic!("{other}"),
        }
    }
}

/// What does not fit the model is an image of many.
#[test]
fn an_image_that_does_not_fit_is_named() {
    let capturer = Capturer::load(&open("vit")).unwrap();
    let capturer = capturer.with_image_processor(preprocessor(r#"{"do_resize": false}"#));
    let side = capturer.model().vision().unwrap().height as u32;
    let images = [(side, "frame 6"), (5, "frame 7")]
        .map(|(side, name)| Image::decoded(name, DynamicImage::new_rgb8(side, side)));
    let errors = [
        capturer.capture_images(&images).unwrap_err(),
        capturer.image_inputs(&images).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().ends_with("found 5 x 5 for frame 7"), "{error}");
    }
    let images: [&Image; 0] = [];
    assert!(matches!(capturer.image_inputs(images), Err(Error::Empty { .. })));
}

/// A note of the camera that is cut is no reason not to show its pixels.
#[test]
fn a_broken_note_of_the_camera_is_passed_over() {
    let plain = encoded(
        &RgbImage::from_pixel(6, 4, Rgb([200, 100, 50])).into(),
        ImageFormat::WebP,
    );
    // The extended form: EXIF is said to be there, then width and height less 1 in 24 bits each.
    let head = [8, 0, 0, 0, 5, 0, 0, 3, 0, 0];
    let chunks = [&b"WEBPVP8X\x0a\0\0\0"[..], &head, &plain[12..], b"EXIF\x64\0\0\0II*\0"].concat();
    // As long as a whole note would make it.
    let length = u32::try_from(chunks.len() + 96).unwrap().to_le_bytes();
    let file = [&b"RIFF"[..], &length, &chunks].concat();
    let read = Image::memory("cut.webp", file).decode().unwrap().to_rgb8();
    assert_eq!((read.dimensions(), read.get_pixel(2, 2).0), ((6, 4), [200, 100, 50]));
}
