//! An image model in the pipeline.

use std::sync::Arc;

use embedkit_core::pipeline::{Grouping, RunResult, Step, Workload};

use super::{Error, Model};
use crate::{ImageInput, Pixels, decode};

/// One stream of images through the model.
pub(super) struct ImageStep {
    pub(super) model: Arc<Model>,
}

impl Step for ImageStep {
    /// With its place among the inputs.
    type Input = (usize, ImageInput);
    type Prepared = Pixels;
    type Output = Vec<f32>;
    type Error = Error;

    /// A photograph takes some ten milliseconds.
    const CHUNK: usize = 1;

    fn prepare(&self, (position, image): (usize, ImageInput)) -> Result<Pixels, Error> {
        let pixels = decode(&image, &self.model.decode)
            .and_then(|decoded| self.model.preprocessor.apply(&decoded));
        pixels.map_err(|error| {
            let path = if let ImageInput::Path(path) = image { Some(path) } else { None };
            Error::image(position, path, error)
        })
    }

    fn length(&self, _: &Pixels) -> usize {
        1
    }

    fn grouping(&self) -> Result<Grouping, Error> {
        self.model.graph.grouping()
    }

    fn lanes(&self) -> Result<usize, Error> {
        self.model.graph.lanes()
    }

    fn run(&self, workload: Workload, images: &[Pixels]) -> RunResult<Self> {
        let vectors = self.model.graph.run(workload, images)?;
        Ok(vectors.into_iter().map(|vector| Ok(self.model.width.cut(vector?)?)).collect())
    }
}
