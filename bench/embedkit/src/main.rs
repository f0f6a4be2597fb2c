//! embedkit as a contestant, one module for each kind of model.

mod dense;
mod image;
mod late;
mod muvera;
mod options;
mod rerank;
mod sparse;

use bench_contestant::{Contestant, Load, Result, serve};

fn open(load: &Load) -> Result<Box<dyn Contestant>> {
    Ok(match load.kind.as_str() {
        "dense" => Box::new(dense::Dense::open(load)?),
        "bm25" | "splade" | "bm42" => Box::new(sparse::Sparse::open(load)?),
        "late" => Box::new(late::Late::open(load)?),
        "maxsim" => Box::new(late::Scored::open(load)?),
        "rerank" => Box::new(rerank::Rerank::open(load)?),
        "image" => Box::new(image::Image::open(load)?),
        "muvera" => Box::new(muvera::Encoders::open(load)?),
        kind => return Err(format!("there is no kind {kind}").into()),
    })
}

fn main() -> std::io::Result<()> {
    serve(open)
}
