//! A question to each endpoint: does it answer as a hub?

use std::time::{Duration, Instant};

use embedkit_types::ModelSpec;

use crate::{
    Error, Hub,
    http::{Client, shown},
    layout::Repository,
    listing,
    needed::needed_files,
};

/// The answer of one endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct Probe {
    /// Address of the endpoint, without user names and passwords.
    pub endpoint: String,
    /// Time until its answer was read, or the reason why there is none.
    pub answer: Result<Duration, Error>,
}

pub(crate) fn probe(hub: &Hub, spec: &ModelSpec) -> Result<Vec<Probe>, Error> {
    let repository = Repository::of(spec)?;
    if hub.offline {
        return Err(Error::Offline {
            model: spec.id.to_string(),
            cache: hub.cache_dir.clone(),
            missing: needed_files(spec).required,
        });
    }
    let client = Client::new(hub)?;
    let ask = |endpoint: &String| {
        let started = Instant::now();
        let answer = listing::fetch(&client, endpoint, &repository);
        Probe { endpoint: shown(endpoint), answer: answer.map(|_| started.elapsed()) }
    };
    Ok(hub.endpoints.iter().map(ask).collect())
}
