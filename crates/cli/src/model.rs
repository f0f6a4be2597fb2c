//! From `--model`, `--model-dir` and `--model-spec` to an opened model.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use embedkit::{
    DEFAULT_MODEL, Load, TextEmbedding,
    hub::{self, Event, Hub},
    registry,
};
use embedkit_types::{LoadOptions, ModelFile, ModelSpec, Task, TextDense};

use crate::{
    args::{ModelArgs, RoleArg, RunArgs},
    report::{Report, failure, usage},
};

/// Far more than any description has.
const LARGEST_SPEC: u64 = 1 << 20;

/// The task whose models `embed` and `search` run.
const TASK: &str = <TextEmbedding as Load>::TASK;

/// A model that is known, and whose options make sense, but that is not open.
#[derive(Debug)]
pub(crate) struct Selected {
    spec: Cow<'static, ModelSpec>,
    dir: Option<PathBuf>,
    options: LoadOptions,
}

impl Selected {
    /// Looks the model up and checks what is asked of it.
    ///
    /// # Errors
    /// No such model; usage errors for one that makes no vectors of texts, and for options that it
    /// does not have.
    pub(crate) fn new(args: &ModelArgs, run: &RunArgs) -> Result<Self> {
        let spec = match &args.model_spec {
            Some(path) => {
                let spec = read_spec(path)?;
                if let Some(id) = &args.model
                    && !id.eq_ignore_ascii_case(&spec.id)
                {
                    return Err(usage(format!(
                        "--model is {id}, but {} describes {}",
                        path.display(),
                        spec.id
                    ))
                    .hint("leave --model out")
                    .into());
                }
                Cow::Owned(spec)
            }
            None => Cow::Borrowed(registered(args.model.as_deref().unwrap_or(DEFAULT_MODEL))?),
        };
        let Task::TextDense(dense) = &spec.task else {
            return Err(usage(format!(
                "{} is a model of task {}, and this takes one of task {TASK}",
                spec.id,
                spec.task.name()
            ))
            .hint(format!("the models there are: embedkit models list --task {TASK}"))
            .into());
        };
        let mut options = run.load_options();
        options.prompts = args.prompts.into();
        for (key, value) in &args.options {
            set_option(&spec.id, dense, key, value, &mut options)?;
        }
        Ok(Self { spec, dir: args.model_dir.clone(), options })
    }

    /// Whether `--option task` was given, which only raw texts heed.
    pub(crate) fn warn_of_idle_options(&self, role: RoleArg, report: &Report) {
        if self.options.task.is_some() && role != RoleArg::Raw {
            report
                .warn("--option task is for raw texts, queries and documents have their own task");
        }
    }

    /// The options that the model will be opened with.
    pub(crate) fn options_mut(&mut self) -> &mut LoadOptions {
        &mut self.options
    }

    /// Opens the model, fetching its files first where that is needed and allowed.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub(crate) fn open(&self, report: &Report) -> Result<TextEmbedding> {
        if let Some(id) = &self.spec.alias_of {
            report.warn(&format!("{} is an old spelling of {id}", self.spec.id));
        }
        if let Some(notice) = &self.spec.notice {
            report.warn(&format!("{}: {notice}", self.spec.id));
        }
        let files = match &self.dir {
            Some(dir) => hub::local(dir, &self.spec)?,
            None => open_hub(&self.options, report)?.files(&self.spec)?,
        };
        let model = TextEmbedding::from_files(&self.spec, &files, &self.options)?;
        tracing::debug!(model = %self.spec.id, device = model.device()?, "model opened");
        Ok(model)
    }
}

/// A model of the registry by its id, the text encoder where the id names several.
fn registered(id: &str) -> Result<&'static ModelSpec> {
    let rows = registry::find(id)?;
    let text = rows.iter().find(|spec| spec.task.name() == TASK);
    Ok(text.unwrap_or(&rows[0]))
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

/// Takes one `--option` over.
fn set_option(
    id: &str,
    dense: &TextDense,
    key: &str,
    value: &str,
    options: &mut LoadOptions,
) -> Result<()> {
    let Some(tasks) = &dense.tasks else {
        return Err(usage(format!("{id} has no options, and {key:?} is given")).into());
    };
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
