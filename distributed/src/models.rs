//! The models of a process: each is opened once and shared by all partitions of all queries.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use datafusion::error::{DataFusionError, Result};
use embedkit::{
    Capabilities, ErrorKind, InputKind, LoadOptions, Model, ModelBuilder, ModelSpec, Options,
    SparseOptions,
    postprocess::{Muvera, MuveraOptions},
    registry,
};

use crate::error;

/// Most bytes of the description of a model.
const LARGEST_DESCRIPTION: u64 = 1 << 20;

/// Id of the model behind the SQL function `bm25`.
pub const BM25: &str = "Qdrant/bm25";

/// Hears of every batch before the model does; an error ends the batch, and the engine tries it again.
///
/// The arguments are the name of the model and the number of texts.
pub type BeforeBatch = Arc<dyn Fn(&str, usize) -> std::io::Result<()> + Send + Sync>;

/// Choices of whoever registers the functions. Plain fields with [`Default`]; use struct update syntax.
#[derive(Clone, Default)]
pub struct FunctionOptions {
    /// Options of all models that are opened: device, threads, cache, prompts, limits.
    pub load: LoadOptions,
    /// Models with a name, a folder or a revision of their own.
    pub models: Vec<NamedModel>,
    /// Other models than the listed ones are refused.
    pub only_listed: bool,
    /// Called before each batch, such as to enforce a quota.
    pub before_batch: Option<BeforeBatch>,
}

impl fmt::Debug for FunctionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionOptions")
            .field("load", &self.load)
            .field("models", &self.models)
            .field("only_listed", &self.only_listed)
            .finish_non_exhaustive()
    }
}

/// A model as SQL names it, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedModel {
    /// Name in SQL: an id, or any other word.
    pub name: String,
    /// Folder with its files, instead of the cache and the hub; or a description, a TOML file like a row of
    /// the registry, with the files beside it.
    pub dir: Option<PathBuf>,
    /// Commit, tag or branch of its repository, instead of the pinned one.
    pub revision: Option<String>,
    /// Description of a model of your own, instead of the registry or the files' own words.
    pub spec: Option<ModelSpec>,
}

impl NamedModel {
    /// A model by id, folder or repository.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), dir: None, revision: None, spec: None }
    }
}

/// `NAME`, `NAME@REVISION`, `NAME=FOLDER` or `NAME=FILE.toml`.
impl std::str::FromStr for NamedModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected NAME, NAME@REVISION or NAME=FOLDER, got {text:?}");
        let model = if let Some((name, dir)) = text.split_once('=') {
            Self { dir: Some(dir.into()), ..Self::new(name) }
        } else if let Some((name, revision)) = text.rsplit_once('@') {
            Self { revision: Some(revision.to_owned()), ..Self::new(name) }
        } else {
            Self::new(text)
        };
        let empty = model.name.is_empty()
            || model.dir.as_ref().is_some_and(|dir| dir.as_os_str().is_empty())
            || model.revision.as_ref().is_some_and(String::is_empty);
        if empty { Err(wrong()) } else { Ok(model) }
    }
}

/// Texts that a model has seen since the process started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCalls {
    /// Name of the model.
    pub model: String,
    /// Number of texts, or pairs of texts.
    pub texts: u64,
}

/// The models of a process. A clone shares them.
#[derive(Debug, Clone)]
pub struct Models {
    inner: Arc<Inner>,
}

struct Inner {
    options: FunctionOptions,
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    muvera: Mutex<Vec<Arc<Muvera>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").field("options", &self.options).finish_non_exhaustive()
    }
}

/// One model: how it is opened, what is known of it, and the model once it is open.
pub(crate) struct Entry {
    name: String,
    builder: ModelBuilder,
    capabilities: Capabilities,
    dim: Option<usize>,
    opening: Mutex<()>,
    open: OnceLock<Model>,
    texts: AtomicU64,
}

