//! A server of tiny models, and requests to it.

use std::{fs, path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use embedkit::{
    LoadOptions, Model, ModelSpec, Options, Outputs, Task,
    types::{GraphOutput, HybridHeads, TextHybrid},
};
use embedkit_server::{App, Config, ServedModel, router};
use embedkit_testkit::{
    DenseCase, dense_case, image_case, late_case, load_options, rerank_case, runtime_library,
    sparse_case,
};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt as _;

pub(crate) const DENSE: &str = "tiny/dense";
pub(crate) const SPARSE: &str = "tiny/sparse";
pub(crate) const LATE: &str = "tiny/late";
pub(crate) const RERANKER: &str = "tiny/reranker";
pub(crate) const IMAGE: &str = "tiny/image";
pub(crate) const HYBRID: &str = "tiny/hybrid";
pub(crate) const BM25: &str = "Qdrant/bm25";

/// Options of tiny models; `None` without the library that runs graphs.
pub(crate) fn load() -> Option<LoadOptions> {
    Some(LoadOptions { onnxruntime: Some(runtime_library()?), ..load_options() })
}

/// A model of a case, under a name of ours.
pub(crate) fn served(name: &str, spec: &ModelSpec, dir: &Path) -> Option<ServedModel> {
    let builder = Model::builder_for([spec.clone()]).unwrap().dir(dir);
    Some(ServedModel { options: Options::from(load()?), ..ServedModel::new(name, builder) })
}

/// Models of all kinds, the dense one first.
pub(crate) fn all_models() -> Option<Vec<ServedModel>> {
    let dense = dense_case("mean-normalized");
    let sparse = sparse_case("splade");
    let late = late_case("colbert");
    let reranker = rerank_case("one-label");
    let image = image_case("clip");
    Some(vec![
        served(DENSE, &dense.spec, &dense.dir)?,
        served(SPARSE, &sparse.spec, &sparse.dir)?,
        served(LATE, &late.spec, &late.dir)?,
        served(RERANKER, &reranker.spec, &reranker.dir)?,
        served(IMAGE, &image.spec, &image.dir)?,
        ServedModel::named(BM25).unwrap(),
    ])
}

/// Results of the hybrid model, from another implementation.
#[derive(Deserialize)]
pub(crate) struct HybridGolden {
    pub(crate) texts: Vec<String>,
    pub(crate) embeddings: Vec<HybridExpected>,
}

#[derive(Deserialize)]
pub(crate) struct HybridExpected {
    pub(crate) dense: Vec<f32>,
    pub(crate) sparse: Vec<(u32, f32)>,
    pub(crate) multi_vector: Vec<Vec<f32>>,
}

/// A model of three embeddings in one pass, of which some are given, and its results.
pub(crate) fn hybrid(outputs: Option<Outputs>) -> Option<(ServedModel, HybridGolden)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hybrid/tests/data/outputs");
    let named = |name: &str| GraphOutput::Name(name.to_owned().into());
    let heads = HybridHeads::Outputs {
        dense: named("dense_vecs"),
        sparse: Some(named("sparse_vecs")),
        multi_vector: Some(named("colbert_vecs")),
    };
    let skip_tokens = ["<s>", "<pad>", "</s>", "<unk>"].map(Into::into).to_vec().into();
    let spec = ModelSpec {
        id: "me/three-heads".into(),
        file: "model.onnx".into(),
        task: Task::TextHybrid(TextHybrid { dim: 8, heads, skip_tokens }),
        ..ModelSpec::DEFAULT
    };
    let mut model = served(HYBRID, &spec, &dir)?;
    model.options.outputs = outputs;
    let golden = fs::read(dir.join("expected.json")).unwrap();
    Some((model, serde_json::from_slice(&golden).unwrap()))
}

/// The dense model that is served, opened by the library itself.
pub(crate) fn dense() -> Option<Model> {
    let DenseCase { spec, dir, .. } = dense_case("mean-normalized");
    let builder = Model::builder_for([spec]).unwrap().dir(dir).options(load()?);
    Some(builder.open().unwrap())
}

/// A server of all models.
pub(crate) fn server() -> Option<Server> {
    Some(Server::new(Config { models: all_models()?, ..Config::default() }))
}

/// The server's routes without a socket.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) app: App,
    router: Router,
}

impl Server {
    pub(crate) fn new(config: Config) -> Self {
        let app = App::new(config).unwrap();
        let router = router(&app).unwrap();
        Self { app, router }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, body, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// A request that has to be answered with results.
    #[track_caller]
    pub(crate) fn ok<'a>(
        &'a self,
        path: &'a str,
        body: &'a Value,
    ) -> impl Future<Output = Value> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let reply = self.post(path, body).await;
            assert_eq!(reply.status, StatusCode::OK, "{place}: {path}: {}", reply.body);
            reply.body
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn method(&self, method: Method, path: &str) -> Reply {
        let request = Request::builder().method(method).uri(path);
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

/// An answer; a body that is no JSON is a string.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Numbers of a JSON list.
pub(crate) fn numbers(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Lists of numbers.
pub(crate) fn rows(value: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(value.clone()).unwrap()
}

/// A dense model whose graph never ends for texts above [`FAULT_TOKENS`](embedkit_testkit::FAULT_TOKENS) tokens.
/// Its folder has to live as long.
pub(crate) fn endless(load: LoadOptions) -> (ServedModel, Arc<tempfile::TempDir>) {
    let case = dense_case("mean");
    let (dir, files) = case.copy();
    fs::copy(embedkit_testkit::fault("endless"), &files.model).unwrap();
    let builder = Model::builder_for([case.spec]).unwrap().dir(dir.path());
    let model = ServedModel { options: Options::from(load), ..ServedModel::new(DENSE, builder) };
    (model, Arc::new(dir))
}
