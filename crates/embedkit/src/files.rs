//! The files of a model that is about to be opened.

use std::path::{Path, PathBuf};

use embedkit_core::read_bounded;
#[cfg(feature = "hub")]
use embedkit_hub::{Hub, OnEvent};
use embedkit_types::{ErrorKind, LoadOptions, ModelFiles, ModelSpec, Precision, SpecError};

use crate::{Error, checkpoint, conversion::Conversion};

/// Places to look for files: a folder of the caller's, or the cache and behind it the hub.
#[derive(Clone, Default)]
pub(crate) struct FileSource {
    pub(crate) dir: Option<PathBuf>,
    /// The conversion that makes the graph, of a model that was described by its own files.
    pub(crate) conversion: Option<Conversion>,
    /// True where the description was read from the model's own files, and the graph chosen among them.
    pub(crate) described: bool,
    /// Hears of downloads and conversions.
    #[cfg(feature = "hub")]
    pub(crate) on_event: Option<OnEvent>,
}

impl FileSource {
    /// The files of a model; `None` where none are needed and no folder was named. The graph among them has the
    /// precision that is asked for.
    pub(crate) fn find(
        &self,
        spec: &ModelSpec,
        options: &LoadOptions,
        needed: bool,
    ) -> Result<Option<ModelFiles>, Error> {
        // Before anything is fetched.
        check(spec, options)?;
        match self.of_file(spec, options, needed)? {
            Some(files) => self.with_precision(spec, files, options).map(Some),
            None if is_optional(options.precision) => Ok(None),
            None => Err(no_precision(spec)),
        }
    }

    /// The files with a graph of the precision that is asked for: made from the f32 graph, once, and kept in the
    /// cache.
    pub(crate) fn with_precision(
        &self,
        spec: &ModelSpec,
        files: ModelFiles,
        options: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        check(spec, options)?;
        let optional = is_optional(options.precision);
        let has_graph = files.model.extension().is_some_and(|ending| ending == "onnx");
        match choose(options) {
            Precision::F32 => Ok(files),
            _ if !has_graph && optional => Ok(files),
            _ if !has_graph => Err(no_precision(spec)),
            precision => match self.make(spec, files.clone(), precision, options) {
                // One that cannot be rewritten may run, or fail, as it is.
                Err(error)
                    if optional
                        && matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Damaged) =>
                {
                    tracing::info!(id = %spec.id, %error, "the graph runs as it is");
                    Ok(files)
                }
                made => made.inspect(|files| {
                    let path = files.model.display();
                    tracing::debug!(id = %spec.id, %precision, %path, "a graph of its own");
                }),
            },
        }
    }

    #[cfg(all(feature = "convert", feature = "onnx"))]
    fn make(
        &self,
        spec: &ModelSpec,
        files: ModelFiles,
        precision: Precision,
        options: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        use embedkit_convert::{QuantizeOptions, VERSION, quantize, to_bf16};

        // A graph that was converted is elsewhere in the cache.
        let root = match files.model.strip_prefix(&files.root) {
            Ok(_) => files.root.as_path(),
            Err(_) => files.model.parent().unwrap_or(&files.root),
        };
        let name = files.model.strip_prefix(root).unwrap_or(&files.model);
        let name = name.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
        let kept = embedkit_hub::Conversion {
            spec,
            root,
            inputs: &[name],
            recipe: &format!("{precision}-{VERSION}"),
            file: "model.onnx",
        };
        let make = |out: &Path, _: &mut dyn FnMut(u64, u64)| {
            if precision == Precision::Int8 {
                let quantize_options = QuantizeOptions {
                    onnxruntime: options.onnxruntime.clone(),
                    cache_dir: options.cache_dir.clone(),
                    timeout: options.timeout,
                    ..QuantizeOptions::default()
                };
                let report = quantize(&files.model, out, &quantize_options)?;
                if let Some(reason) = report.not_calibrated {
                    tracing::warn!(id = %spec.id, reason, "outlier channels were not looked for");
                }
                return Ok(());
            }
            to_bf16(&files.model, out).map(drop).map_err(Error::from)
        };
        let model = self.hub(options)?.converted(&kept, make)?;
        Ok(ModelFiles { model, ..files })
    }

    #[cfg(not(all(feature = "convert", feature = "onnx")))]
    #[expect(clippy::unused_self, reason = "the converter is compiled out")]
    fn make(
        &self,
        spec: &ModelSpec,
        _: ModelFiles,
        _: Precision,
        _: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        Err(not_compiled(spec))
    }

    /// The files of a model as they are, with a graph that is made where there is only a checkpoint.
    fn of_file(
        &self,
        spec: &ModelSpec,
        options: &LoadOptions,
        needed: bool,
    ) -> Result<Option<ModelFiles>, Error> {
        let conversion = if self.described {
            self.conversion.clone()
        } else {
            Conversion::of(spec, options.variant.as_ref())?
        };
        let files = match &self.dir {
            Some(dir) => in_dir(dir, spec)?,
            None if needed => self.fetch(spec, options)?,
            None => return Ok(None),
        };
        let Some(mut conversion) = conversion else { return Ok(Some(files)) };
        let files = if self.described {
            files
        } else {
            self.with_shards(spec, files, &mut conversion, options)?
        };
        self.convert(spec, &files, &conversion, options).map(Some)
    }

    /// The files of a registered model with all shards of its checkpoint, which are fetched where no folder
    /// was named.
    fn with_shards(
        &self,
        spec: &ModelSpec,
        files: ModelFiles,
        conversion: &mut Conversion,
        options: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        let Some(index) = checkpoint::index(&conversion.weights) else { return Ok(files) };
        let mut more = shards(&files.root, index)?;
        more.retain(|file| !conversion.weights.contains(file));
        conversion.weights.extend(more.iter().cloned());
        if more.is_empty() || self.dir.is_some() {
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
        conversion: &Conversion,
        options: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        use embedkit_convert::{ConvertOptions, Precision, VERSION, convert_with_progress};

        let head = conversion.head.to_string().parse::<embedkit_convert::Head>()?;
        let dir = files.root.join(&conversion.folder);
        let mut inputs = conversion.weights.clone();
        inputs.push(conversion.file("config.json"));
        let (precision, suffix) =
            if conversion.is_f16() { (Precision::F16, "-f16") } else { (Precision::F32, "") };
        let kept = embedkit_hub::Conversion {
            spec,
            root: &files.root,
            inputs: &inputs,
            recipe: &format!("{head}{suffix}-{VERSION}"),
            file: "model.onnx",
        };
        let convert_options = ConvertOptions { head, precision, ..ConvertOptions::default() };
        let make = |out: &Path, on_progress: &mut dyn FnMut(u64, u64)| {
            convert_with_progress(&dir, out, &convert_options, on_progress)
                .map(drop)
                .map_err(Error::from)
        };
        let model = self.hub(options)?.converted(&kept, make)?;
        Ok(ModelFiles { model, ..files.clone() })
    }

    #[cfg(not(feature = "convert"))]
    #[expect(clippy::unused_self, reason = "the converter is compiled out")]
    fn convert(
        &self,
        spec: &ModelSpec,
        _: &ModelFiles,
        _: &Conversion,
        _: &LoadOptions,
    ) -> Result<ModelFiles, Error> {
        Err(not_compiled(spec))
    }
}

