//! Functions that run a model: `embed`, `embed_try`, `sparse`, `colbert` and `rerank`.

use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{ArrayRef, UInt32Array},
        compute::take,
        datatypes::{DataType, Field, FieldRef},
    },
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
        TypeSignature, Volatility, async_udf::AsyncScalarUDFImpl,
    },
};
use embedkit::{Embedded, ErrorKind, Input, InputKind, Output, OutputKind, Role};

use super::{args, column, text::Texts, types};
use crate::{
    error::{self, RowError},
    models::{Entry, Models},
};

/// Rows of a batch from which on it is no accident that none of them can be embedded.
const SUSPICIOUS: usize = 16;

/// One of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// `embed(model, text [, role])`.
    Embed,
    /// `embed_try(model, text [, role])`.
    EmbedTry,
    /// `sparse(model, text [, role])`.
    Sparse,
    /// `colbert(model, text [, role])`.
    Colbert,
    /// `rerank(model, query, text)`.
    Rerank,
}

impl Family {
    pub(crate) const ALL: [Self; 5] =
        [Self::Embed, Self::EmbedTry, Self::Sparse, Self::Colbert, Self::Rerank];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::EmbedTry => "embed_try",
            Self::Sparse => "sparse",
            Self::Colbert => "colbert",
            Self::Rerank => "rerank",
        }
    }

    fn input(self) -> InputKind {
        if self == Self::Rerank { InputKind::Pair } else { InputKind::Text }
    }

    /// Outputs of the models that suit; the first that a model gives decides on the type.
    fn outputs(self) -> &'static [OutputKind] {
        match self {
            Self::Embed => &[OutputKind::Dense],
            Self::EmbedTry => &[OutputKind::Dense, OutputKind::Sparse, OutputKind::MultiVector],
            Self::Sparse => &[OutputKind::Sparse],
            Self::Colbert => &[OutputKind::MultiVector],
            Self::Rerank => &[OutputKind::Score],
        }
    }

    /// Number of arguments, from and to.
    fn arguments(self) -> (usize, usize) {
        if self == Self::Rerank { (3, 3) } else { (2, 3) }
    }

    /// Type of the results of a model.
    ///
    /// # Errors
    /// A model of another family.
    fn results(self, entry: &Entry) -> Result<DataType> {
        let result = match self.output(entry)? {
            OutputKind::Sparse => DataType::Struct(types::sparse_fields()),
            OutputKind::MultiVector => types::multi(entry.dim()?)?,
            OutputKind::Score => DataType::Float32,
            _ => types::dense(entry.dim()?)?,
        };
        Ok(if self == Self::EmbedTry {
            DataType::Struct(types::tried_fields(result))
        } else {
            result
        })
    }

    fn output(self, entry: &Entry) -> Result<OutputKind> {
        let capabilities = entry.capabilities();
        let given = self.outputs().iter().find(|&&output| capabilities.gives(output));
        if let (Some(output), true) = (given, capabilities.takes(self.input())) {
            return Ok(*output);
        }
        fn list(words: impl Iterator<Item = impl ToString>, and: &str) -> String {
            words.map(|word| word.to_string()).collect::<Vec<_>>().join(and)
        }
        Err(DataFusionError::Plan(format!(
            "{} needs a model that takes {} and gives {}; {} takes {} and gives {}",
            self.name(),
            self.input(),
            list(self.outputs().iter(), " or "),
            entry.name(),
            list(capabilities.inputs.iter(), " and "),
            list(capabilities.outputs.iter(), " and "),
        )))
    }
}

/// A function that runs a model.
#[derive(Debug)]
pub(crate) struct ModelFunction {
    family: Family,
    models: Models,
    signature: Signature,
}

impl ModelFunction {
    pub(crate) fn new(family: Family, models: Models) -> Self {
        let (least, most) = family.arguments();
        // The wrapper of asynchronous functions passes no coercion of one's own on, and that to a common type
        // would hide the name of the model in a cast.
        let texts = (least..=most).map(TypeSignature::Any).collect();
        // Anything else would be evaluated by the planner, on another machine than the data.
        let signature = Signature::one_of(texts, Volatility::Volatile);
        Self { family, models, signature }
    }
}

/// Functions travel by name, and a process has one set of models.
impl PartialEq for ModelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.family == other.family
    }
}

impl Eq for ModelFunction {}

impl Hash for ModelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.family.hash(state);
    }
}

