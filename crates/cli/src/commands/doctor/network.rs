//! The hub that models come from: is it allowed, does it answer?

use std::time::Duration;

use anyhow::anyhow;
use embedkit::{
    DEFAULT_MODEL,
    hub::{Hub, Probe, Timeouts},
    registry,
};

use super::check::{Check, Level, within};
use crate::report::{advice, causes};

/// The longest wait for each step of an answer.
const STEP: Duration = Duration::from_secs(5);
/// The longest wait for all answers.
const ALL: Duration = Duration::from_secs(20);
const LOOK: &str = "look at the connection, HTTPS_PROXY and HF_ENDPOINT; models can also be copied here from \
                    another machine's cache folder";

/// Asks the hub. Without it embedding works only with models that are here.
pub(super) fn hub(hub: &Hub, has_models: bool) -> Check {
    let token = if hub.token.is_some() { "with a token" } else { "no token" };
    if hub.offline {
        let what = format!("not asked: the network is switched off; {token}");
        return Check::skipped("hub", what);
    }
    let level = if has_models { Level::Warning } else { Level::Problem };
    let mut asked = hub.clone();
    asked.timeouts = Timeouts { connect: STEP, headers: STEP, stall: STEP };
    let answers = within(ALL, move || {
        let spec = registry::find(DEFAULT_MODEL)?[0];
        Ok::<_, embedkit::Error>(asked.probe(spec)?)
    });
    let answers = answers.unwrap_or_else(|| {
        let error = anyhow!("no answer within {} seconds", ALL.as_secs());
        Err(embedkit::Error::new(embedkit::ErrorKind::Download, error.to_string()))
    });
    match answers {
        Ok(probes) => judged(probes, token, level),
        Err(error) => {
            let check = Check::failed("hub", level, &error.into());
            if check.advice.is_some() { check } else { check.advice(LOOK) }
        }
    }
}

fn judged(probes: Vec<Probe>, token: &str, level: Level) -> Check {
    let (mut good, mut lines, mut hint) = (0, Vec::new(), None);
    let all = probes.len();
    for probe in probes {
        match probe.answer {
            Ok(time) => {
                good += 1;
                lines.push(format!("{} answers in {} ms", probe.endpoint, time.as_millis()));
            }
            Err(error) => {
                let error = embedkit::Error::from(error).into();
                hint = hint.or_else(|| advice(&error));
                lines.push(causes(&error));
            }
        }
    }
    let found = format!("{}; {token}", lines.join("; "));
    match good {
        good if good == all => Check::ok("hub", found),
        0 => Check::new("hub", level, found).advice(hint.unwrap_or_else(|| LOOK.to_owned())),
        // The next endpoint is asked where one fails.
        _ => Check::new("hub", Level::Warning, found).advice(
            hint.unwrap_or_else(|| "leave what does not answer out of HF_ENDPOINT".to_owned()),
        ),
    }
}
