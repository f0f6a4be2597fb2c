//! From `--model`, `--model-dir`, `--model-spec` and `--option` to opened models.

use std::{
    borrow::Cow,
    cell::OnceCell,
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Error, Result, ensure};
use embedkit::{
    DEFAULT_MODEL, DenseOptions, ImageOptions, Load, SparseOptions,
    hub::{self, Event, Hub},
    registry,
    sparse::OptionError,
};
use embedkit_types::{AdapterTasks, LoadOptions, ModelFile, ModelSpec, SparseKind, Task};

use crate::{
    args::{ModelArgs, RoleArg, RunArgs},
    encoder::{self, Encoder},
    image_options,
    input::{Kind, QueryKey, Wanted},
    report::{Complaint, Report, causes, failure, usage},
    value::Shape,
};

/// Far more than any description has.
const LARGEST_SPEC: u64 = 1 << 20;

/// One description or more, of one id.
type Specs = Vec<Cow<'static, ModelSpec>>;

/// A model that is known, and whose options make sense, but that is not open. An id may stand for
/// an encoder of texts and one of images.
pub(crate) struct Selected {
    specs: Specs,
    dir: Option<PathBuf>,
    pub(crate) options: LoadOptions,
    /// Of dense text models.
    pub(crate) dense: DenseOptions,
    /// Of sparse models.
    pub(crate) sparse: SparseOptions,
    /// Of models that take images.
    pub(crate) images: ImageOptions,
}

impl Selected {
    /// Looks the model up and checks what is asked of it.
    ///
    /// # Errors
    /// No such model; usage errors for one that makes no embeddings, and for options that it does
    /// not have.
    pub(crate) fn new(args: &ModelArgs, run: &RunArgs) -> Result<Self> {
        let mut specs = specs(args)?;
        let id = specs[0].id.clone();
        specs.retain(|spec| !matches!(spec.task, Task::Rerank(_)));
        if specs.is_empty() {
            return Err(usage(format!("{id} is a reranker: it makes scores, not embeddings"))
                .hint(format!("score texts with: embedkit rerank --model {id} --query …"))
                .into());
        }
        Self::of(specs, args, run)
    }

    /// The same for a model that scores texts for a query.
    ///
    /// # Errors
    /// As there, for one that does not do that.
    pub(crate) fn reranker(args: &ModelArgs, run: &RunArgs) -> Result<Self> {
        if args.model.is_none() && args.model_spec.is_none() {
            return Err(usage("there is no default for --model here").hint(RERANKERS).into());
        }
        Self::of(rerankers(specs(args)?)?, args, run)
    }

