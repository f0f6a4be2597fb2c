//! Cases of image embedding: tiny models of every kind, pictures, and values of a real model.

use std::path::{Path, PathBuf};

use embedkit_types::ModelSpec;
use serde::Deserialize;

use crate::{
    case::{Case, Golden, case, cases},
    dense::{Failure, Stage},
    files::{parsed, vectors},
};

/// A tiny image model with its golden values.
pub type ImageCase = Case<ImageGolden>;

/// FastEmbed's results for an image case, each picture alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageGolden {
    /// Name of the FastEmbed model whose code ran.
    pub model: String,
    /// Inputs by name; [`picture`] has their paths.
    pub pictures: Vec<String>,
    /// Exception instead of vectors.
    #[serde(default)]
    pub error: Option<Failure>,
    /// Element type of the original's vectors.
    #[serde(default)]
    pub dtype: Option<String>,
    /// One vector for each picture.
    #[serde(default)]
    pub embed: Vec<Vec<f32>>,
    /// All pictures in one batch, if different.
    #[serde(default)]
    pub embed_together: Option<Vec<Vec<f32>>>,
    /// Exception for all pictures in one batch.
    #[serde(default)]
    pub embed_together_error: Option<Failure>,
    /// Reason why embedkit reports an error while the original gives vectors.
    #[serde(default)]
    pub repaired: Option<String>,
}

impl ImageCase {
    /// Paths of its pictures.
    #[must_use]
    pub fn pictures(&self) -> Vec<PathBuf> {
        self.golden.pictures.iter().map(|name| picture(name)).collect()
    }

    /// Result of a correct implementation: a vector for each picture, or an error.
    ///
    /// # Errors
    /// The stage at which the original fails. embedkit may fail earlier.
    pub fn expected(&self) -> Result<&[Vec<f32>], Stage> {
        match &self.golden {
            ImageGolden { error: Some(failure), .. } => Err(failure.stage),
            ImageGolden { repaired: Some(_), .. } => Err(Stage::Embed),
            golden => Ok(&golden.embed),
        }
    }

    /// Maximum rounding difference of a component.
    #[must_use]
    pub fn tolerance(&self) -> f32 {
        // Half precision has 11 bits, and two implementations may round to neighbours.
        if self.golden.dtype.as_deref() == Some("float16") { 1e-3 } else { 1e-5 }
    }
}

impl Golden for ImageGolden {
    const FOLDER: &str = "image";

    fn complete(self, dir: &Path, _: &ModelSpec) -> Self {
        let (vectors, pictures) = (self.embed.len(), self.pictures.len());
        assert!(
            vectors == if self.error.is_some() { 0 } else { pictures },
            "{}: {vectors} vectors for {pictures} pictures",
            dir.display()
        );
        self
    }
}

/// All tiny image models, ordered by name.
///
/// # Panics
/// If a file of a case is missing or damaged.
#[must_use]
pub fn image_cases() -> Vec<ImageCase> {
    cases()
}

/// One tiny image model by name.
///
/// # Panics
/// As [`image_cases`], and if the name is unknown.
#[must_use]
pub fn image_case(name: &str) -> ImageCase {
    case(name)
}

/// Path of a tiny picture, such as `wide.png`.
#[must_use]
pub fn picture(name: &str) -> PathBuf {
    root().join("pictures").join(name)
}

/// Pictures with FastEmbed 0.9.1's results for each of them alone on a real model.
#[derive(Debug, Clone)]
pub struct StoredImages {
    /// Name of the FastEmbed model whose code ran.
    pub model: String,
    /// Names of the pictures in the folder of the asset `pictures`.
    pub pictures: Vec<String>,
    /// One vector for each picture.
    pub vectors: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    model: String,
    dim: usize,
    pictures: Vec<String>,
}

/// Golden values of the real image model, [`asset`](crate::asset) `efficientnet`.
///
/// # Panics
/// If the files are missing or contradict each other.
#[must_use]
pub fn stored_images() -> StoredImages {
    let header: Header = parsed(&root().join("efficientnet.json"));
    let vectors = vectors(&root().join("efficientnet.f32"), header.pictures.len(), header.dim);
    StoredImages { model: header.model, pictures: header.pictures, vectors }
}

fn root() -> PathBuf {
    crate::data_dir().join(ImageGolden::FOLDER)
}
