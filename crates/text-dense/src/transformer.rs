//! Encoders on ONNX Runtime: tokens through a graph, pooled by the model's rule.

use std::borrow::Borrow;

use embedkit_core::{
    Layers,
    onnx::{Input, TextGraph, TextGraphOptions, Values, finish_dense},
    pipeline::Workload,
    tokenizer::{Tokenizer, TokenizerOptions, Tokens},
};
use embedkit_types::{
    Error, LoadOptions, ModelFiles, ModelPrompts, ModelSpec, Role, SpecError, TextDense,
};

use crate::DenseOptions;

#[derive(Debug)]
pub(crate) struct Transformer {
    tokenizer: Tokenizer,
    graph: TextGraph,
    task: TextDense,
    layers: Layers,
    /// The id for raw text of a model with tasks.
    raw_task: usize,
}

impl Transformer {
    pub(crate) fn open(
        spec: &ModelSpec,
        task: &TextDense,
        files: &ModelFiles,
        load: &LoadOptions,
        options: &DenseOptions,
    ) -> Result<Self, Error> {
        let raw_task = match &options.task {
            Some(name) => find_task(&spec.id, task, name)?,
            None => task.tasks.as_ref().map_or(0, |tasks| tasks.default),
        };
        let span = tracing::info_span!("load", path = %files.root.display());
        let tokenizer =
            span.in_scope(|| Tokenizer::load_with(files, TokenizerOptions::of(spec, load)))?;
        let padding = if task.pad_to_limit {
            tokenizer.padding_to_limit(files)?
        } else {
            tokenizer.padding()
        };
        let extra_inputs = task.tasks.iter().map(|tasks| tasks.input.clone()).collect();
        let graph = TextGraphOptions {
            output: task.output.clone(),
            more_outputs: Vec::new(),
            padding,
            extra_inputs,
        };
        let layers = Layers::open(files, &task.layers)?;
        let graph = TextGraph::open(files, load, graph)?;
        Ok(Self { tokenizer, graph, task: task.clone(), layers, raw_task })
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub(crate) fn graph(&self) -> &TextGraph {
        &self.graph
    }

    /// Dimension of the vectors, where the graph fixes it.
    pub(crate) fn dim(&self) -> Result<Option<usize>, Error> {
        Ok(self.graph.dim()?.map(|width| self.task.dim_of(width)))
    }

    /// The tokens of a text behind the prompt of its role.
    pub(crate) fn encode(
        &self,
        prompts: &ModelPrompts,
        role: Role,
        text: String,
    ) -> Result<Tokens, Error> {
        let mut tokens = self.tokenizer.encode(&prompts.apply(role, text))?;
        if let Some(prompt) = prompts.of(role).filter(|_| !self.task.pool_prompt) {
            tokens.unpooled = self.prompt_tokens(prompt)?;
        }
        Ok(tokens)
    }

    /// Number of tokens of a prompt by itself, less the special token at its end, as sentence-transformers
    /// counts them.
    fn prompt_tokens(&self, prompt: &str) -> Result<usize, Error> {
        let ids = self.tokenizer.encode(prompt)?.ids;
        let special = ids.last().is_some_and(|last| self.tokenizer.special_ids().contains(last));
        Ok(ids.len() - usize::from(special))
    }

    pub(crate) fn check(&self, tokens: &Tokens) -> Result<(), Error> {
        Ok(self.graph.check(tokens, |id| self.tokenizer.token(id))?)
    }

    /// The task of a role, where the model has tasks; else 0.
    pub(crate) fn task_id(&self, role: Role) -> u32 {
        number(self.task.tasks.as_ref().map_or(0, |tasks| match role {
            Role::Raw => self.raw_task,
            Role::Document => tasks.passage,
            Role::Query => tasks.query,
        }))
    }

    /// The task of a name; `id` is that of the model.
    pub(crate) fn find_task(&self, id: &str, name: &str) -> Result<u32, Error> {
        find_task(id, &self.task, name).map(number)
    }

    /// Vectors of texts of one task.
    pub(crate) fn run<R: Borrow<Tokens>>(
        &self,
        workload: Workload,
        task: u32,
        texts: &[R],
    ) -> Result<Vec<Result<Vec<f32>, Error>>, Error> {
        let id = [i64::from(task)];
        let extra = self.task.tasks.iter().map(|tasks| Input {
            name: &tasks.input,
            shape: &[],
            values: Values::I64(&id),
        });
        let extra: Vec<_> = extra.collect();
        let finish =
            |row: embedkit_core::onnx::Row<'_>| Ok(finish_dense(&row, &self.task, &self.layers)?);
        Ok(self.graph.run(workload, texts, &extra, finish)?)
    }
}

/// The position of a task among those of a model.
fn find_task(id: &str, model: &TextDense, name: &str) -> Result<usize, Error> {
    let names = model.tasks.as_ref().map_or(&[][..], |tasks| &tasks.names[..]);
    names.iter().position(|known| known == name).ok_or_else(|| {
        let known = names.iter().map(ToString::to_string).collect();
        SpecError::UnknownTask { id: id.to_owned(), task: name.to_owned(), known }.into()
    })
}

fn number(task: usize) -> u32 {
    u32::try_from(task).unwrap_or(u32::MAX) // a position in a short list
}
