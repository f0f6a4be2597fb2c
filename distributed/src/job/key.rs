//! Names of parts.

use embedkit::{BatchOptions, LoadOptions};
use object_store::ObjectMeta;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{JobError, source::FileOptions, units::Unit};

/// Raised when the same input would make other parts.
const VERSION: u32 = 1;

/// Everything that the parts of a job have in common.
#[derive(Debug, Serialize)]
pub(crate) struct JobKey<'a> {
    pub(crate) statement: &'a str,
    /// Descriptions of the models: revision, digests of files.
    pub(crate) models: Vec<String>,
    /// Options of the models, without those that no result depends on.
    pub(crate) load: LoadOptions,
    pub(crate) options: &'a FileOptions,
    /// Columns of the input.
    pub(crate) columns: String,
    /// The collection that points go to, if any.
    pub(crate) collection: Option<(&'a str, &'a str)>,
}

/// Everything that a part depends on.
#[derive(Serialize)]
struct PartKey<'a> {
    version: u32,
    job: &'a JobKey<'a>,
    url: &'a str,
    size: u64,
    /// Entity tag of the file, or the time of its last change.
    state: String,
    range: Option<(u64, u64)>,
}

impl JobKey<'_> {
    /// Hash of a part: 32 hexadecimal digits.
    ///
    /// # Errors
    /// None, as all fields can be written.
    pub(crate) fn part(
        &self,
        url: &str,
        file: &ObjectMeta,
        unit: &Unit,
    ) -> Result<String, JobError> {
        let state = file.e_tag.clone().unwrap_or_else(|| file.last_modified.to_rfc3339());
        let key =
            PartKey { version: VERSION, job: self, url, size: file.size, state, range: unit.range };
        let bytes =
            serde_json::to_vec(&key).map_err(|error| JobError::Config(error.to_string()))?;
        Ok(hex(&Sha256::digest(bytes)[..16]))
    }
}

/// The options that results depend on: a job goes on with other threads, or another folder of models.
pub(crate) fn of_results(load: &LoadOptions) -> LoadOptions {
    let LoadOptions {
        device,
        provider_options,
        variant,
        batch,
        allow_batch_dependence,
        prompts,
        max_tokens,
        dim,
        ..
    } = load.clone();
    let batch = if allow_batch_dependence { batch } else { BatchOptions::default() };
    LoadOptions {
        device,
        provider_options,
        variant,
        batch,
        allow_batch_dependence,
        prompts,
        max_tokens,
        dim,
        ..LoadOptions::default()
    }
}

/// Hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_folders_make_no_other_parts() {
        let plain = of_results(&LoadOptions::default());
        let elsewhere = LoadOptions {
            threads: Some(3),
            replicas: Some(2),
            cache_dir: Some("models".into()),
            offline: true,
            batch: BatchOptions { rows: Some(7), ..BatchOptions::default() },
            ..LoadOptions::default()
        };
        assert_eq!(of_results(&elsewhere), plain);
        for other in [
            LoadOptions { dim: Some(128), ..LoadOptions::default() },
            LoadOptions { max_tokens: Some(64), ..LoadOptions::default() },
            LoadOptions { allow_batch_dependence: true, ..elsewhere },
        ] {
            assert_ne!(of_results(&other), plain);
        }
    }
}
