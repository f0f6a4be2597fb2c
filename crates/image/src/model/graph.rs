//! A batch of tensors through the graph, and what comes out as one vector per image.

use std::{borrow::Cow, sync::OnceLock, thread::available_parallelism};

use embedkit_core::{
    Error as CoreError, l2_normalize,
    onnx::{Input, Session, Values, View, round_to},
    pipeline::{Capacity, Grouping, Workload},
};
use embedkit_types::{BatchOptions, Error, Image, ImagePooling, LoadOptions, ModelFiles};

use crate::Pixels;

/// Images of a batch on anything but the CPU, unless the caller says otherwise.
const ROWS: usize = 16;

/// An image model's graph.
#[derive(Debug)]
pub(super) struct ImageGraph {
    session: Session,
    task: Image,
    batch: BatchOptions,
    allow_batch_dependence: bool,
    /// Whether the tensors of all images have one size.
    same_size: bool,
    bound: OnceLock<Bound>,
}

/// What the graph turned out to declare.
#[derive(Debug)]
struct Bound {
    input: String,
    output: usize,
    grouping: Grouping,
}

impl ImageGraph {
    /// Opens the graph and checks what it declares, now or, with `load.lazy`, at its first use.
    pub(super) fn open(
        task: &Image,
        files: &ModelFiles,
        load: &LoadOptions,
        same_size: bool,
    ) -> Result<Self, Error> {
        let graph = Self {
            session: Session::open(&files.model, load)?,
            task: task.clone(),
            batch: load.batch,
            allow_batch_dependence: load.allow_batch_dependence,
            same_size,
            bound: OnceLock::new(),
        };
        if !load.lazy {
            graph.bound()?;
        }
        Ok(graph)
    }

    pub(super) fn device(&self) -> Result<&str, Error> {
        Ok(self.session.device()?)
    }

    pub(super) fn capacity(&self) -> Result<Capacity, Error> {
        Ok(self.session.capacity()?)
    }

    pub(super) fn grouping(&self) -> Result<Grouping, Error> {
        Ok(self.bound()?.grouping)
    }

    /// How images are grouped. A tensor has half a megabyte and more, so the window is as small as
    /// keeps all cores busy; it bounds what is in memory at once.
    pub(super) fn batch(&self) -> BatchOptions {
        let rows = self.batch.rows.unwrap_or(ROWS);
        let cores = available_parallelism().map_or(1, usize::from);
        let window = rows.max(cores).saturating_mul(2);
        BatchOptions {
            rows: Some(rows),
            tokens: Some(usize::MAX), // images are counted by rows alone
            window: window.min(self.batch.window),
            queue: self.batch.queue,
        }
    }

    /// Runs one batch: a vector for each image, in order.
    pub(super) fn run(
        &self,
        workload: Workload,
        images: &[Pixels],
    ) -> Result<Vec<Result<Vec<f32>, Error>>, Error> {
        let bound = self.bound()?;
        let rows = images.len();
        let Some([channels, height, width]) = images.first().map(|image| image.shape) else {
            return Ok(Vec::new());
        };
        let values = match images {
            [one] => Cow::Borrowed(&one.values[..]),
            many => {
                let parts: Vec<&[f32]> = many.iter().map(|image| &image.values[..]).collect();
                Cow::Owned(parts.concat())
            }
        };
        let shape = [rows, channels, height, width];
        let input = Input { name: &bound.input, shape: &shape, values: Values::F32(&values) };
        let entered = tracing::debug_span!("run", rows, height, width).entered();
        self.session.run(workload, &[input], &[bound.output], |views| {
            drop(entered);
            let _finish = tracing::debug_span!("finish", rows).entered();
            self.finish(&views[0], rows)
        })?
    }

    /// One vector per image from an output whose first axis is that of the images.
    fn finish(&self, view: &View<'_>, rows: usize) -> Result<Vec<Result<Vec<f32>, Error>>, Error> {
        let Some((&batch, rest)) = view.shape.split_first() else {
            return Err(self.shape_error(view, "one row per image"));
        };
        if batch != rows || view.values.len() != rows * rest.iter().product::<usize>() {
            return Err(self.shape_error(view, &format!("{rows} rows")));
        }
        let size = view.values.len() / rows.max(1);
        let kept = match self.task.pooling {
            ImagePooling::Flatten => size,
            ImagePooling::Cls => self.first_token(rest, size).ok_or_else(|| {
                let dim = self.task.dim;
                self.shape_error(view, &format!("[images, patches, {dim}]"))
            })?,
        };
        if kept == 0 {
            return Err(self.shape_error(view, "at least one number per image"));
        }
        let one = |image: &[f32]| {
            let mut vector: Vec<f64> = image[..kept].iter().copied().map(f64::from).collect();
            if self.task.normalize {
                l2_normalize(&mut vector);
            }
            Ok(round_to(&vector, view.half))
        };
        Ok(view.values.chunks_exact(size).map(one).collect())
    }

    /// The width of the first patch's vector. The registered width decides, as in the original; where
    /// the image's numbers are no multiple of it, the graph's own last axis does.
    fn first_token(&self, shape: &[usize], size: usize) -> Option<usize> {
        let registered = self.task.dim;
        if registered > 0 && size.is_multiple_of(registered) {
            return Some(registered);
        }
        match shape {
            &[_, width] => Some(width),
            _ => None,
        }
    }

    fn bound(&self) -> Result<&Bound, Error> {
        if let Some(bound) = self.bound.get() {
            return Ok(bound);
        }
        let session = &self.session;
        let mut declared = session.inputs()?.map(str::to_owned);
        let path = || session.path().to_owned();
        let Some(input) = declared.next() else {
            let expected = "for pixels".to_owned();
            return Err(CoreError::MissingInput { path: path(), expected, found: vec![] }.into());
        };
        if let Some(second) = declared.next() {
            let known = vec![input];
            return Err(CoreError::UnknownInput { path: path(), input: second, known }.into());
        }
        // On the CPU two or four images in a run are no faster than one, sixteen are slower (measured
        // on EfficientNet), and the tensor of one needs no copy.
        let on_cpu = session.device()? == "cpu";
        let depends = session.depends_on_batch()? && !self.allow_batch_dependence;
        let exported_for_one = session.input_shape(0)?.first() == Some(&Some(1));
        let alone =
            depends || exported_for_one || !self.same_size || on_cpu && self.batch.rows.is_none();
        let bound = Bound {
            input,
            output: session.output(&self.task.output)?,
            grouping: if alone { Grouping::Alone } else { Grouping::Any },
        };
        Ok(self.bound.get_or_init(|| bound))
    }

    fn shape_error(&self, view: &View<'_>, expected: &str) -> Error {
        let output = self.bound.get().map_or(0, |bound| bound.output);
        let error = CoreError::OutputShape {
            path: self.session.path().to_owned(),
            output: self.session.output_name(output).unwrap_or_default().to_owned(),
            found: view.shape.to_vec(),
            expected: expected.to_owned(),
        };
        error.into()
    }
}
