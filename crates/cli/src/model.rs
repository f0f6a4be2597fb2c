//! From `--model`, `--model-dir`, `--model-spec`, `--variant` and `--option` to an opened model.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Error, Result, ensure};
use embedkit::{
    Capabilities, DEFAULT_MODEL, DenseOptions, InputKind, Model, ModelBuilder, ModelSpec, Options,
    OutputKind, Outputs, Resolved, SpecError, Task, TaskKind,
    hub::{self, Event, Hub},
    registry, resolve, select_outputs,
    sparse::OptionError,
    types::{AdapterTasks, LoadOptions, ModelFile, ModelFiles, SparseKind},
};

use crate::{
    args::{ModelArgs, RoleArg, RunArgs},
    image_options,
    input::{AcceptedInputs, QueryKey},
    progress::{Busy, Bytes},
    report::{CliError, Report, causes, failure, usage},
};

/// Far more than any description has.
const LARGEST_SPEC: u64 = 1 << 20;

/// A model that is known, and whose options make sense, but that is not open.
pub(crate) struct Selected {
    asked: Asked,
    capabilities: Capabilities,
    dir: Option<PathBuf>,
    pub(crate) options: Options,
}

/// The model that is asked for.
struct Asked {
    /// At least one: an id may stand for an encoder of texts and one of images.
    specs: Vec<ModelSpec>,
    /// `None` for a description of the user's own.
    found: Option<Resolved>,
}

impl From<Resolved> for Asked {
    fn from(found: Resolved) -> Self {
        Self { specs: found.specs.clone(), found: Some(found) }
    }
}

impl Asked {
    /// Looks the model up: by its name, or in a file with its description.
    fn new(args: &ModelArgs, options: &LoadOptions) -> Result<Self> {
        let name = args.model.as_deref();
        if let Some(path) = &args.model_spec {
            return Ok(Self { specs: vec![own_spec(path, name)?], found: None });
        }
        let name = name.unwrap_or(DEFAULT_MODEL);
        if args.model_dir.is_some() {
            // Files of a model that is known by its id.
            registry::find(name)?;
        }
        Ok(resolve(name, options)?.into())
    }

    /// The descriptions that are used for these kinds of embedding.
    fn with(mut self, outputs: Option<Outputs>) -> Result<Self> {
        let several = std::mem::take(&mut self.specs);
        self.specs = select_outputs(several, outputs).map_err(|error| -> Error {
            match error.downcast_ref::<SpecError>() {
                Some(SpecError::NoOutput { known, .. }) if known.count() > 0 => {
                    usage(error.to_string()).hint(format!("--outputs takes {known} here")).into()
                }
                Some(SpecError::NoOutput { .. }) => usage(error.to_string()).into(),
                _ => error.into(),
            }
        })?;
        Ok(self)
    }

    fn builder(&self) -> Result<ModelBuilder> {
        let specs = self.specs.clone();
        Ok(match &self.found {
            Some(found) => found.with_specs(specs).into(),
            None => Model::builder_for(specs)?,
        })
    }
}

impl Selected {
    /// Looks the model up and checks what is asked of it.
    ///
    /// # Errors
    /// No such model; usage errors for one that makes no embeddings, and for options that it does
    /// not have.
    pub(crate) fn new(args: &ModelArgs, run: &RunArgs) -> Result<Self> {
        let load = load_options(args, run);
        let mut asked = Asked::new(args, &load)?.with(args.outputs)?;
        let id = asked.specs[0].id.clone();
        asked.specs.retain(|spec| spec.task.kind() != TaskKind::Rerank);
        if asked.specs.is_empty() {
            return Err(usage(format!("{id} is a reranker: it makes scores, not embeddings"))
                .hint(format!("score texts with: embedkit rerank --model {id} --query …"))
                .into());
        }
        Self::of(asked, args, load)
    }

    /// Looks up one of several models, for anything. `--outputs` applies if the model gives several kinds of
    /// embedding.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), but for rerankers.
    #[cfg(feature = "serve")]
    pub(crate) fn any(mut args: ModelArgs, run: &RunArgs) -> Result<Self> {
        let load = load_options(&args, run);
        let asked = Asked::new(&args, &load)?;
        let gives_one = |error: &embedkit::Error| {
            let found = error.downcast_ref::<SpecError>();
            matches!(found, Some(SpecError::NoOutput { known, .. }) if known.count() < 2)
        };
        if select_outputs(asked.specs.clone(), args.outputs).is_err_and(|error| gives_one(&error)) {
            args.outputs = None;
        }
        Self::of(asked.with(args.outputs)?, &args, load)
    }

