//! The rates of our kernels for matrix products, on one thread.

use bench_contestant::answer;
use embedkit_core::onnx::rates::Product;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Request {
    rows: usize,
    k: usize,
    columns: usize,
    gelu: bool,
    runs: usize,
}

fn main() -> std::io::Result<()> {
    answer(|request: &Value| match request["op"].as_str() {
        Some("product") => {
            let Request { rows, k, columns, gelu, runs } = Request::deserialize(request)?;
            let kernels = Product { rows, k, columns, gelu }.time(runs);
            let kernels = kernels.into_iter().map(|one| {
                json!({"elements": one.elements, "kernel": one.kernel, "seconds": one.seconds})
            });
            Ok(json!({"kernels": kernels.collect::<Vec<_>>()}))
        }
        _ => Err(format!("there is no operation {}", request["op"]).into()),
    })
}
