//! An image model in the pipeline.

use embedkit_core::pipeline::{Capacity, Pool, RunResult, Step, Workload};

use embedkit_types::Error;

use super::{ImageError, Model};
use crate::{ImageInput, Pixels};

impl Step for Model {
    type Input = ImageInput;
    type Prepared = Pixels;
    type Output = Vec<f32>;

    /// A photograph takes some ten milliseconds.
    const CHUNK: usize = 1;

    fn prepare(&self, image: ImageInput) -> Result<Pixels, Error> {
        self.preprocessor.read(&image, &self.decode).map_err(|error| {
            let path = if let ImageInput::Path(path) = image { Some(path) } else { None };
            ImageError::new(path, error).into()
        })
    }

    fn estimate(&self, _: &ImageInput) -> usize {
        1
    }

    fn length(&self, _: &Pixels) -> usize {
        1
    }

    fn pool(&self, _: &Pixels) -> Result<Pool, Error> {
        Ok(Pool::new(self.graph.grouping()?))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        self.graph.capacity()
    }

    fn run(&self, workload: Workload, images: &[Pixels]) -> RunResult<Self> {
        let vectors = self.graph.run(workload, images)?;
        Ok(vectors.into_iter().map(|vector| Ok(self.dim.truncate(vector?)?)).collect())
    }
}