    /// Looks up a model that scores texts for a query.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), and a usage error for one that makes no scores.
    pub(crate) fn reranker(args: &ModelArgs, run: &RunArgs) -> Result<Self> {
        if args.model.is_none() && args.model_spec.is_none() {
            return Err(usage("there is no default for --model here").hint(RERANKERS).into());
        }
        let load = load_options(args, run);
        Self::of(rerankers(Asked::new(args, &load)?.with(args.outputs)?)?, args, load)
    }

    /// Looks up the second model of a search, which scores texts for a query.
    ///
    /// # Errors
    /// Those of [`reranker`](Self::reranker).
    pub(crate) fn reranker_by_name(name: &str, run: &RunArgs) -> Result<Self> {
        let load = run.load_options();
        let asked = rerankers(resolve(name, &load)?.into())?;
        Self::without_options(asked, None, load.into())
    }

    fn without_options(asked: Asked, dir: Option<PathBuf>, options: Options) -> Result<Self> {
        let capabilities = asked.builder()?.options(options.clone()).capabilities()?;
        Ok(Self { asked, capabilities, dir, options })
    }

    fn of(asked: Asked, args: &ModelArgs, options: LoadOptions) -> Result<Self> {
        let dir = args.model_dir.clone();
        if let Some(dir) = &dir {
            check_dir(dir)?;
        }
        let options = Options { outputs: args.outputs, ..options.into() };
        let mut selected = Self::without_options(asked, dir, options)?;
        if args.max_tokens.is_some() && !selected.has_tokens() {
            let what = format!("--max-tokens is given, and {} makes no tokens", selected.id());
            return Err(usage(what).into());
        }
        for (key, value) in &args.options {
            selected.set_option(key, value)?;
        }
        Ok(selected)
    }

    /// Inputs that the model takes; `image` says that inputs are images where it takes texts, too. The
    /// texts of a reranker become pairs with their query.
    ///
    /// # Errors
    /// A usage error for images that the model does not take.
    pub(crate) fn accepted_inputs(&self, image: bool) -> Result<AcceptedInputs> {
        let texts = self.takes(InputKind::Text) || self.takes(InputKind::Pair);
        let images = self.takes(InputKind::Image);
        if image && !images {
            return Err(usage(format!("--image is given, and {} takes no images", self.id()))
                .hint("the models that do: embedkit models list --task image")
                .into());
        }
        let plain = if texts && !image { InputKind::Text } else { InputKind::Image };
        Ok(AcceptedInputs { texts, images, query: QueryKey::Ignored, plain })
    }

    /// The kind of its outputs.
    pub(crate) fn output(&self) -> OutputKind {
        self.capabilities.outputs[0]
    }

    /// Dimension of the vectors, as the description states it.
    pub(crate) fn dim(&self) -> Option<usize> {
        self.capabilities.dim
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.capabilities.id
    }

    /// Bytes of the model files, without tokenizer and configuration; `None` where there are none.
    pub(crate) fn model_bytes(&self) -> Option<u64> {
        let hub = Hub::from_env(self.options.load.cache_dir.clone(), true).ok();
        let mut paths = BTreeSet::new();
        let found = self.asked.found.as_ref().and_then(Resolved::dir);
        for spec in &self.asked.specs {
            let files = match self.dir.as_deref().or(found) {
                Some(dir) => ModelFiles::in_dir(dir, spec),
                None => match hub.as_ref().and_then(|hub| hub.cached(spec)) {
                    Some(files) => files,
                    None => continue,
                },
            };
            paths.extend(spec.additional_files.iter().map(|name| files.path(name.as_ref())));
            paths.insert(files.model);
        }
        let sizes: Vec<_> =
            paths.iter().filter_map(|path| Some(path.metadata().ok()?.len())).collect();
        (!sizes.is_empty()).then(|| sizes.iter().sum())
    }

    /// True if the documents in which a term occurs have to be counted.
    pub(crate) fn requires_idf(&self) -> bool {
        self.capabilities.requires_idf
    }

    fn takes(&self, kind: InputKind) -> bool {
        self.capabilities.takes(kind)
    }

    /// True for models of texts with a limit on tokens: not for BM25 and not for images.
    fn has_tokens(&self) -> bool {
        self.asked.specs.iter().any(|spec| match &spec.task {
            Task::Sparse(sparse) => !matches!(sparse.kind, SparseKind::Bm25(_)),
            task => task.kind() != TaskKind::Image,
        })
    }

    /// Warns of `--option task`, which only raw texts heed.
    pub(crate) fn warn_of_idle_options(&self, role: RoleArg, report: &Report) {
        if self.options.dense.task.is_some() && role != RoleArg::Raw {
            report
                .warn("--option task is for raw texts, queries and documents have their own task");
        }
    }

