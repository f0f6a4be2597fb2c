//! `embedkit serve`: models over HTTP.

use std::env;

use anyhow::Result;
use embedkit::DEFAULT_MODEL;
use embedkit_server::{Config, Keys, Limits, Listen, ServedModel, StartError, Times, Tls, serve};

use crate::{
    args::{ModelArgs, RunArgs, ServeArgs},
    model::Selected,
    report::{Log, Report, usage},
};

/// Keys of clients, separated by commas.
const KEYS: &str = "EMBEDKIT_API_KEY";
/// Bytes of a megabyte, as memory is counted.
const MEGABYTE: usize = 1 << 20;

pub(crate) fn run(args: ServeArgs, run: &RunArgs, report: &Report) -> Result<()> {
    let config = config(args, run, report)?;
    if config.keys.is_empty() && is_open(&config.listen) {
        report.warn(&format!(
            "{} can be reached from other machines, and there are no keys ({KEYS}, --api-key-file)",
            config.listen
        ));
    }
    let encrypted = config.tls.is_some();
    let served = serve(config, |address| {
        let greeting = greeting(address, encrypted);
        match report.log() {
            Log::Json => tracing::info!("{greeting}"),
            _ => report.inform(&greeting),
        }
    });
    served.map_err(|error| match error {
        // With the advice of the library.
        StartError::Model { name, source } => {
            anyhow::Error::new(source).context(format!("{name} cannot be served"))
        }
        other => other.into(),
    })
}

fn config(args: ServeArgs, run: &RunArgs, report: &Report) -> Result<Config> {
    let mut keys = Keys::default();
    if let Ok(listed) = env::var(KEYS) {
        keys = keys.and(Keys::new(listed.split(',')));
        if keys.is_empty() && !listed.is_empty() {
            return Err(usage(format!("{KEYS} has no key")).into());
        }
    }
    if let Some(path) = &args.api_key_file {
        keys = keys.and(Keys::read(path)?);
    }
    let load = embedkit::LoadOptions {
        prompts: args.prompts.into(),
        max_tokens: args.max_tokens,
        variant: args.variant.clone(),
        precision: args.precision.into(),
        ..run.load_options()
    };
    Ok(Config {
        models: models(&args, run, report)?,
        keys,
        limits: Limits {
            body_bytes: args.max_body.saturating_mul(MEGABYTE),
            bodies_bytes: args.max_bodies.saturating_mul(MEGABYTE),
            queue_tokens: args.queue_tokens,
            connections: args.max_connections,
            ..Limits::default()
        },
        times: Times { request: run.timeout, drain: args.drain, ..Times::default() },
        image_hosts: args.image_hosts,
        own_token_ids: args.token_ids,
        client_models: args.open_any_model.then(|| load.into()),
        tls: match (args.tls_cert, args.tls_key) {
            (Some(certificates), Some(key)) => Some(Tls { certificates, key }),
            _ => None,
        },
        access_log: true,
        listen: args.listen,
        cors_origins: args.cors_origins,
    })
}

fn models(args: &ServeArgs, run: &RunArgs, report: &Report) -> Result<Vec<ServedModel>> {
    let default = [DEFAULT_MODEL.to_owned()];
    let names = match &*args.models {
        [] if args.open_any_model => &[][..],
        [] => &default,
        names => names,
    };
    if names.len() != 1 {
        for (given, option) in
            [(args.model_dir.is_some(), "--model-dir"), (!args.options.is_empty(), "--option")]
        {
            if given {
                return Err(usage(format!("{option} is for one model, not {}", names.len())).into());
            }
        }
    }
    let known = |name: &str| names.iter().any(|model| model == name);
    if let Some((alias, name)) = args.aliases.iter().find(|(_, name)| !known(name)) {
        let what = format!("--alias {alias}={name} is of a model that --model does not name");
        return Err(usage(what).into());
    }
    let models: Vec<_> =
        names.iter().map(|name| model(name, args, run, report)).collect::<Result<_>>()?;
    if let Some(outputs) = args.outputs
        && models.iter().all(|model| model.options.outputs.is_none())
    {
        let what = format!("--outputs {outputs} is given, and no model gives several kinds");
        return Err(usage(what).into());
    }
    Ok(models)
}

fn model(name: &str, args: &ServeArgs, run: &RunArgs, report: &Report) -> Result<ServedModel> {
    let model = ModelArgs {
        model: Some(name.to_owned()),
        model_dir: args.model_dir.clone(),
        model_spec: None,
        variant: args.variant.clone(),
        precision: args.precision,
        outputs: args.outputs,
        prompts: args.prompts,
        max_tokens: args.max_tokens,
        options: args.options.clone(),
    };
    let (builder, options) = Selected::any(model, run)?.into_builder(report)?;
    let aliases = args.aliases.iter().filter(|(_, of)| of == name);
    Ok(ServedModel {
        aliases: aliases.map(|(alias, _)| alias.clone()).collect(),
        options,
        keep_alive: args.keep_alive,
        lazy: args.lazy,
        ..ServedModel::new(name, builder)
    })
}

/// True for an address that other machines reach.
fn is_open(listen: &Listen) -> bool {
    matches!(listen, Listen::Tcp(address) if !address.ip().is_loopback())
}

fn greeting(address: &Listen, encrypted: bool) -> String {
    let scheme = if encrypted { "https" } else { "http" };
    match address {
        Listen::Tcp(address) => format!("serving at {scheme}://{address}"),
        Listen::Unix(_) => format!("serving at {address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_alone_is_not_open() {
        for (text, open) in [
            ("127.0.0.1:3000", false),
            ("[::1]:3000", false),
            ("unix:/run/x", false),
            ("0.0.0.0:3000", true),
            (":3000", true),
            ("192.168.1.2:80", true),
        ] {
            assert_eq!(is_open(&text.parse().unwrap()), open, "{text}");
        }
    }

    #[test]
    fn the_greeting_can_be_clicked() {
        let address = "127.0.0.1:3000".parse().unwrap();
        assert_eq!(greeting(&address, false), "serving at http://127.0.0.1:3000");
        assert_eq!(greeting(&address, true), "serving at https://127.0.0.1:3000");
    }
}
