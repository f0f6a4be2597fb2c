//! `embedkit runtime`: which ONNX Runtime library is used, and getting one.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use embedkit::{
    hub::{
        Hub,
        pip::Pip,
        runtime::{InstallOptions, Verified, install_with},
    },
    runtime,
};

use crate::{
    args::{RunArgs, RuntimeCommand},
    model::show_downloads,
    output::print,
    report::{Report, failure},
};

pub(crate) fn run(command: &RuntimeCommand, run: &RunArgs, report: &Report) -> Result<()> {
    let find = || runtime::find(run.onnxruntime.as_deref(), run.cache_dir.as_deref());
    match command {
        RuntimeCommand::Status => {
            let found = find()?;
            let path = found.path.map_or_else(|| "-".to_owned(), |path| path.display().to_string());
            print(&format!(
                "library  {path}\nversion  {}\nfound    {}\n",
                found.version, found.origin
            ))
        }
        RuntimeCommand::Path => {
            let path = find()?.path;
            let path = path.ok_or_else(|| failure("ONNX Runtime is linked into this program"))?;
            print(&format!("{}\n", path.display()))
        }
        RuntimeCommand::Install { gpu, from } => {
            let hub = Hub::from_env(run.cache_dir.clone(), run.offline)?;
            if hub.offline && from.is_none() {
                return Err(failure("offline, and the library is not here")
                    .hint("give a library, a wheel or a folder with --from PATH")
                    .into());
            }
            let options = InstallOptions { gpu: *gpu, from: from.clone(), ..Default::default() };
            if from.is_none() {
                report.inform(&format!("fetching ONNX Runtime {} with pip", options.version));
            }
            let busy = report.busy("installing ONNX Runtime");
            let pip = || Ok(Pip::find()?.with_progress(Arc::new(show_downloads(report))));
            let installed = install_with(&options, &hub.cache_dir, pip)?;
            drop(busy);
            // Verify the library loads.
            let found = runtime::find_installed(&hub.cache_dir)
                .context("the library is installed, but cannot be used")?;
            print(&format!(
                "library  {}\nversion  {}\nsource   {}\nsha256   {} ({})\n",
                installed.library.display(),
                found.version,
                installed.origin,
                installed.sha256,
                match installed.verified {
                    Verified::Known => "that of the official build",
                    Verified::Package => "as the package states it",
                    _ => "nothing to compare it with",
                }
            ))
        }
    }
}
