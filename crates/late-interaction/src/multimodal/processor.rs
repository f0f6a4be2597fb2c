//! From texts and images to what the graph takes: tokens and pixels.

use std::{borrow::Borrow, fmt};

use embedkit_core::tokenizer::{Side, Tokenizer, TokenizerOptions, Tokens};
use embedkit_image::{DecodeOptions, ImageInput, ImageOptions, PreprocessError, Preprocessor};
use embedkit_types::{
    ColModernVbertConfig, ColPaliConfig, Error, LateMultimodal, LateMultimodalKind, ModelFiles,
    ModelSpec, SpecError,
};

use super::config::{SIDES, TileConfig};
use crate::LateInteractionError;

/// What a model does with texts and images before its graph runs.
pub(super) struct Processor {
    id: String,
    tokenizer: Tokenizer,
    decode: DecodeOptions,
    preprocessor: Preprocessor,
    text_prefix: String,
    /// Augmentation and suffix.
    text_end: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    ColPali(ColPaliConfig),
    ColModernVbert(Tiled),
}

/// ColModernVBERT's facts, and what its files add to them.
#[derive(Debug)]
struct Tiled {
    facts: ColModernVbertConfig,
    config: TileConfig,
    image_token_id: u32,
}

/// An image made ready: its prompt and its pixels.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) tokens: Tokens,
    /// Row-major, of shape `shape`.
    pub(super) pixels: Vec<f32>,
    /// `[3, height, width]`, or `[tiles, 3, height, width]`.
    pub(super) shape: Vec<usize>,
}

impl Borrow<Tokens> for Page {
    fn borrow(&self) -> &Tokens {
        &self.tokens
    }
}

