//! Models of images, with texts beside them or without.

use embedkit_core::pipeline::{Class, Depth, QueueOptions};
use embedkit_image::ImageInput;
use embedkit_types::{Role, Token};

#[cfg(feature = "image")]
use super::no_tokenizer;
#[cfg(feature = "multimodal")]
use super::texts::{text, texts};
use super::{Backend, Inputs, Outputs, SubmitResult, output, outputs};
use crate::{Error, model::input::Input};

/// Images, where all inputs are.
fn images(inputs: Inputs<'_>) -> impl Iterator<Item = ImageInput> {
    inputs.filter_map(|input| if let Input::Image(image) = input { Some(image) } else { None })
}

#[cfg(feature = "multimodal")]
impl Backend for embedkit_late_interaction::LateInteractionMultimodalEmbedding {
    fn embed<'a>(&self, _: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        let mut inputs = inputs.peekable();
        match inputs.peek() {
            Some(Input::Image(_)) => outputs(self.embed_image_detailed(images(Box::new(inputs)))),
            _ => outputs(self.embed_text_detailed(texts(Box::new(inputs)))),
        }
    }

    fn submit(&self, _: Role, inputs: Vec<Input>, queue: QueueOptions) -> SubmitResult {
        let are_images = matches!(inputs.first(), Some(Input::Image(_)));
        let inputs = Box::new(inputs.into_iter());
        let pending = if are_images {
            self.submit_image(images(inputs), queue)
        } else {
            self.submit_text(texts(inputs), queue)
        };
        Ok(pending?.map_ok(output))
    }

    fn depth(&self, class: Class) -> Depth {
        self.depth(class)
    }

    fn token_count(&self, _: Role, input: &Input) -> Result<usize, Error> {
        self.token_count([text(input)?], false)
    }

    fn extended_token_count(&self, _: Role, input: &Input) -> Result<usize, Error> {
        self.token_count([text(input)?], true)
    }

    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        self.tokenize(text, special)
    }

    fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        self.decode(ids, skip_special)
    }

    fn max_tokens(&self) -> Option<usize> {
        Some(self.max_tokens())
    }

    fn dim(&self) -> Option<usize> {
        Some(self.embedding_size())
    }

    fn device(&self) -> Result<&str, Error> {
        self.device()
    }
}

#[cfg(feature = "image")]
impl Backend for embedkit_image::ImageEmbedding {
    fn embed<'a>(&self, _: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        outputs(self.embed_detailed(images(inputs)))
    }

    fn submit(&self, _: Role, inputs: Vec<Input>, queue: QueueOptions) -> SubmitResult {
        Ok(self.submit(images(Box::new(inputs.into_iter())), queue)?.map_ok(output))
    }

    fn depth(&self, class: Class) -> Depth {
        self.depth(class)
    }

    fn token_count(&self, _: Role, input: &Input) -> Result<usize, Error> {
        Err(super::no_tokens(input))
    }

    fn tokenize(&self, _: &str, _: bool) -> Result<Vec<Token>, Error> {
        Err(no_tokenizer())
    }

    fn decode(&self, _: &[u32], _: bool) -> Result<String, Error> {
        Err(no_tokenizer())
    }

    fn max_tokens(&self) -> Option<usize> {
        None
    }

    fn dim(&self) -> Option<usize> {
        Some(self.embedding_size())
    }

    fn device(&self) -> Result<&str, Error> {
        self.device()
    }
}