    /// Takes one `--option` over.
    fn set_option(&mut self, key: &str, value: &str) -> Result<()> {
        let id = &self.capabilities.id;
        if self.takes(InputKind::Image) {
            return Ok(image_options::set(id, key, value, &mut self.options.image.decode)?);
        }
        match &self.asked.specs[0].task {
            Task::Sparse(sparse) => {
                self.options.sparse.set(&sparse.kind, key, value).map_err(|error| {
                    match error.downcast_ref() {
                        Some(option) => option_error(id, option).into(),
                        None => usage(causes(&error.into())).into(),
                    }
                })
            }
            Task::TextDense(dense) => match &dense.tasks {
                Some(tasks) => set_task(id, tasks, key, value, &mut self.options.dense),
                None => Err(no_options(id, key).into()),
            },
            _ => Err(no_options(id, key).into()),
        }
    }

    /// Opens the model, fetching its files first where that is needed and allowed: the encoder for
    /// inputs of `kind` where there are several and the kind is known.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub(crate) fn open(&self, kind: Option<InputKind>, report: &Report) -> Result<Model> {
        let builder = self.builder(report)?.options(self.options.clone());
        let busy = report.busy(&format!("opening {}", self.id()));
        let model = builder.open().map_err(|error| self.explain(error))?;
        if let Some(kind) = kind {
            self.open_for(&model, kind)?;
        }
        drop(busy);
        Ok(model)
    }

    fn builder(&self, report: &Report) -> Result<ModelBuilder> {
        let builder = self.asked.builder()?.on_event(show_downloads(report));
        Ok(match &self.dir {
            Some(dir) => builder.dir(dir),
            None => builder,
        })
    }

    /// The model as the server takes it.
    ///
    /// # Errors
    /// A description that cannot be used.
    #[cfg(feature = "serve")]
    pub(crate) fn into_builder(self, report: &Report) -> Result<(ModelBuilder, Options)> {
        Ok((self.builder(report)?, self.options))
    }

    /// Opens the encoder for inputs of a kind, where it is not open yet.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_for(&self, model: &Model, kind: InputKind) -> Result<()> {
        model.open(kind).map_err(|error| self.explain(error))
    }

    /// The failure to open the model, with advice that only the command line can give.
    fn explain(&self, error: embedkit::Error) -> Error {
        let id = self.id();
        // What can only be found out together with other options, or the model's files.
        match error.downcast_ref() {
            Some(OptionError::UnknownLanguage { .. }) if self.options.sparse.language.is_none() => {
            }
            Some(option) => return option_error(id, option).into(),
            None => {}
        }
        let hint = match error.downcast_ref() {
            // What else is in the folder of a built-in model is another part of it.
            Some(hub::Error::Missing { found, .. })
                if found.is_empty() || registry::find(id).is_ok() =>
            {
                "a folder has the names of the model's repository; --model or --model-spec says which \
                 model it is"
            }
            // `models pull` knows names and no descriptions.
            Some(hub::Error::Offline { .. }) if self.asked.found.is_none() => {
                "run it once with network access, or give the files with --model-dir"
            }
            _ => return error.into(),
        };
        failure(error.to_string()).hint(hint).into()
    }
}

/// Advice to those who look for a model that scores.
const RERANKERS: &str = "the models that score: embedkit models list --task rerank";

/// Options of the model and of the run.
fn load_options(args: &ModelArgs, run: &RunArgs) -> LoadOptions {
    LoadOptions {
        prompts: args.prompts.into(),
        max_tokens: args.max_tokens,
        variant: args.variant.clone(),
        precision: args.precision.into(),
        ..run.load_options()
    }
}

/// The model with those descriptions only that are of a reranker; there has to be one.
fn rerankers(mut asked: Asked) -> Result<Asked> {
    let id = asked.specs[0].id.clone();
    asked.specs.retain(|spec| spec.task.kind() == TaskKind::Rerank);
    if asked.specs.is_empty() {
        return Err(usage(format!("{id} is no reranker: it makes embeddings, not scores"))
            .hint(RERANKERS)
            .into());
    }
    Ok(asked)
}

/// The description in a file, which `--model` may name but not contradict.
fn own_spec(path: &Path, id: Option<&str>) -> Result<ModelSpec> {
    let spec = read_spec(path)?;
    match id.filter(|id| !id.eq_ignore_ascii_case(&spec.id)) {
        None => Ok(spec),
        Some(id) => {
            let what = format!("--model is {id}, but {} describes {}", path.display(), spec.id);
            Err(usage(what).hint("leave --model out").into())
        }
    }
}

/// Reads the description of a model.
fn read_spec(path: &Path) -> Result<ModelSpec> {
    let cannot = || format!("cannot read {}", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(cannot)?;
    file.take(LARGEST_SPEC + 1).read_to_string(&mut text).with_context(cannot)?;
    ensure!(
        text.len() as u64 <= LARGEST_SPEC,
        failure(format!("{} is larger than {LARGEST_SPEC} bytes", path.display()))
    );
    let file: ModelFile = toml::from_str(&text)
        .map_err(|error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            failure(format!("{place}{}", error.message().trim_end()))
        })
        .with_context(|| format!("{} does not describe a model", path.display()))?;
    Ok(file.model)
}