impl ScalarUDFImpl for ModelFunction {
    fn name(&self) -> &str {
        self.family.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Plan(format!("the type of {} depends on the model", self.name())))
    }

    fn return_field_from_args(&self, given: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        for field in given.arg_fields {
            args::text(self.name(), field.data_type())?;
        }
        let model = args::constant(&given, 0, self.name(), "the model")?;
        if self.family != Family::Rerank && given.arg_fields.len() == 3 {
            args::role(Some(args::constant(&given, 2, self.name(), "the role")?), self.name())?;
        }
        let entry = self.models.entry(model)?;
        Ok(Arc::new(Field::new(self.name(), self.family.results(&entry)?, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let what =
            format!("{} runs a model, which a synchronous plan cannot wait for", self.name());
        Err(DataFusionError::Execution(what))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for ModelFunction {
    async fn invoke_async_with_args(&self, given: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let call = Call::new(self.family, &given)?;
        let (models, stop) = (self.models.clone(), StopOnDrop::default());
        let stopped = Arc::clone(&stop.0);
        let work = move || call.run(&models, &stopped);
        let array = tokio::task::spawn_blocking(work).await.map_err(|panic| {
            DataFusionError::Execution(format!("the model's thread ended: {panic}"))
        })??;
        Ok(ColumnarValue::Array(array))
    }
}

/// Tells the thread of a batch that nobody waits for it any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One batch of a function.
struct Call {
    family: Family,
    model: String,
    role: Role,
    /// The texts, after those of the queries where there are pairs.
    queries: Option<Texts>,
    texts: Texts,
    results: DataType,
}

impl Call {
    fn new(family: Family, given: &ScalarFunctionArgs) -> Result<Self> {
        let name = family.name();
        let model = args::constant_value(&given.args, 0, name, "the model")?.to_owned();
        let rows = given.number_rows;
        let (queries, texts, role) = if family == Family::Rerank {
            let queries = Texts::new(&given.args[1], rows)?;
            (Some(queries), Texts::new(&given.args[2], rows)?, Role::Raw)
        } else {
            let role = match given.args.len() {
                2 => None,
                _ => Some(args::constant_value(&given.args, 2, name, "the role")?),
            };
            (None, Texts::new(&given.args[1], rows)?, args::role(role, name)?)
        };
        Ok(Self {
            family,
            model,
            role,
            queries,
            texts,
            results: given.return_field.data_type().clone(),
        })
    }

    /// The results, one for each row.
    fn run(self, models: &Models, stopped: &AtomicBool) -> Result<ArrayRef> {
        let rows = self.texts.rows();
        let constant =
            self.texts.is_constant() && self.queries.as_ref().is_none_or(Texts::is_constant);
        if !constant || rows < 2 {
            return self.embedded(models, stopped);
        }
        // The same text for all rows, such as a query, is embedded once for each batch.
        let once =
            Self { texts: self.texts.once(), queries: self.queries.map(Texts::once), ..self };
        let array = once.embedded(models, stopped)?;
        Ok(take(&array, &UInt32Array::from(vec![0; rows]), None)?)
    }

    /// The input of a row, unless it is NULL.
    fn input(&self, row: usize) -> Option<Input> {
        let text = self.texts.get(row)?;
        match &self.queries {
            Some(queries) => Some(Input::pair(queries.get(row)?, text)),
            None => Some(text.into()),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        self.texts.get(row).is_none()
            || self.queries.as_ref().is_some_and(|queries| queries.get(row).is_none())
    }

    fn embedded(&self, models: &Models, stopped: &AtomicBool) -> Result<ArrayRef> {
        let entry = models.entry(&self.model)?;
        let model = entry.open()?;
        let rows = self.texts.rows();
        let given = (0..rows).filter(|&row| !self.is_null(row)).count();
        models.begin(&entry, given)?;
        // Inputs are copied one window at a time, and only there.
        let inputs = (0..rows)
            .filter_map(|row| self.input(row))
            .take_while(|_| !stopped.load(Ordering::Relaxed));
        let mut results = model.embed(self.role, inputs);
        let mut column = column::column(&self.results, rows).ok_or_else(|| {
            DataFusionError::Internal(format!("no model gives results of type {}", self.results))
        })?;
        let mut bad = BadRows::default();
        for row in 0..rows {
            if self.is_null(row) {
                column.push_null();
                continue;
            }
            match checked(results.next(), stopped)? {
                Ok(result) => column.push(result)?,
                Err(RowError::Fatal(error)) => return Err(error),
                Err(RowError::Bad { kind, reason }) => {
                    tracing::debug!(function = self.family.name(), row, reason, "bad row");
                    column.push_bad(&reason);
                    bad.add(kind, reason);
                }
            }
        }
        bad.check(given, entry.name())?;
        column.finish()
    }
}

/// The result of a row.
fn checked(
    result: Option<Result<Embedded<Output>, embedkit::Error>>,
    stopped: &AtomicBool,
) -> Result<Result<Embedded<Output>, RowError>> {
    let Some(result) = result else {
        if stopped.load(Ordering::Relaxed) {
            return Err(DataFusionError::Execution("the query was cancelled".to_owned()));
        }
        return Err(DataFusionError::Internal("the model gave no result for a row".to_owned()));
    };
    let finite = result.and_then(|embedded| {
        embedded.value.check_finite()?;
        Ok(embedded)
    });
    Ok(finite.map_err(RowError::from))
}

/// Bad rows of a batch.
#[derive(Default)]
struct BadRows {
    /// Rows on which the graph failed.
    failed_runs: usize,
    first: Option<String>,
}

impl BadRows {
    fn add(&mut self, kind: ErrorKind, reason: String) {
        if matches!(kind, ErrorKind::Runtime | ErrorKind::Internal) {
            self.failed_runs += 1;
            self.first.get_or_insert(reason);
        }
    }

    /// A graph that fails on every row is not the rows' fault.
    fn check(self, given: usize, model: &str) -> Result<()> {
        match self.first {
            Some(first) if self.failed_runs == given && given >= SUSPICIOUS => Err(error::passing(
                format!("{model} failed on all {given} texts of a batch: {first}"),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_fails_on_every_row_is_tried_again() {
        let bad = |rows: usize| {
            let mut bad = BadRows::default();
            (0..rows).for_each(|_| bad.add(ErrorKind::Runtime, "no".to_owned()));
            bad
        };
        let error = bad(SUSPICIOUS).check(SUSPICIOUS, "m").unwrap_err();
        assert!(matches!(error, DataFusionError::IoError(_)), "{error}");
        bad(SUSPICIOUS).check(SUSPICIOUS + 1, "m").unwrap();
        bad(2).check(2, "m").unwrap();
    }

    #[test]
    fn a_batch_that_nobody_waits_for_stops() {
        let stop = StopOnDrop::default();
        let stopped = Arc::clone(&stop.0);
        assert!(matches!(checked(None, &stopped), Err(DataFusionError::Internal(_))));
        drop(stop);
        let error = checked(None, &stopped).unwrap_err();
        assert!(error.to_string().contains("cancelled"), "{error}");
    }
}