impl Processor {
    pub(super) fn load(
        spec: &ModelSpec,
        task: &LateMultimodal,
        files: &ModelFiles,
        tokenizer_options: TokenizerOptions,
        images: &ImageOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.to_string();
        let tokenizer = Tokenizer::load_with(files, tokenizer_options)?;
        let path = files.path("preprocessor_config.json");
        let preprocessor = Preprocessor::from_file(&path)?.with_options(images.preprocess);
        let (kind, tiles) = match &task.kind {
            LateMultimodalKind::ColPali(facts) => {
                if !SIDES.contains(&facts.image_side) {
                    let (found, limit) = (facts.image_side, *SIDES.end());
                    return Err(LateInteractionError::ImageSide { id, found, limit }.into());
                }
                (Kind::ColPali(facts.clone()), false)
            }
            LateMultimodalKind::ColModernVbert(facts) => {
                let config = TileConfig::load(files)?;
                let image_token_id = tokenizer.token_id(&facts.image_token).ok_or_else(|| {
                    let (id, token) = (id.clone(), facts.image_token.to_string());
                    LateInteractionError::NoImageToken { id, token }
                })?;
                (Kind::ColModernVbert(Tiled { facts: facts.clone(), config, image_token_id }), true)
            }
            // No other kind exists yet.
            other => return Err(SpecError::UnknownKind { id, kind: other.name() }.into()),
        };
        if preprocessor.makes_tiles() != tiles {
            let source = PreprocessError::WrongKind { makes_tiles: !tiles }.into();
            return Err(PreprocessError::ConfigFile { path, source }.into());
        }
        let augmentation = &task.text_augmentation;
        let text_end = augmentation.token.repeat(augmentation.times) + &task.text_suffix;
        let text_prefix = task.text_prefix.to_string();
        let decode = images.decode;
        Ok(Self { id, tokenizer, decode, preprocessor, text_prefix, text_end, kind })
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether an image becomes several tiles.
    pub(super) fn makes_tiles(&self) -> bool {
        matches!(self.kind, Kind::ColModernVbert(_))
    }

    /// A text as the model sees it, with what is put before and behind it.
    pub(super) fn text(&self, text: &str) -> Result<Tokens, Error> {
        let mut tokens =
            self.tokenizer.encode(&format!("{}{text}{}", self.text_prefix, self.text_end))?;
        if let Kind::ColPali(facts) = &self.kind {
            // The first tokens are always the same, and the model was trained with others.
            let start = &facts.text_start_ids;
            let replaced = start.len().min(tokens.ids.len());
            tokens.ids.splice(..replaced, start.iter().copied());
        }
        Ok(tokens)
    }

    /// The shape of the black pixels that go with a batch of texts.
    pub(super) fn black(&self, texts: usize) -> Vec<usize> {
        match &self.kind {
            Kind::ColPali(facts) => vec![texts, 3, facts.image_side, facts.image_side],
            // One for all: the graph drops black tiles, but a tensor may not be empty.
            Kind::ColModernVbert(Tiled { config, .. }) => {
                vec![1, 1, 3, config.text_side, config.text_side]
            }
        }
    }

    /// Decodes and preprocesses an image, and makes its prompt.
    pub(super) fn image(&self, image: &ImageInput) -> Result<Page, Error> {
        match &self.kind {
            Kind::ColPali(facts) => {
                let pixels = self.preprocessor.read(image, &self.decode)?;
                let mut ids = vec![facts.image_token_id; facts.image_tokens];
                ids.extend(&*facts.image_prompt_ids);
                let tokens = Tokens { ids, ..Tokens::default() };
                Ok(Page { tokens, pixels: pixels.values, shape: pixels.shape.to_vec() })
            }
            Kind::ColModernVbert(tiled) => {
                let image = self.preprocessor.decode(image, &self.decode)?;
                let tiles = self.preprocessor.tiles(&image)?;
                let tokens = self.prompt(tiled, tiles.rows, tiles.cols)?;
                let shape = vec![tiles.count(), 3, tiles.side, tiles.side];
                Ok(Page { tokens, pixels: tiles.values, shape })
            }
        }
    }

    /// The tokens of an image cut into `rows` times `cols` tiles and one more of the whole; 0 and 0
    /// for an image that is not cut.
    fn prompt(&self, tiled: &Tiled, rows: usize, cols: usize) -> Result<Tokens, Error> {
        let tiles = rows.saturating_mul(cols).saturating_add(1);
        let expected = tiles.saturating_mul(tiled.config.tokens);
        let limit = self.tokenizer.limit();
        let too_long = || {
            let id = self.id.clone();
            Err(LateInteractionError::ImagePromptTooLong { id, tiles, limit }.into())
        };
        // Before a text of that length is made.
        if expected > limit {
            return too_long();
        }
        let mut tokens = self.tokenizer.encode(&tiled.prompt(rows, cols))?;
        if tokens.truncated {
            return too_long();
        }
        let found = tokens.ids.iter().filter(|&&id| id == tiled.image_token_id).count();
        if found != expected {
            let id = self.id.clone();
            return Err(LateInteractionError::ImageTokens { id, expected, found }.into());
        }
        // The original takes what fills the length up to a multiple for part of the prompt.
        let padding = self.tokenizer.padding();
        let missing = padding.padded(tokens.ids.len()) - tokens.ids.len();
        let place = match padding.side {
            Side::Left => 0,
            Side::Right => tokens.ids.len(),
        };
        tokens.ids.splice(place..place, std::iter::repeat_n(padding.id, missing));
        Ok(tokens)
    }
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Tiled {
    /// The prompt in which each tile has its place, as Idefics3 has it.
    fn prompt(&self, rows: usize, cols: usize) -> String {
        let ColModernVbertConfig { image_prefix, image_suffix, frame_token, global_token, .. } =
            &self.facts;
        let patches = self.facts.image_token.repeat(self.config.tokens);
        let mut prompt = image_prefix.to_string();
        for row in 1..=rows {
            for col in 1..=cols {
                prompt += &format!("{frame_token}<row_{row}_col_{col}>{patches}");
            }
            prompt.push('\n');
        }
        if rows > 0 {
            prompt.push('\n');
        }
        prompt += &format!("{frame_token}{global_token}{patches}{frame_token}{image_suffix}");
        prompt
    }
}