fn no_options(id: &str, key: &str) -> CliError {
    usage(format!("{id} has no options, and {key:?} is given"))
}

/// Takes the task for raw texts over.
fn set_task(
    id: &str,
    tasks: &AdapterTasks,
    key: &str,
    value: &str,
    options: &mut DenseOptions,
) -> Result<()> {
    let names = tasks.names.join(", ");
    if key != "task" {
        return Err(usage(format!("{id} has no option {key:?}"))
            .hint(format!("valid is task, with one of {names}"))
            .into());
    }
    if !tasks.names.iter().any(|name| name == value) {
        return Err(usage(format!("{id} has no task {value:?}"))
            .hint(format!("valid are {names}"))
            .into());
    }
    options.task = Some(value.to_owned());
    Ok(())
}

/// Checks that `--model-dir` is a folder.
fn check_dir(dir: &Path) -> Result<()> {
    let path = dir.display();
    match dir.metadata() {
        Ok(data) if data.is_dir() => Ok(()),
        Ok(_) => Err(failure(format!("--model-dir {path} is a file, not a folder"))
            .hint("give the folder in which the model's files are")
            .into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(failure(format!(
            "--model-dir {path}: there is no such folder"
        ))
        .hint("without --model-dir the model is fetched; `embedkit models pull` prints where to")
        .into()),
        Err(error) => Err(Error::new(error).context(format!("cannot open --model-dir {path}"))),
    }
}

/// The usage error of an option of a sparse model, with the values that would be right.
fn option_error(id: &str, error: &OptionError) -> CliError {
    match error {
        OptionError::Unknown { option, known: [], .. } => no_options(id, option),
        OptionError::Unknown { option, known, .. } => {
            usage(format!("{id} has no option {option:?}"))
                .hint(format!("valid are {}", known.join(", ")))
        }
        OptionError::Value { option, value, expected } => {
            usage(format!("the option {option} cannot be {value}"))
                .hint(format!("valid is {expected}"))
        }
        OptionError::UnknownLanguage { language, known } => {
            usage(format!("there is no stemmer for the language {language:?}"))
                .hint(format!("valid are {}, or any with disable_stemmer=true", known.join(", ")))
        }
        other => usage(other.to_string()),
    }
}

/// The hub as options and environment describe it, with its downloads shown.
pub(crate) fn open_hub(options: &LoadOptions, report: &Report) -> Result<Hub> {
    let hub = Hub::from_env(options.cache_dir.clone(), options.offline)?;
    Ok(hub.with_progress(Arc::new(show_downloads(report))))
}

/// A conversion that is shown.
enum Converting {
    /// Its size is not known yet.
    Begun(#[expect(dead_code, reason = "it is shown until it is dropped")] Busy),
    Writing(Bytes),
}

impl Converting {
    /// Shows so many bytes, with the bar that `show` makes where there is none.
    fn reached(&mut self, bytes: u64, show: impl FnOnce() -> Bytes) {
        if let Self::Begun(_) = self {
            *self = Self::Writing(show());
        }
        if let Self::Writing(bar) = self {
            bar.reached(bytes);
        }
    }
}

/// A progress bar for each file that is downloaded, and one for a checkpoint that is converted.
pub(crate) fn show_downloads(report: &Report) -> impl Fn(Event<'_>) + Send + Sync + 'static {
    let shown = Mutex::new(HashMap::new());
    let converting = Mutex::new(HashMap::new());
    let report = report.clone();
    move |event| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut converting = converting.lock().unwrap_or_else(PoisonError::into_inner);
        // Faults and retries are traced as warnings.
        match event {
            Event::Waiting { model } => {
                report.warn(&format!(
                    "waiting for another process that downloads or converts {model}"
                ));
            }
            Event::Started { file, size } => {
                shown.insert(file.to_owned(), report.bytes(file, size));
            }
            Event::Received { file, bytes } => {
                if let Some(bar) = shown.get(file) {
                    bar.reached(bytes);
                }
            }
            Event::Finished { file, .. } => drop(shown.remove(file)),
            Event::Converting { model } => {
                let busy = report.busy(&format!("converting {model}"));
                converting.insert(model.to_owned(), Converting::Begun(busy));
            }
            Event::Writing { model, bytes, size } => {
                if let Some(shown) = converting.get_mut(model) {
                    shown.reached(bytes, || {
                        report.bytes(&format!("converting {model}"), Some(size))
                    });
                }
            }
            Event::Converted { model } => drop(converting.remove(model)),
            _ => {}
        }
    }
}