    /// The same for the second model of a search, which is built in.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn reranker_by_id(id: &str, run: &RunArgs) -> Result<Self> {
        let specs = rerankers(registry::find(id)?.into_iter().map(Cow::Borrowed).collect())?;
        let options = run.load_options();
        Ok(Self::without_options(specs, None, options))
    }

    fn without_options(specs: Specs, dir: Option<PathBuf>, options: LoadOptions) -> Self {
        let (dense, sparse) = (DenseOptions::default(), SparseOptions::default());
        Self { specs, dir, options, dense, sparse, images: ImageOptions::default() }
    }

    fn of(specs: Specs, args: &ModelArgs, run: &RunArgs) -> Result<Self> {
        let mut options = run.load_options();
        options.prompts = args.prompts.into();
        options.max_tokens = args.max_tokens;
        let dir = args.model_dir.clone();
        if let Some(dir) = &dir {
            check_dir(dir)?;
        }
        let mut selected = Self::without_options(specs, dir, options);
        if args.max_tokens.is_some() && !selected.has_tokens() {
            let what = format!("--max-tokens is given, and {} makes no tokens", selected.id());
            return Err(usage(what).into());
        }
        for (key, value) in &args.options {
            selected.set_option(key, value)?;
        }
        Ok(selected)
    }

    /// What the model can be given; `image` says that inputs are images where it takes texts, too.
    ///
    /// # Errors
    /// A usage error for images that the model does not take.
    pub(crate) fn wanted(&self, image: bool) -> Result<Wanted> {
        let [texts, images] = [Kind::Text, Kind::Image].map(|kind| self.place(kind).is_some());
        if image && !images {
            return Err(usage(format!("--image is given, and {} takes no images", self.id()))
                .hint("the models that do: embedkit models list --task image")
                .into());
        }
        let plain = if texts && !image { Kind::Text } else { Kind::Image };
        Ok(Wanted { texts, images, query: QueryKey::Ignored, plain })
    }

    /// What it gives for each input.
    pub(crate) fn shape(&self) -> Shape {
        encoder::shape(&self.specs[0].task)
    }

    /// How many components a vector has.
    pub(crate) fn dim(&self) -> Option<usize> {
        self.specs[0].task.dim()
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.specs[0].id
    }

    /// Whether the documents in which a term occurs have to be counted.
    pub(crate) fn requires_idf(&self) -> bool {
        self.specs[0].task.requires_idf() == Some(true)
    }

    /// True for models of texts with a limit on tokens: not for BM25 and not for images.
    fn has_tokens(&self) -> bool {
        self.specs.iter().any(|spec| match &spec.task {
            Task::Sparse(sparse) => !matches!(sparse.kind, SparseKind::Bm25(_)),
            task => encoder::kinds(task).contains(&Kind::Text),
        })
    }

    /// The place of the description that is for inputs of a kind.
    fn place(&self, kind: Kind) -> Option<usize> {
        self.specs.iter().position(|spec| encoder::kinds(&spec.task).contains(&kind))
    }

    /// Whether `--option task` was given, which only raw texts heed.
    pub(crate) fn warn_of_idle_options(&self, role: RoleArg, report: &Report) {
        if self.dense.task.is_some() && role != RoleArg::Raw {
            report
                .warn("--option task is for raw texts, queries and documents have their own task");
        }
    }

    /// Takes one `--option` over.
    fn set_option(&mut self, key: &str, value: &str) -> Result<()> {
        let id = &self.specs[0].id;
        if self.place(Kind::Image).is_some() {
            return Ok(image_options::set(id, key, value, &mut self.images.decode)?);
        }
        match &self.specs[0].task {
            Task::Sparse(sparse) => self
                .sparse
                .set(&sparse.kind, key, value)
                .map_err(|error| option_error(id, &error).into()),
            Task::TextDense(dense) => match &dense.tasks {
                Some(tasks) => set_task(id, tasks, key, value, &mut self.dense),
                None => Err(no_options(id, key).into()),
            },
            _ => Err(no_options(id, key).into()),
        }
    }

    /// Opens a model that has one encoder.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn load_only<M: Load>(&self, own: &M::Options, report: &Report) -> Result<M> {
        self.load(&self.specs[0], own, report)
    }

    /// Opens one of the model's encoders, fetching its files first where that is needed and allowed.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub(crate) fn load<M: Load>(
        &self,
        spec: &ModelSpec,
        own: &M::Options,
        report: &Report,
    ) -> Result<M> {
        if let Some(id) = &spec.alias_of {
            report.warn(&format!("{} is an old spelling of {id}", spec.id));
        }
        if let Some(notice) = &spec.notice {
            report.warn(&format!("{}: {notice}", spec.id));
        }
        let files = match &self.dir {
            Some(dir) => Some(hub::local(dir, spec).map_err(|error| files_error(spec, error))?),
            None if !M::needs_files(spec) => None,
            None => {
                let hub = open_hub(&self.options, report)?;
                Some(hub.files(spec).map_err(|error| files_error(spec, error))?)
            }
        };
        M::open(spec, files.as_ref(), &self.options, own).map_err(|error| match error {
            // What can only be found out together with other options, or the model's files.
            embedkit::Error::Sparse(embedkit::sparse::Error::Option(error)) => {
                option_error(&spec.id, &error).into()
            }
            embedkit::Error::Sparse(embedkit::sparse::Error::UnknownLanguage {
                language,
                known,
            }) if self.sparse.language.is_some() => {
                usage(format!("there is no stemmer for the language {language:?}"))
                    .hint(format!(
                        "valid are {}, or any with disable_stemmer=true",
                        known.join(", ")
                    ))
                    .into()
            }
            error => error.into(),
        })
    }
}

/// The encoders of a model, each opened when it is first needed.
pub(crate) struct Encoders<'a> {
    selected: &'a Selected,
    report: &'a Report,
    /// One for each description of the model.
    open: Vec<OnceCell<Encoder>>,
}

