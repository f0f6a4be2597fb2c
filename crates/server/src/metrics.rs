//! Measurements for Prometheus: under the names of Text Embeddings Inference, and our own.
//!
//! Labels are the names of served models and constants, so that a client cannot add any.

use std::{fmt, time::Duration};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::{
    account::{Account, Phases},
    failure::FailureKind,
    models::Status,
};

/// Number of buckets of a duration, each half as large again as the one before.
const DURATION_BUCKETS: i32 = 35;
/// The first of them, in seconds.
const FIRST_BUCKET: f64 = 0.000_015;

static METADATA: Metadata<'static> = Metadata::new("embedkit", Level::INFO, None);

/// The measurements of one server; nothing is global.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

/// Label of a name.
fn label(name: &'static str, value: &str) -> Label {
    Label::new(name, value.to_owned())
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let durations: Vec<f64> =
            (0..DURATION_BUCKETS).map(|n| FIRST_BUCKET * 1.5_f64.powi(n)).collect();
        let counts: Vec<f64> = (0..18).map(|n| f64::from(1_u32 << n)).collect();
        let suffix = |text: &str| metrics_exporter_prometheus::Matcher::Suffix(text.to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(suffix("_duration"), &durations)
            .and_then(|builder| builder.set_buckets_for_metric(suffix("_length"), &counts))
            .and_then(|builder| builder.set_buckets_for_metric(suffix("_size"), &counts))
            // It fails for an empty list only.
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// The text that a scraper reads.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what was measured since the last time, so that memory does not grow without a scraper.
    pub(crate) fn fold(&self) {
        self.handle.run_upkeep();
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }

    /// A request that was answered with results.
    pub(crate) fn succeeded(&self, account: &Account, scores: bool, total: Duration) {
        let model = account.model.as_deref().unwrap_or("");
        let method = if account.inputs == 1 { "single" } else { "batch" };
        let of_request = || vec![label("method", method), label("model", model)];
        let of_model = || vec![label("model", model)];
        self.counter("te_request_count", of_request()).increment(1);
        self.counter("te_request_success", of_request()).increment(1);
        self.histogram("te_request_duration", of_request()).record(total);
        for (phase, time) in phases(account) {
            self.histogram(phase.of_request, of_request()).record(time);
        }
        self.histogram("te_request_size", of_model()).record(as_f64(account.inputs));
        if let Some(mean) = account.tokens.checked_div(account.inputs) {
            self.histogram("te_request_input_length", of_model()).record(as_f64(mean));
        }
        let (count, success, duration) = if scores {
            ("te_predict_count", "te_predict_success", "te_predict_duration")
        } else {
            ("te_embed_count", "te_embed_success", "te_embed_duration")
        };
        let inputs = account.inputs as u64;
        self.counter(count, of_model()).increment(inputs);
        self.counter(success, of_model()).increment(inputs);
        self.histogram(duration, of_model()).record(total);
        for (phase, time) in phases(account) {
            let name = if scores { phase.of_scores } else { phase.of_embeddings };
            self.histogram(name, of_model()).record(time);
        }
        self.counter("embedkit_tokens_total", of_model()).increment(account.tokens as u64);
        self.counter("embedkit_truncated_inputs_total", of_model())
            .increment(account.truncated.len() as u64);
    }

    /// A request that failed.
    pub(crate) fn failed(&self, kind: FailureKind) {
        self.counter("te_request_failure", vec![label("err", kind.name())]).increment(1);
    }

    /// A request whose client left before it was answered.
    pub(crate) fn abandoned(&self) {
        self.counter("embedkit_requests_abandoned_total", Vec::new()).increment(1);
    }

    /// A request that begins, or ends.
    pub(crate) fn in_progress(&self, begins: bool) {
        let gauge = self.gauge("embedkit_requests_in_progress", Vec::new());
        if begins { gauge.increment(1.0) } else { gauge.decrement(1.0) }
    }

    /// Connections that are open.
    pub(crate) fn connections(&self, count: usize) {
        self.gauge("embedkit_connections", Vec::new()).set(as_f64(count));
    }

    /// Bytes of bodies in memory.
    pub(crate) fn bodies(&self, bytes: usize) {
        self.gauge("embedkit_bodies_bytes", Vec::new()).set(as_f64(bytes));
    }

    /// Time since the start.
    pub(crate) fn uptime(&self, time: Duration) {
        self.gauge("embedkit_uptime_seconds", Vec::new()).set(time.as_secs_f64());
    }

    /// State of a model.
    pub(crate) fn model(&self, name: &str, status: &Status, requests: usize, queued: [usize; 2]) {
        let of_model = || vec![label("model", name)];
        self.gauge("te_queue_size", of_model()).set(as_f64(requests));
        for (class, tokens) in ["interactive", "bulk"].into_iter().zip(queued) {
            let labels = vec![label("model", name), label("priority", class)];
            self.gauge("embedkit_queue_tokens", labels).set(as_f64(tokens));
        }
        let loaded = matches!(status, Status::Loaded(_));
        self.gauge("embedkit_model_loaded", of_model()).set(f64::from(u8::from(loaded)));
        if let Status::Loaded(loaded) = status {
            let seconds = loaded.took.as_secs_f64();
            self.gauge("embedkit_model_load_seconds", of_model()).set(seconds);
        }
    }
}

/// Names of the histograms of a phase.
struct Phase {
    of_request: &'static str,
    of_scores: &'static str,
    of_embeddings: &'static str,
}

/// The phases of a request with their times.
fn phases(account: &Account) -> [(Phase, Duration); 3] {
    let Phases { tokenization, queue, inference } = account.times;
    [
        (
            Phase {
                of_request: "te_request_tokenization_duration",
                of_scores: "te_predict_tokenization_duration",
                of_embeddings: "te_embed_tokenization_duration",
            },
            tokenization,
        ),
        (
            Phase {
                of_request: "te_request_queue_duration",
                of_scores: "te_predict_queue_duration",
                of_embeddings: "te_embed_queue_duration",
            },
            queue,
        ),
        (
            Phase {
                of_request: "te_request_inference_duration",
                of_scores: "te_predict_inference_duration",
                of_embeddings: "te_embed_inference_duration",
            },
            inference,
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a measurement")]
fn as_f64(number: usize) -> f64 {
    number as f64
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_known_names_with_its_model() {
        let metrics = Metrics::new();
        let account = Account {
            model: Some("a/model".into()),
            inputs: 3,
            tokens: 30,
            truncated: vec![1],
            times: Phases { queue: Duration::from_millis(4), ..Phases::default() },
            ..Account::default()
        };
        metrics.succeeded(&account, false, Duration::from_millis(5));
        metrics.failed(FailureKind::Overloaded);
        let text = metrics.render();
        for line in [
            r#"te_request_count{method="batch",model="a/model"} 1"#,
            r#"te_request_success{method="batch",model="a/model"} 1"#,
            r#"te_embed_count{model="a/model"} 3"#,
            r#"te_embed_success{model="a/model"} 3"#,
            r#"te_request_failure{err="overloaded"} 1"#,
            r#"te_request_duration_count{method="batch",model="a/model"} 1"#,
            r#"te_request_queue_duration_sum{method="batch",model="a/model"} 0.004"#,
            r#"te_embed_tokenization_duration_count{model="a/model"} 1"#,
            r#"te_request_input_length_sum{model="a/model"} 10"#,
            r#"embedkit_tokens_total{model="a/model"} 30"#,
            r#"embedkit_truncated_inputs_total{model="a/model"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let buckets = text.lines().filter(|line| line.starts_with("te_request_duration_bucket"));
        assert_eq!(buckets.count(), 36);
    }
}
