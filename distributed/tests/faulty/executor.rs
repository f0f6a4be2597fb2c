//! An executor for tests whose model meets trouble: its first batches, as many as the environment says,
//! fail as they would without a disk or a device.
#![expect(clippy::print_stdout, reason = "the test reads its standard output")]

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use embedkit_datafusion::{
    FunctionOptions, Models,
    cluster::{ExecutorOptions, run_executor},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
    let failures = number("FAILURES").unwrap_or_default();
    let batches = AtomicUsize::new(0);
    let models = Models::new(FunctionOptions {
        before_batch: Some(Arc::new(move |model, texts| {
            let batch = batches.fetch_add(1, Ordering::Relaxed);
            if batch < failures {
                println!("failed on {texts} texts of {model}");
                return Err(std::io::Error::other("the device is gone"));
            }
            Ok(())
        })),
        ..FunctionOptions::default()
    });
    let options = ExecutorOptions {
        scheduler_port: number("SCHEDULER_PORT")
            .and_then(|port| u16::try_from(port).ok())
            .ok_or("no port")?,
        port: 0,
        command_port: 0,
        tasks: 1,
        work_dir: env::var_os("WORK_DIR").ok_or("no folder")?.into(),
        heartbeat_s: 1,
        ..ExecutorOptions::default()
    };
    run_executor(&options, &models, || println!("the models are open")).await?;
    Ok(())
}
