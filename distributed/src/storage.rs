//! Files on disks and in object stores, by URL.

use std::sync::Arc;

use datafusion::{
    error::{DataFusionError, Result},
    execution::{
        object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
};
use object_store::ObjectStore;
use url::Url;

/// Object stores by URL, opened when they are first needed: `s3://`, `gs://`, `az://` and others with the
/// feature `cloud`, with the credentials of the environment (such as `AWS_ACCESS_KEY_ID`).
#[derive(Debug, Default)]
struct Stores(DefaultObjectStoreRegistry);

impl ObjectStoreRegistry for Stores {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        self.0.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.0.get_store(url) {
            return Ok(store);
        }
        let store = open(url)?;
        self.0.register_store(url, Arc::clone(&store));
        Ok(store)
    }
}

#[cfg(feature = "cloud")]
fn open(url: &Url) -> Result<Arc<dyn ObjectStore>> {
    // The whole bucket: paths are resolved by the engine.
    let mut bucket = url.clone();
    bucket.set_path("/");
    let settings = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let (store, _) = object_store::parse_url_opts(&bucket, settings)
        .map_err(|error| DataFusionError::Configuration(format!("cannot open {url}: {error}")))?;
    Ok(Arc::from(store))
}

#[cfg(not(feature = "cloud"))]
fn open(url: &Url) -> Result<Arc<dyn ObjectStore>> {
    Err(DataFusionError::Configuration(format!(
        "cannot open {url}: this build reads local files only (build it with the feature `cloud`)"
    )))
}

/// The environment of a session, which finds object stores by itself.
///
/// # Errors
/// Those of the engine, such as a folder for temporary files that cannot be made.
pub(crate) fn runtime() -> Result<Arc<RuntimeEnv>> {
    RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(Stores::default())).build_arc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_files_need_no_feature() {
        let stores = Stores::default();
        stores.get_store(&Url::parse("file:///").unwrap()).unwrap();
        stores.get_store(&Url::parse("ftp://host/").unwrap()).unwrap_err();
    }

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn a_missing_feature_is_named() {
        let url = Url::parse("s3://bucket/a").unwrap();
        let error = Stores::default().get_store(&url).unwrap_err().to_string();
        assert!(error.contains("`cloud`"), "{error}");
    }

    #[cfg(feature = "cloud")]
    #[test]
    fn a_bucket_is_opened_once() {
        let stores = Stores::default();
        let url = Url::parse("s3://bucket/").unwrap();
        let first = stores.get_store(&url).unwrap();
        assert!(Arc::ptr_eq(&first, &stores.get_store(&url).unwrap()));
    }
}
