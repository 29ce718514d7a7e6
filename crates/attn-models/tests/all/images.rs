//! Images against the pixels the reference made of the same files.

use attn_models::{
    Error, Model,
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
    assert!(error.contains("png, jpg, jpeg, webp, bmp"), "{error}");
    for name in ["b.PNG", "a.jpeg", ".hidden.png", "notes.txt", "c"] {
        std::fs::write(folder.path().join(name), b"").unwrap();
    }
    std::fs::create_dir(folder.path().join("cats.png")).unwrap();
    let names: Vec<String> = images_in(folder.path()).unwrap().iter().map(Image::name).collect();
    assert_eq!(names, ["a.jpeg", "b.PNG"]);
    assert!(matches!(images_in(folder.path().join("none")), Err(Error::Io { .. })));
}
