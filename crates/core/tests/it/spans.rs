//! What the core reports through `tracing`: the steps, with counts, and never a text.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use embedkit_core::{
    onnx::{TextGraph, TextGraphOptions},
    pipeline::Workload,
    tokenizer::Tokenizer,
};
use embedkit_testkit::{dense_case, runtime_library};
use embedkit_types::{Device, GraphOutput, LoadOptions};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Writes down each span with its fields.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = span.metadata().name().to_owned();
        span.record(&mut Fields(&mut line));
        let mut lines = self.0.lock().unwrap();
        lines.push(line);
        Id::from_u64(lines.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn loading_running_and_finishing_are_reported_with_counts() {
    let Some(library) = runtime_library() else { return };
    let case = dense_case("mean");
    let recorder = Recorder::default();
    let secret = "a text that nobody may log";
    tracing::subscriber::with_default(recorder.clone(), || {
        let tokenizer = Tokenizer::load(&case.files()).unwrap();
        let load = LoadOptions {
            device: Device::Cpu,
            onnxruntime: Some(library),
            ..LoadOptions::default()
        };
        let options = TextGraphOptions {
            output: GraphOutput::Index(0),
            more_outputs: Vec::new(),
            padding: tokenizer.padding(),
            extra_inputs: vec![],
        };
        let graph = TextGraph::open(&case.files(), &load, options).unwrap();
        let rows = [tokenizer.encode(secret).unwrap(), tokenizer.encode("").unwrap()];
        let widths = graph.run(Workload::Single, &rows, &[], |row| row.shape[1]).unwrap();
        assert_eq!(widths.len(), 2);
    });
    let lines = recorder.0.lock().unwrap();
    let of = |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap();
    assert!(of("load").contains("path="));
    assert!(of("run").contains("rows=2") && of("run").contains("tokens="));
    assert!(of("finish").contains("rows=2"));
    assert!(!lines.iter().any(|line| line.contains("nobody")));
}
