//! Names of parts.

use embedkit::LoadOptions;
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
    pub(crate) load: &'a LoadOptions,
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

/// Hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
