//! The files of a model that is about to be opened.

use std::path::{Path, PathBuf};

use embedkit_core::read_bounded;
use embedkit_describe::Checkpoint;
#[cfg(feature = "hub")]
use embedkit_hub::{Hub, OnEvent};
use embedkit_types::{ErrorKind, LoadOptions, ModelFiles, ModelSpec, SpecError};

use crate::{Error, checkpoint};

/// Places to look for files: a folder of the caller's, or the cache and behind it the hub.
#[derive(Clone, Default)]
pub(crate) struct FileSource {
    pub(crate) dir: Option<PathBuf>,
    /// The checkpoint that the graph has to be made from.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// True where the description was read from the model's own files, and the graph chosen among them.
    pub(crate) described: bool,
    /// Hears of downloads and conversions.
    #[cfg(feature = "hub")]
    pub(crate) on_event: Option<OnEvent>,
}

impl FileSource {
    /// The files of a model; `None` where none are needed and no folder was named.
    pub(crate) fn find(
        &self,
        spec: &ModelSpec,
        options: &LoadOptions,
        needed: bool,
    ) -> Result<Option<ModelFiles>, Error> {
        if options.variant.is_some() && !self.described {
            let id = spec.id.to_string();
            return Err(SpecError::UnusedOption { id, option: "variant" }.into());
        }
        let files = match &self.dir {
            Some(dir) => in_dir(dir, spec)?,
            None if needed => self.fetch(spec, options)?,
            None => return Ok(None),
        };
        if let Some(checkpoint) = &self.checkpoint {
            return self.convert(spec, &files, checkpoint, options).map(Some);
        }
        let Some(mut checkpoint) = checkpoint::of_spec(spec) else { return Ok(Some(files)) };
        let files = match checkpoint::index(&checkpoint) {
            None => files,
            Some(index) => {
                let shards = shards(&files.root, index)?;
                checkpoint.weights.extend(shards.iter().cloned());
                self.with_more(spec, files, shards, options)?
            }
        };
        self.convert(spec, &files, &checkpoint, options).map(Some)
    }

    /// The files of a model with further ones, which are fetched where no folder was named.
    fn with_more(
        &self,
        spec: &ModelSpec,
        files: ModelFiles,
        more: Vec<String>,
        options: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        if self.dir.is_some() {
            return Ok(files);
        }
        let mut whole = spec.clone();
        whole.additional_files.to_mut().extend(more.into_iter().map(Into::into));
        self.fetch(&whole, options)
    }

    #[cfg(feature = "hub")]
    fn hub(&self, options: &LoadOptions) -> Result<Hub, Error> {
        let hub = Hub::from_env(options.cache_dir.clone(), options.offline)?;
        Ok(match &self.on_event {
            Some(on_event) => hub.with_progress(on_event.clone()),
            None => hub,
        })
    }

    #[cfg(feature = "hub")]
    fn fetch(&self, spec: &ModelSpec, options: &LoadOptions) -> Result<ModelFiles, Error> {
        Ok(self.hub(options)?.files(spec)?)
    }

    #[cfg(not(feature = "hub"))]
    #[expect(clippy::unused_self, reason = "the hub is compiled out")]
    fn fetch(&self, spec: &ModelSpec, _: &LoadOptions) -> Result<ModelFiles, Error> {
        Err(SpecError::NeedsFiles { id: spec.id.to_string() }.into())
    }

    /// The files with a graph that is made from the checkpoint among them, once, and kept in the cache.
    #[cfg(feature = "convert")]
    fn convert(
        &self,
        spec: &ModelSpec,
        files: &ModelFiles,
        checkpoint: &Checkpoint,
        options: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        use embedkit_convert::{ConvertOptions, VERSION, convert};

        let head = checkpoint.head.to_string().parse::<embedkit_convert::Head>()?;
        let dir = files.root.join(&checkpoint.folder);
        let mut inputs = checkpoint.weights.clone();
        inputs.push(match &*checkpoint.folder {
            "" => "config.json".to_owned(),
            folder => format!("{folder}/config.json"),
        });
        let conversion = embedkit_hub::Conversion {
            spec,
            root: &files.root,
            inputs: &inputs,
            recipe: &format!("{head}-{VERSION}"),
            file: "model.onnx",
        };
        let convert_options = ConvertOptions { head, ..ConvertOptions::default() };
        let make = |out: &Path| convert(&dir, out, &convert_options).map(drop).map_err(Error::from);
        let model = self.hub(options)?.converted(&conversion, make)?;
        Ok(ModelFiles { root: files.root.clone(), model })
    }

    #[cfg(not(feature = "convert"))]
    #[expect(clippy::unused_self, reason = "the converter is compiled out")]
    fn convert(
        &self,
        spec: &ModelSpec,
        _: &ModelFiles,
        _: &Checkpoint,
        _: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        let (id, package, feature) = (spec.id.to_string(), "embedkit", "convert");
        Err(SpecError::NotCompiled { id, package, feature }.into())
    }
}

/// Checks that the checkpoint, whose configuration is in `folder`, can be converted.
#[cfg(feature = "convert")]
pub(crate) fn check_checkpoint(folder: &Path, checkpoint: &Checkpoint) -> Result<(), Error> {
    let head = checkpoint.head.to_string().parse::<embedkit_convert::Head>()?;
    Ok(embedkit_convert::check(folder, head)?)
}

/// The shards that the index in a folder names.
fn shards(root: &Path, index: &str) -> Result<Vec<String>, Error> {
    let path = root.join(index);
    let wrong = |reason: String| {
        let what = format!("{} is no index of shards: {reason}", path.display());
        Error::new(ErrorKind::Damaged, what)
    };
    let content = read_bounded(&path, checkpoint::LARGEST_INDEX as u64)?;
    Ok(checkpoint::shards(index, &content).map_err(wrong)?.into_iter().collect())
}

#[cfg(feature = "hub")]
fn in_dir(dir: &Path, spec: &ModelSpec) -> Result<ModelFiles, Error> {
    Ok(embedkit_hub::local(dir, spec)?)
}

/// The family finds out which files are missing.
#[cfg(not(feature = "hub"))]
#[expect(clippy::unnecessary_wraps, reason = "the hub looks which files are there")]
fn in_dir(dir: &Path, spec: &ModelSpec) -> Result<ModelFiles, Error> {
    Ok(ModelFiles::in_dir(dir, spec))
}

impl std::fmt::Debug for FileSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSource")
            .field("dir", &self.dir)
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}