impl<'a> Encoders<'a> {
    /// Opens the encoder for inputs of a kind; `None` where that is not known yet.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub(crate) fn open(
        selected: &'a Selected,
        kind: Option<Kind>,
        report: &'a Report,
    ) -> Result<Self> {
        let encoders = Self {
            selected,
            report,
            open: selected.specs.iter().map(|_| OnceCell::new()).collect(),
        };
        let only =
            || (selected.specs.len() == 1).then(|| encoder::kinds(&selected.specs[0].task)[0]);
        if let Some(kind) = kind.or_else(only) {
            encoders.get(kind)?;
        }
        Ok(encoders)
    }

    /// The width of each of many vectors, for an encoder that is open.
    pub(crate) fn width_of_many(&self) -> Option<usize> {
        self.open.iter().find_map(|encoder| encoder.get()?.width_of_many())
    }

    /// The encoder for inputs of a kind.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub(crate) fn get(&self, kind: Kind) -> Result<&Encoder> {
        let Selected { specs, .. } = self.selected;
        let place = self.selected.place(kind);
        let place = place.with_context(|| format!("{} takes no {}", specs[0].id, kind.name()))?;
        if let Some(open) = self.open[place].get() {
            return Ok(open);
        }
        let encoder = Encoder::open(self.selected, &specs[place], self.report)?;
        tracing::debug!(model = %specs[place].id, device = encoder.device()?, "model opened");
        Ok(self.open[place].get_or_init(|| encoder))
    }
}

/// Where to look for a model that scores.
const RERANKERS: &str = "the models that score: embedkit models list --task rerank";

/// Those descriptions that are of a reranker; there has to be one.
fn rerankers(mut specs: Specs) -> Result<Specs> {
    let id = specs[0].id.clone();
    specs.retain(|spec| matches!(spec.task, Task::Rerank(_)));
    if specs.is_empty() {
        return Err(usage(format!("{id} is no reranker: it makes embeddings, not scores"))
            .hint(RERANKERS)
            .into());
    }
    Ok(specs)
}

/// The descriptions of the model that is asked for, one for each of its tasks.
fn specs(args: &ModelArgs) -> Result<Specs> {
    Ok(match &args.model_spec {
        Some(path) => vec![Cow::Owned(own_spec(path, args.model.as_deref())?)],
        None => {
            let rows = registry::find(args.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
            rows.into_iter().map(Cow::Borrowed).collect()
        }
    })
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

fn no_options(id: &str, key: &str) -> Complaint {
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

/// Why a model's files cannot be had, with what only the command line knows to advise.
fn files_error(spec: &ModelSpec, error: hub::Error) -> Error {
    let hint = match &error {
        // What else is in the folder of a built-in model is another part of it.
        hub::Error::Missing { found, .. }
            if found.is_empty() || registry::find(&spec.id).is_ok() =>
        {
            "a folder has the names of the model's repository; --model or --model-spec says which \
             model it is"
        }
        // `models pull` knows the built-in ones only.
        hub::Error::Offline { .. } if registry::find(&spec.id).is_err() => {
            "run it once with network access, or give the files with --model-dir"
        }
        _ => return error.into(),
    };
    failure(error.to_string()).hint(hint).into()
}

/// What is wrong with an option of a sparse model, and what would be right.
fn option_error(id: &str, error: &OptionError) -> Complaint {
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
        other => usage(causes(&Error::new(other.clone()))),
    }
}
/// The hub as options and environment describe it, with its downloads shown.
pub(crate) fn open_hub(options: &LoadOptions, report: &Report) -> Result<Hub> {
    let hub = Hub::from_env(options.cache_dir.clone(), options.offline)?;
    let shown = Mutex::new(HashMap::new());
    let report = report.clone();
    Ok(hub.with_progress(Arc::new(move |event| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        // Faults and retries are traced as warnings.
        match event {
            Event::Waiting { model } => {
                report.warn(&format!("waiting for another process that downloads {model}"));
            }
            Event::Started { file, size } => {
                shown.insert(file.to_owned(), report.download(file, size));
            }
            Event::Received { file, bytes } => {
                if let Some(bar) = shown.get(file) {
                    bar.reached(bytes);
                }
            }
            Event::Finished { file, .. } => drop(shown.remove(file)),
            _ => {}
        }
    })))
}