impl Models {
    /// No model is opened yet.
    #[must_use]
    pub fn new(options: FunctionOptions) -> Self {
        let (entries, muvera) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { options, entries, muvera }) }
    }

    /// Options of the functions.
    #[must_use]
    pub fn options(&self) -> &FunctionOptions {
        &self.inner.options
    }

    /// Opens all listed models, one after another.
    ///
    /// # Errors
    /// The first model that cannot be opened.
    pub fn open_listed(&self) -> Result<()> {
        for model in &self.inner.options.models {
            self.entry(&model.name)?.open()?;
        }
        Ok(())
    }

    /// Texts that each model has seen, by name.
    #[must_use]
    pub fn calls(&self) -> Vec<ModelCalls> {
        let texts = |entry: &Entry| entry.texts.load(Ordering::Relaxed);
        let entries = lock(&self.inner.entries);
        let mut calls: Vec<_> = entries
            .values()
            .map(|entry| ModelCalls { model: entry.name.clone(), texts: texts(entry) })
            .collect();
        calls.sort_by(|a, b| a.model.cmp(&b.model));
        calls
    }

    /// Facts of a built-in model, known without its files.
    pub(crate) fn entry(&self, name: &str) -> Result<Arc<Entry>> {
        let key = canonical(name);
        if let Some(entry) = lock(&self.inner.entries).get(&key) {
            return Ok(Arc::clone(entry));
        }
        // Without the lock, since the files of a model that is not built in may have to be fetched.
        let entry = Arc::new(self.describe(name)?);
        Ok(Arc::clone(lock(&self.inner.entries).entry(key).or_insert(entry)))
    }

    /// The model of BM25 for a language; English is the default of the registry.
    pub(crate) fn bm25(&self, language: Option<&str>) -> Result<Arc<Entry>> {
        let Some(language) = language else { return self.entry(BM25) };
        let language = language.to_lowercase();
        let key = format!("{BM25} {language}");
        if let Some(entry) = lock(&self.inner.entries).get(&key) {
            return Ok(Arc::clone(entry));
        }
        self.check_listed(BM25)?;
        let sparse = SparseOptions { language: Some(language), ..SparseOptions::default() };
        let options = Options { sparse, ..self.load_options(BM25) };
        let builder = Model::builder(BM25).map_err(|error| error::planning(&error))?;
        let entry = Entry::new(&key, builder, options)?;
        // The name of the language is checked by opening, which needs no files.
        entry.open().map_err(|error| DataFusionError::Plan(error.strip_backtrace()))?;
        let entry = Arc::new(entry);
        Ok(Arc::clone(lock(&self.inner.entries).entry(key).or_insert(entry)))
    }

    /// The encoder of MUVERA for vectors of a dimension: its random matrices are drawn once.
    pub(crate) fn muvera(&self, dim: usize, options: &MuveraOptions) -> Result<Arc<Muvera>> {
        let mut drawn = lock(&self.inner.muvera);
        let same = |muvera: &&Arc<Muvera>| muvera.dim() == dim && muvera.options() == options;
        if let Some(found) = drawn.iter().find(same) {
            return Ok(Arc::clone(found));
        }
        let muvera = Muvera::new(dim, options.clone()).map_err(|e| error::planning(&e))?;
        let muvera = Arc::new(muvera);
        drawn.push(Arc::clone(&muvera));
        Ok(muvera)
    }

    fn check_listed(&self, name: &str) -> Result<()> {
        let FunctionOptions { models, only_listed, .. } = &self.inner.options;
        let key = canonical(name);
        if !only_listed || models.iter().any(|model| canonical(&model.name) == key) {
            return Ok(());
        }
        let listed: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        Err(DataFusionError::Plan(format!(
            "the model {name:?} is not among those that this process serves: {}",
            if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
        )))
    }

    fn describe(&self, name: &str) -> Result<Entry> {
        self.check_listed(name)?;
        let key = canonical(name);
        let listed = &self.inner.options.models;
        let named = listed.iter().find(|model| canonical(&model.name) == key);
        let options = self.load_options(name);
        let builder = match named {
            Some(named) => builder(named, &options.load),
            None => Model::builder(name),
        };
        Entry::new(name, builder.map_err(|error| error::planning(&error))?, options)
    }

    /// Options of one model. BM25 has no graph: each partition has a thread of the engine already.
    fn load_options(&self, name: &str) -> Options {
        let load = self.inner.options.load.clone();
        if canonical(name) == BM25 {
            return LoadOptions { threads: Some(1), replicas: Some(1), ..load }.into();
        }
        load.into()
    }

    /// Everything that tells one state of a model from another: its description with revision and digests,
    /// or its folder with the sizes and times of its files.
    pub(crate) fn identity(&self, name: &str) -> Result<String> {
        let key = canonical(name);
        let listed = &self.inner.options.models;
        let named = listed.iter().find(|model| canonical(&model.name) == key);
        let unknown = |error: embedkit::Error| error::planning(&error);
        let described = named.map(described).transpose().map_err(unknown)?.flatten();
        let own = described.map(|(spec, _)| spec).or_else(|| named?.spec.clone());
        let specs = match own {
            Some(spec) => vec![spec],
            None if named.is_some_and(|named| named.dir.is_some())
                && registry::find(name).is_err() =>
            {
                Vec::new()
            }
            None => embedkit::resolve(name, &self.inner.options.load).map_err(unknown)?.specs,
        };
        let revision = named.and_then(|named| named.revision.as_deref());
        let dir = named.and_then(|named| named.dir.clone());
        let dir = dir.map(|path| match path.extension().is_some_and(|end| end == "toml") {
            true => path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned),
            false => path,
        });
        let dir = dir.or_else(|| Some(PathBuf::from(name)).filter(|path| path.is_dir()));
        let files = dir.map(|dir| files_in(&dir)).transpose()?;
        let specs: Vec<_> = specs.iter().map(identity_of).collect();
        Ok(format!("{:?}", (key, specs, revision, files)))
    }

    /// Calls the hook and counts the texts.
    pub(crate) fn begin(&self, entry: &Entry, texts: usize) -> Result<()> {
        if let Some(before) = &self.inner.options.before_batch {
            before(&entry.name, texts)?;
        }
        entry.texts.fetch_add(texts as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Prepares to open a listed model.
fn builder(named: &NamedModel, load: &LoadOptions) -> Result<ModelBuilder, embedkit::Error> {
    let name = named.name.as_str();
    if let Some((spec, dir)) = described(named)? {
        return Ok(Model::builder_for([spec])?.dir(dir));
    }
    let mut builder = match (&named.spec, &named.dir, &named.revision) {
        (Some(spec), _, _) => Model::builder_for([spec.clone()])?,
        (None, Some(dir), _) if registry::find(name).is_err() => {
            // The folder describes itself.
            let path = dir.to_string_lossy();
            let path = if dir.is_absolute() { path.into_owned() } else { format!("./{path}") };
            return Model::builder(&path);
        }
        (None, _, Some(revision)) => {
            let found = embedkit::resolve(name, load)?;
            let at_revision = |spec: &ModelSpec| {
                let mut spec = spec.clone();
                spec.source.revision = Some(revision.clone().into());
                // Digests are those of the pinned revision.
                spec.files = std::borrow::Cow::Borrowed(&[]);
                spec
            };
            let specs = found.specs.iter().map(at_revision).collect();
            ModelBuilder::from(found.with_specs(specs))
        }
        (None, _, None) => Model::builder(name)?,
    };
    if let Some(dir) = &named.dir {
        builder = builder.dir(dir);
    }
    Ok(builder)
}

/// The fields of a description that its results depend on.
fn identity_of(spec: &ModelSpec) -> String {
    let ModelSpec { id, source, file, files, token_limit, lower_case, prompts, task, .. } = spec;
    format!("{:?}", (id, source, file, files, token_limit, lower_case, prompts, task))
}

/// The description that a TOML file has, and its folder.
fn described(named: &NamedModel) -> Result<Option<(ModelSpec, PathBuf)>, embedkit::Error> {
    let is_toml = |path: &&PathBuf| path.extension().is_some_and(|end| end == "toml");
    let Some(path) = named.dir.as_ref().filter(is_toml) else { return Ok(None) };
    let wrong = |reason: String| {
        let what = format!("{}: {}: {reason}", named.name, path.display());
        embedkit::Error::new(ErrorKind::InvalidInput, what)
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(LARGEST_DESCRIPTION).read_to_string(&mut text).map_err(|e| wrong(e.to_string()))?;
    let spec = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let dir = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    Ok(Some((spec, dir)))
}

/// Names, sizes and times of the files in a folder.
fn files_in(dir: &Path) -> Result<Vec<(String, u64, Option<SystemTime>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.path().metadata()?;
        if metadata.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((name, metadata.len(), metadata.modified().ok()));
        }
    }
    files.sort();
    Ok(files)
}

/// The id in its own spelling where the model is built in, else the name as it is.
fn canonical(name: &str) -> String {
    match registry::find(name) {
        Ok(specs) => specs[0].id.to_string(),
        Err(_) => name.to_owned(),
    }
}

impl Entry {
    fn new(name: &str, builder: ModelBuilder, options: Options) -> Result<Self> {
        let chosen = options.load.dim;
        let builder = builder.options(options);
        let capabilities = builder.capabilities().map_err(|error| error::planning(&error))?;
        let dim = chosen.or(capabilities.dim);
        let (opening, open, texts) = Default::default();
        Ok(Self { name: name.to_owned(), builder, capabilities, dim, opening, open, texts })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Dimension of the vectors, without opening the model.
    pub(crate) fn dim(&self) -> Result<usize> {
        self.dim.ok_or_else(|| {
            DataFusionError::Plan(format!(
                "the dimension of {} is not known before it is opened (add `dim` to its description)",
                self.name
            ))
        })
    }

    /// The model, opened once.
    pub(crate) fn open(&self) -> Result<&Model> {
        if let Some(model) = self.open.get() {
            return Ok(model);
        }
        let _opening = lock(&self.opening);
        if let Some(model) = self.open.get() {
            return Ok(model);
        }
        let opened = self.builder.clone().open().and_then(|model| {
            // A model of two encoders opens them when they are needed: here it is that of texts.
            let kinds = [InputKind::Text, InputKind::Pair];
            match kinds.into_iter().find(|&kind| self.capabilities.takes(kind)) {
                Some(kind) => model.open(kind).map(|()| model),
                None => Ok(model),
            }
        });
        let model = opened.map_err(|error| error::opening(&error))?;
        tracing::info!(model = %self.name, "model opened");
        Ok(self.open.get_or_init(|| model))
    }
}

/// A lock whose holder has panicked guards nothing that is half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_model_has_a_folder_or_a_revision() {
        let parse = |text: &str| text.parse::<NamedModel>();
        assert_eq!(parse("a/b").unwrap(), NamedModel::new("a/b"));
        let at = NamedModel { revision: Some("v1".into()), ..NamedModel::new("a/b") };
        assert_eq!(parse("a/b@v1").unwrap(), at);
        let here = NamedModel { dir: Some("x@y".into()), ..NamedModel::new("m") };
        assert_eq!(parse("m=x@y").unwrap(), here);
        for wrong in ["", "=x", "m=", "a@", "@v1"] {
            assert!(parse(wrong).unwrap_err().contains("NAME@REVISION"), "{wrong}");
        }
    }

    #[test]
    fn an_id_is_known_in_any_case_and_needs_no_files() {
        let models = Models::new(FunctionOptions::default());
        let entry = models.entry("baai/BGE-small-en-v1.5").unwrap();
        assert_eq!(entry.dim().unwrap(), 384);
        assert!(Arc::ptr_eq(&entry, &models.entry("BAAI/bge-small-en-v1.5").unwrap()));
    }

    #[test]
    fn an_unknown_model_is_told_with_the_closest_ones() {
        let models = Models::new(FunctionOptions::default());
        let error = models.entry("bge-small-en").err().unwrap();
        assert!(matches!(error, DataFusionError::Plan(_)), "{error}");
        assert!(error.to_string().contains("BAAI/bge-small-en"), "{error}");
    }

    #[test]
    fn others_than_the_listed_are_refused() {
        let models = vec![NamedModel::new("qdrant/BM25")];
        let options = FunctionOptions { models, only_listed: true, ..FunctionOptions::default() };
        let models = Models::new(options);
        models.entry(BM25).unwrap();
        models.bm25(Some("german")).unwrap();
        let error = models.entry("BAAI/bge-small-en-v1.5").err().unwrap().to_string();
        assert!(error.contains("not among those") && error.contains("qdrant/BM25"), "{error}");
    }

    #[test]
    fn the_matrices_of_muvera_are_drawn_once() {
        let models = Models::new(FunctionOptions::default());
        let options =
            MuveraOptions { k_sim: 2, dim_proj: 4, r_reps: 2, ..MuveraOptions::default() };
        let first = models.muvera(8, &options).unwrap();
        assert!(Arc::ptr_eq(&first, &models.muvera(8, &options).unwrap()));
        assert!(!Arc::ptr_eq(&first, &models.muvera(16, &options).unwrap()));
    }
}
