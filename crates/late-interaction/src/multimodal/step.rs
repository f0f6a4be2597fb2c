//! Streams of texts and of images through the graph.

use std::{borrow::Cow, sync::Arc, thread::available_parallelism};

use embedkit_core::{
    onnx::{Input, Row, Values},
    pipeline::{Capacity, Grouping, Pool, RunResult, Step, Workload, text_estimate},
    tokenizer::Tokens,
};
use embedkit_image::ImageInput;
use embedkit_types::{BatchOptions, Embedded, Error, MultiVector};

use super::{Model, processor::Page};

/// The graph's input for images.
pub(super) const PIXEL_VALUES: &str = "pixel_values";
/// Tokens of a page, before it is read: about those of ColPali.
const PAGE_TOKENS: usize = 1024;

/// Texts through the graph.
#[derive(Debug)]
pub(super) struct TextStep {
    pub(super) model: Arc<Model>,
}

impl Step for TextStep {
    type Input = String;
    type Prepared = Tokens;
    type Output = Embedded<MultiVector>;

    fn prepare(&self, text: String) -> Result<Tokens, Error> {
        let tokens = self.model.processor.text(&text)?;
        let tokenizer = self.model.processor.tokenizer();
        self.model.texts.check(&tokens, |id| tokenizer.token(id))?;
        Ok(tokens)
    }

    fn estimate(&self, text: &String) -> usize {
        text_estimate(text.len())
    }

    fn length(&self, tokens: &Tokens) -> usize {
        self.model.texts.padded(tokens)
    }

    fn pool(&self, _: &Tokens) -> Result<Pool, Error> {
        Ok(Pool::new(self.model.texts.grouping()?))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(self.model.texts.session().capacity()?)
    }

    fn run(&self, workload: Workload, rows: &[Tokens]) -> RunResult<Self> {
        let shape = self.model.processor.black(rows.len());
        let pixels = vec![0.0; shape.iter().product()];
        let pixels = Input { name: PIXEL_VALUES, shape: &shape, values: Values::F32(&pixels) };
        let finish = |row: Row<'_>| self.model.vectors(&row);
        let vectors = self.model.texts.run(workload, rows, &[pixels], finish)?;
        Ok(vectors.into_iter().zip(rows).map(|(value, row)| Ok(row.embedded(value?))).collect())
    }
}

/// Images through the graph.
#[derive(Debug)]
pub(super) struct ImageStep {
    pub(super) model: Arc<Model>,
}

impl ImageStep {
    /// How far images are read ahead: a page has up to 2.4 MB (ColPali) or 53 MB (ColModernVBERT)
    /// of pixels, and two windows are in memory.
    pub(super) fn batch(&self, batch: BatchOptions) -> BatchOptions {
        let ahead = if self.model.processor.makes_tiles() { 4 } else { 16 };
        let cores = available_parallelism().map_or(1, usize::from);
        let window = batch.window.min(ahead.max(cores));
        let queue = batch.queue.unwrap_or(2 * window * PAGE_TOKENS);
        BatchOptions { window, queue: Some(queue), ..batch }
    }
}

impl Step for ImageStep {
    type Input = ImageInput;
    type Prepared = Page;
    type Output = Embedded<MultiVector>;

    const CHUNK: usize = 1;

    fn prepare(&self, image: ImageInput) -> Result<Page, Error> {
        let page = self.model.processor.image(&image)?;
        let tokenizer = self.model.processor.tokenizer();
        self.model.images.check(&page.tokens, |id| tokenizer.token(id))?;
        Ok(page)
    }

    fn estimate(&self, _: &ImageInput) -> usize {
        PAGE_TOKENS
    }

    fn length(&self, page: &Page) -> usize {
        self.model.images.padded(&page.tokens)
    }

    /// Pages of one length have one number of tiles: none is padded, in tokens or in tiles.
    fn pool(&self, _: &Page) -> Result<Pool, Error> {
        Ok(Pool::new(match self.model.images.grouping()? {
            Grouping::Alone => Grouping::Alone,
            Grouping::SameLength | Grouping::Any => Grouping::SameLength,
        }))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(self.model.images.session().capacity()?)
    }

    fn run(&self, workload: Workload, pages: &[Page]) -> RunResult<Self> {
        let mut results = Vec::with_capacity(pages.len());
        for pages in pages.chunk_by(|a, b| a.shape == b.shape) {
            results.extend(self.run_same_shape(workload, pages)?);
        }
        Ok(results)
    }
}

impl ImageStep {
    fn run_same_shape(&self, workload: Workload, pages: &[Page]) -> RunResult<Self> {
        let Some(first) = pages.first() else { return Ok(Vec::new()) };
        let mut shape = vec![pages.len()];
        shape.extend(&first.shape);
        let pixels = match pages {
            [one] => Cow::Borrowed(&one.pixels[..]),
            many => {
                let parts: Vec<&[f32]> = many.iter().map(|page| &page.pixels[..]).collect();
                Cow::Owned(parts.concat())
            }
        };
        let pixels = Input { name: PIXEL_VALUES, shape: &shape, values: Values::F32(&pixels) };
        let finish = |row: Row<'_>| self.model.image_vectors(&row);
        let vectors = self.model.images.run(workload, pages, &[pixels], finish)?;
        let results = vectors.into_iter().zip(pages);
        Ok(results.map(|(value, page)| Ok(page.tokens.embedded(value?))).collect())
    }
}
