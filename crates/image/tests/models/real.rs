//! EfficientNet-Lite0 on photographs, against stored values of the original and ImageNet's classes.

use std::path::PathBuf;

use embedkit_image::{ImageEmbedding, ImageOptions, PreprocessOptions, ResizeQuality};
use embedkit_testkit::{assert_close, asset, cosine, stored_images, zip_equal};
use embedkit_types::{Image, LoadOptions, ModelFiles, ModelSpec, Task};

use crate::options;

struct Real {
    files: ModelFiles,
    pictures: PathBuf,
    options: LoadOptions,
}

fn real() -> Option<Real> {
    let (options, dir, pictures) = (options()?, asset("efficientnet")?, asset("pictures")?);
    let files = ModelFiles::in_dir(dir, &spec("model.onnx", 1280));
    Some(Real { files, pictures, options })
}

/// A model that is not in the registry.
fn spec(file: &'static str, dim: usize) -> ModelSpec {
    ModelSpec {
        id: "test/efficientnet-lite0".into(),
        file: file.into(),
        task: Task::Image(Image { dim, ..Image::DEFAULT }),
        ..ModelSpec::DEFAULT
    }
}

impl Real {
    fn paths(&self) -> Vec<PathBuf> {
        stored_images().pictures.iter().map(|name| self.pictures.join(name)).collect()
    }

    fn vectors(&self, image: &ImageOptions) -> Vec<Vec<f32>> {
        let spec = spec("model.onnx", 1280);
        let model = ImageEmbedding::from_files_with(&spec, &self.files, &self.options, image);
        model.unwrap().embed(self.paths()).collect::<Result<_, _>>().unwrap()
    }
}

#[test]
fn photographs_equal_the_original() {
    let Some(real) = real() else { return };
    let stored = stored_images();
    let vectors = real.vectors(&ImageOptions::default());
    assert_eq!(vectors.len(), stored.vectors.len());
    for ((vector, expected), name) in vectors.iter().zip(&stored.vectors).zip(&stored.pictures) {
        println!("{name}: cosine {:.7}", cosine(vector, expected));
        assert_close(vector, expected, 1e-5);
    }
    // The two pictures of a stereo pair are alike, and no others are.
    for (i, a) in vectors.iter().enumerate() {
        for (j, b) in vectors.iter().enumerate().take(i) {
            let pair = stored.pictures[i].starts_with("motorcycle")
                && stored.pictures[j].starts_with("motorcycle");
            let alike = cosine(a, b);
            assert!(if pair { alike > 0.85 } else { alike < 0.35 }, "{i} {j}: {alike}");
        }
    }
}

#[test]
fn fast_resizing_stays_close() {
    let Some(real) = real() else { return };
    let preprocess =
        PreprocessOptions { quality: ResizeQuality::Fast, ..PreprocessOptions::default() };
    let vectors = real.vectors(&ImageOptions { preprocess, ..ImageOptions::default() });
    for (vector, expected) in zip_equal(&vectors, &stored_images().vectors) {
        assert!(cosine(vector, expected) > 0.999, "{}", cosine(vector, expected));
    }
}

#[test]
fn classes_of_imagenet_are_right() {
    let Some(real) = real() else { return };
    let mut spec = spec("logits.onnx", 1000);
    spec.task = Task::Image(Image { dim: 1000, normalize: false, ..Image::DEFAULT });
    let files = ModelFiles::in_dir(&real.files.root, &spec);
    let model = ImageEmbedding::from_files(&spec, &files, &real.options).unwrap();
    // A tabby cat, an espresso, a missile, a moped twice, a tripod.
    let classes = [282, 967, 657, 665, 665, 872];
    for (logits, class) in zip_equal(model.embed(real.paths()), classes) {
        let logits = logits.unwrap();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        assert_eq!(best, Some(class));
    }
}
