//! Many vectors made fewer, or one, before they are written.

use embedkit::{
    Embedded, MultiVector, Output, OutputKind, Role, pool_tokens,
    postprocess::{Form, Muvera, MuveraOptions},
};

use crate::{
    args::EmbedArgs,
    model::Selected,
    report::{CliError, usage},
    stream::Results,
};

/// The steps that were asked for; none for a model that does not give many vectors.
pub(crate) struct Postprocess {
    pool: Option<f64>,
    muvera: Option<Muvera>,
    form: Form,
}

impl Postprocess {
    /// The kind of output that is left.
    ///
    /// # Errors
    /// Usage errors: a step that makes no sense for the model or the role.
    pub(crate) fn check(
        args: &EmbedArgs,
        id: &str,
        given: OutputKind,
    ) -> Result<OutputKind, CliError> {
        let options = [
            ("--pool-tokens", args.pool_tokens.is_some()),
            ("--postprocess", args.postprocess.is_some()),
        ];
        let asked = options.iter().find(|(_, asked)| *asked);
        if let (Some((option, _)), true) = (asked, given != OutputKind::MultiVector) {
            let what = format!("{option} is for models that give many vectors");
            return Err(usage(format!("{what}, {id} gives {given}"))
                .hint("such models: embedkit models list --task late-text"));
        }
        if args.pool_tokens.is_some() && Role::from(args.role) == Role::Query {
            return Err(usage("--pool-tokens is for documents")
                .hint("queries keep all of their vectors; leave it out"));
        }
        Ok(if args.postprocess.is_some() { OutputKind::Dense } else { given })
    }

    /// The steps for vectors of this dimension.
    ///
    /// # Errors
    /// Usage errors: parameters that do not go with the dimension.
    pub(crate) fn new(args: &EmbedArgs, dim: Option<usize>) -> Result<Self, CliError> {
        let form = match Role::from(args.role) {
            Role::Query => Form::QUERY,
            Role::Raw | Role::Document => Form::DOCUMENT,
        };
        let muvera = match (&args.postprocess, dim) {
            (Some(options), Some(dim)) => Some(muvera(dim, options)?),
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
                Output::MultiVector(vectors) => self.process(vectors)?,
                other => other,
            };
            Ok(Embedded { value, tokens, truncated })
        }))
    }

    fn process(&self, mut vectors: MultiVector) -> Result<Output, embedkit::Error> {
        if let Some(factor) = self.pool {
            vectors = pool_tokens(&vectors, factor)?;
        }
        let Some(muvera) = &self.muvera else { return Ok(Output::MultiVector(vectors)) };
        let encoding = muvera.process(&vectors, self.form)?;
        #[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
        Ok(Output::Dense(encoding.into_iter().map(|x| x as f32).collect()))
    }
}

/// Dimension of the vectors that a run without inputs would have, where each input has one vector;
/// nothing is opened for it.
///
/// # Errors
/// Usage errors: parameters that do not go with the model's dimension.
pub(crate) fn dim(args: &EmbedArgs, selected: &Selected) -> Result<Option<usize>, CliError> {
    let Some(dim) = selected.dim() else { return Ok(None) };
    let dim = match args.dimensions {
        Some(dimensions) if dimensions > dim => {
            let what = format!("--dimensions is {dimensions}, and {} gives {dim}", selected.id());
            return Err(usage(what));
        }
        dimensions => dimensions.unwrap_or(dim),
    };
    Ok(Some(match &args.postprocess {
        Some(options) => muvera(dim, options)?.embedding_size(),
        None => dim,
    }))
}

fn muvera(dim: usize, options: &MuveraOptions) -> Result<Muvera, CliError> {
    Muvera::new(dim, options.clone()).map_err(|error| {
        let refused = usage(error.to_string());
        match error.hint() {
            Some(hint) => refused.hint(hint.to_string()),
            None => refused,
        }
    })
}
