//! What is made of many vectors before they are written: fewer, or one.

use anyhow::{Error, Result};
use embedkit::{
    Embedded, MultiVector, Role, pool_tokens,
    postprocess::{Form, Muvera, MuveraOptions},
};

use crate::{
    args::EmbedArgs,
    encoder::Results,
    model::Selected,
    report::{Complaint, usage},
    value::{Shape, Value},
};

/// The steps that were asked for; none for a model that does not give many vectors.
pub(crate) struct Postprocess {
    pool: Option<f64>,
    muvera: Option<Muvera>,
    form: Form,
}

impl Postprocess {
    /// What is left of the model's shape.
    ///
    /// # Errors
    /// Usage errors: a step that makes no sense for the model or the role.
    pub(crate) fn check(args: &EmbedArgs, id: &str, shape: Shape) -> Result<Shape, Complaint> {
        let given = [
            ("--pool-tokens", args.pool_tokens.is_some()),
            ("--postprocess", args.postprocess.is_some()),
        ];
        let given = given.iter().find(|(_, given)| *given);
        if let (Some((option, _)), true) = (given, shape != Shape::Vectors) {
            let what = format!("{option} is for models that give many vectors");
            return Err(usage(format!("{what}, {id} gives {}", shape.name()))
                .hint("such models: embedkit models list --task late-text"));
        }
        if args.pool_tokens.is_some() && Role::from(args.role) == Role::Query {
            return Err(usage("--pool-tokens is for documents")
                .hint("queries keep all of their vectors; leave it out"));
        }
        Ok(if args.postprocess.is_some() { Shape::Vector } else { shape })
    }

    /// The steps for vectors of this width.
    ///
    /// # Errors
    /// Usage errors: parameters that do not go with the width.
    pub(crate) fn new(args: &EmbedArgs, width: Option<usize>) -> Result<Self, Complaint> {
        let form = match Role::from(args.role) {
            Role::Query => Form::QUERY,
            Role::Raw | Role::Document => Form::DOCUMENT,
        };
        let muvera = match (&args.postprocess, width) {
            (Some(options), Some(width)) => Some(muvera(width, options)?),
            _ => None,
        };
        Ok(Self { pool: args.pool_tokens, muvera, form })
    }

    /// The results with the steps done.
    pub(crate) fn apply<'a>(&'a self, results: Results<'a>) -> Results<'a> {
        if self.pool.is_none() && self.muvera.is_none() {
            return results;
        }
        Box::new(results.map(|result| {
            let Embedded { value, tokens, truncated } = result?;
            let value = match value {
                Value::Vectors(vectors) => self.process(vectors)?,
                other => other,
            };
            Ok(Embedded { value, tokens, truncated })
        }))
    }

    fn process(&self, mut vectors: MultiVector) -> Result<Value> {
        let failed = |error: embedkit::Error| Error::new(error);
        if let Some(factor) = self.pool {
            vectors = pool_tokens(&vectors, factor).map_err(|error| failed(error.into()))?;
        }
        let Some(muvera) = &self.muvera else { return Ok(Value::Vectors(vectors)) };
        let encoding = muvera.process(&vectors, self.form).map_err(|error| failed(error.into()))?;
        #[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
        Ok(Value::Vector(encoding.into_iter().map(|x| x as f32).collect()))
    }
}

/// How many components the vectors of a run without inputs would have, where each input has one
/// vector; nothing is opened for it.
///
/// # Errors
/// Usage errors: parameters that do not go with the model's width.
pub(crate) fn width(args: &EmbedArgs, selected: &Selected) -> Result<Option<usize>, Complaint> {
    let Some(dim) = selected.dim() else { return Ok(None) };
    let width = match args.dimensions {
        Some(dimensions) if dimensions > dim => {
            let what = format!("--dimensions is {dimensions}, and {} gives {dim}", selected.id());
            return Err(usage(what));
        }
        dimensions => dimensions.unwrap_or(dim),
    };
    Ok(Some(match &args.postprocess {
        Some(options) => muvera(width, options)?.embedding_size(),
        None => width,
    }))
}

fn muvera(width: usize, options: &MuveraOptions) -> Result<Muvera, Complaint> {
    Muvera::new(width, options.clone()).map_err(|error| {
        let complaint = usage(error.to_string());
        match error.hint() {
            Some(hint) => complaint.hint(hint),
            None => complaint,
        }
    })
}