/// True for a precision that no graph has to have.
fn is_optional(precision: Precision) -> bool {
    matches!(precision, Precision::F32 | Precision::AutoFast)
}

/// The precision of options on this processor.
fn choose(options: &LoadOptions) -> Precision {
    #[cfg(feature = "onnx")]
    return embedkit_core::onnx::choose_precision(options);
    // What needs no graph has no precision.
    #[cfg(not(feature = "onnx"))]
    match options.precision {
        Precision::AutoFast => Precision::F32,
        precision => precision,
    }
}

/// Checks that the processor and the device have the precision that is asked for.
fn check(spec: &ModelSpec, options: &LoadOptions) -> Result<(), Error> {
    if options.precision != Precision::F32 {
        #[cfg(feature = "onnx")]
        embedkit_core::onnx::check_precision(options.precision)?;
        options.check(spec)?;
    }
    Ok(())
}

/// The error for a model without a graph, of which another precision than f32 is asked for.
fn no_precision(spec: &ModelSpec) -> Error {
    SpecError::UnusedOption { id: spec.id.to_string(), option: "precision" }.into()
}

#[cfg(not(all(feature = "convert", feature = "onnx")))]
fn not_compiled(spec: &ModelSpec) -> Error {
    let (id, package, feature) = (spec.id.to_string(), "embedkit", "convert");
    SpecError::NotCompiled { id, package, feature }.into()
}

/// Checks that the checkpoint, whose configuration is in `folder`, can be converted.
#[cfg(feature = "convert")]
pub(crate) fn check_checkpoint(folder: &Path, conversion: &Conversion) -> Result<(), Error> {
    let head = conversion.head.to_string().parse::<embedkit_convert::Head>()?;
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
            .field("conversion", &self.conversion)
            .finish_non_exhaustive()
    }
}
