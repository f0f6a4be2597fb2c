//! Inputs that do not fit, lazy streams, clones, and ids.

use std::{
    iter,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake},
    thread,
};

use embedkit::{
    BatchOptions, Class, Embed, Embedded, Error, ErrorKind, Hint, Input, InputKind, LoadOptions,
    Model, ModelSpec, Options, Output, Pending, QueueOptions, Role, Task, TextEmbedding,
    types::Rerank,
};
use embedkit_testkit::dense_case;

use crate::{open, options};

fn dense() -> Option<Model> {
    let case = dense_case("mean-normalized");
    open(&case.spec, &case.dir)
}

#[test]
fn an_input_of_another_kind_is_an_error_in_its_place() {
    let Some(model) = dense() else { return };
    let inputs = [Input::from("a"), Input::pair("q", "a"), Input::pair("q", "b"), "c".into()];
    let results: Vec<_> = model.embed(Role::Raw, inputs).collect();
    assert_eq!(results.len(), 4);
    for index in [1, 2] {
        let error = results[index].as_ref().unwrap_err();
        let (kind, id) = (error.kind(), model.id());
        assert_eq!(kind, ErrorKind::InvalidInput);
        let message = format!("{id} takes texts, not pairs of a query and a document");
        assert_eq!(error.to_string(), message);
    }
    for (index, text) in [(0, "a"), (3, "c")] {
        let alone = model.embed_one(Role::Raw, text).unwrap();
        assert_eq!(results[index].as_ref().unwrap(), &alone);
    }
    assert!(
        model
            .rerank("q", ["a"])
            .unwrap_err()
            .to_string()
            .ends_with("not pairs of a query and a document")
    );
    assert!(model.open(InputKind::Image).is_err());
    model.open(InputKind::Text).unwrap();
}

#[test]
fn inputs_are_read_as_they_are_needed() {
    let Some(load) = options() else { return };
    let batch = BatchOptions { window: 16, ..BatchOptions::default() };
    let case = dense_case("mean");
    let options = LoadOptions { batch, ..load };
    let model = Model::builder_for([case.spec.clone()]).unwrap().dir(&case.dir).options(options);
    let model = model.open().unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let endless = {
        let read = Arc::clone(&read);
        iter::repeat_with(move || format!("text {}", read.fetch_add(1, Ordering::Relaxed)))
    };
    let mut stream = model.embed(Role::Raw, endless);
    assert_eq!(read.load(Ordering::Relaxed), 0);
    for _ in 0..40 {
        stream.next().unwrap().unwrap();
    }
    drop(stream); // the test would hang otherwise
    assert!(read.load(Ordering::Relaxed) <= 40 + 2 * 16 + 1, "{read:?}");
    model.query("another").unwrap();
}

#[test]
fn borrowed_inputs_live_as_long_as_the_stream() {
    let Some(model) = dense() else { return };
    let texts = vec![String::from("one"), String::from("two")];
    let stream = model.embed(Role::Raw, &texts);
    assert_eq!(stream.map(Result::unwrap).count(), 2);
    assert_eq!(texts.len(), 2);
}

#[test]
fn any_model_is_an_object_of_the_trait() {
    let Some(model) = dense() else { return };
    let object: Box<dyn Embed<Input = Input, Output = Output>> = Box::new(model.clone());
    let vectors = object.embed_batch(Role::Query, &[&Input::from("a")]).unwrap();
    assert_eq!(vectors, [model.query("a").unwrap()]);
    assert!(object.embed_batch(Role::Query, &[&Input::pair("a", "b")]).is_err());
}

#[test]
fn clones_on_several_threads_share_one_model() {
    let Some(model) = dense() else { return };
    let expected = model.query("a text").unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let model = model.clone();
            thread::spawn(move || model.query("a text").unwrap())
        })
        .collect();
    drop(model);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
}

#[test]
fn a_model_is_opened_once_and_its_failure_is_told_each_time() {
    let case = dense_case("mean");
    let (dir, files) = case.copy();
    std::fs::remove_file(&files.model).unwrap();
    let Some(options) = options() else { return };
    // Two descriptions: each is opened when it is needed.
    let task = Task::Rerank(Rerank::DEFAULT);
    let other = ModelSpec { id: "other".into(), task, ..case.spec.clone() };
    let builder = Model::builder_for([case.spec.clone(), other]).unwrap();
    let model = builder.dir(dir.path()).options(options).open().unwrap();
    let results: Vec<_> = model.embed(Role::Raw, ["a", "b"]).collect();
    assert_eq!(results.len(), 1, "the stream ends");
    assert!(results[0].is_err() && model.query("a").is_err());
    std::fs::copy(case.files().model, &files.model).unwrap();
    assert_eq!(model.embed(Role::Raw, ["a", "b"]).map(Result::unwrap).count(), 2);
}

#[test]
fn ids_that_cannot_be_opened_are_told_apart() {
    let unknown = Model::load("bge-small-en-v1.6", Options::default()).unwrap_err();
    assert!(unknown.to_string().contains("unknown model"), "{unknown}");
    let folder = Model::load(env!("CARGO_MANIFEST_DIR"), Options::default()).unwrap_err();
    assert!(folder.to_string().contains("no file says what the model does"), "{folder}");
    assert!(Model::builder_for([]).is_err());
    let other = TextEmbedding::load("Qdrant/bm25", LoadOptions::default()).unwrap_err();
    assert!(other.to_string().contains("not registered for text-dense"), "{other}");
}

#[test]
fn capabilities_are_known_before_anything_is_opened() {
    let builder = Model::builder("baai/BGE-small-en-v1.5").unwrap();
    let known = builder.capabilities().unwrap();
    assert_eq!((&*known.id, known.dim), ("BAAI/bge-small-en-v1.5", Some(384)));
    assert!(known.takes(InputKind::Text) && !known.takes(InputKind::Image) && !known.uses_roles);
}

#[test]
fn typed_models_share_their_inner_type() {
    let Some(options) = options() else { return };
    let case = dense_case("mean");
    let model = TextEmbedding::from_files(&case.spec, &case.files(), &options).unwrap();
    let one = model.query_embed_one("a").unwrap();
    let inner: embedkit::text_dense::TextEmbedding = model.clone().into_inner();
    assert_eq!(inner.query_embed_one("a").unwrap(), one);
    let ids: Vec<_> = TextEmbedding::supported_models().map(|spec| &*spec.id).collect();
    assert!(ids.contains(&embedkit::DEFAULT_MODEL) && !ids.contains(&"Qdrant/bm25"));
}

/// Takes all results as a task does that nothing but the model wakes.
fn polled(mut pending: Pending<Embedded<Output>>) -> Vec<Result<Embedded<Output>, Error>> {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut results = Vec::new();
    loop {
        match pending.poll_next(&mut context) {
            Poll::Ready(Some(result)) => results.push(result),
            Poll::Ready(None) => return results,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn submitted_inputs_give_the_results_of_embed() {
    let Some(model) = dense() else { return };
    let texts = || (0..40).map(|number| format!("text {number}"));
    let expected: Vec<_> = model.embed(Role::Document, texts()).collect::<Result<_, _>>().unwrap();
    for options in [QueueOptions::INTERACTIVE, QueueOptions::BULK] {
        let pending = model.submit(Role::Document, texts(), options).unwrap();
        assert_eq!(pending.len(), 40);
        assert_eq!(pending.collect::<Result<Vec<_>, _>>().unwrap(), expected);
        let pending = model.submit(Role::Document, texts(), options).unwrap();
        assert_eq!(polled(pending).into_iter().collect::<Result<Vec<_>, _>>().unwrap(), expected);
    }
    assert!(
        model.submit(Role::Raw, Vec::<Input>::new(), QueueOptions::BULK).unwrap().next().is_none()
    );
    let mixed = [Input::from("a"), Input::pair("a", "b")];
    let error = model.submit(Role::Raw, mixed, QueueOptions::BULK).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn time_is_measured_where_threads_of_the_model_work() {
    let Some(model) = dense() else { return };
    let texts = (0..40).map(|number| format!("text {number}"));
    let mut pending = model.submit(Role::Raw, texts, QueueOptions::BULK).unwrap();
    assert_eq!(pending.by_ref().filter(Result::is_ok).count(), 40);
    let spent = pending.spent().unwrap();
    assert!(!spent.preparing.is_zero() && !spent.running.is_zero(), "{spent:?}");
    let words = Model::builder("Qdrant/bm25").unwrap().open().unwrap();
    let mut pending = words.submit(Role::Raw, ["a text"], QueueOptions::BULK).unwrap();
    assert_eq!(pending.by_ref().count(), 1);
    assert_eq!(pending.spent(), None);
}

#[test]
fn a_full_queue_refuses_with_the_time_to_wait() {
    let Some(load) = options() else { return };
    let batch = BatchOptions { queue: Some(8), ..BatchOptions::default() };
    let case = dense_case("mean");
    let options = LoadOptions { batch, ..load };
    let model = Model::builder_for([case.spec.clone()]).unwrap().dir(&case.dir).options(options);
    let model = model.open().unwrap();
    // Each text counts, before it is split, by its bytes.
    let long = "word ".repeat(2000);
    let mut taken = Vec::new();
    let refused = loop {
        match model.submit(Role::Raw, [&long, &long], QueueOptions::INTERACTIVE) {
            Ok(pending) => taken.push(pending),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    assert!(matches!(refused.hint(), Some(Hint::RetryAfter(_))), "{refused:?}");
    assert!(model.depth(Class::Interactive).tokens > 0);
    drop(taken);
    let waits = QueueOptions { wait: true, ..QueueOptions::INTERACTIVE };
    assert_eq!(model.submit(Role::Raw, [&long], waits).unwrap().count(), 1);
}

#[test]
fn tokens_are_those_that_the_model_sees() {
    let Some(model) = dense() else { return };
    let text = "the quick brown fox";
    let tokens = model.tokenize(text, true).unwrap();
    assert_eq!(tokens.len(), model.embed_one(Role::Raw, text).unwrap().tokens);
    let limit = model.max_tokens().unwrap().unwrap();
    let long = "fox ".repeat(limit);
    assert!(model.tokenize(&long, true).unwrap().len() > limit);
    let seen = model.embed_one(Role::Raw, &*long).unwrap();
    assert_eq!((seen.tokens, seen.truncated), (limit, true));
    let ids: Vec<_> = tokens.iter().map(|token| token.id).collect();
    assert_eq!(model.decode(&ids, true).unwrap(), text);
}

#[test]
fn several_models_are_opened_at_once() {
    let Some(options) = options() else { return };
    let case = dense_case("mean");
    let start = Barrier::new(16);
    let open = || {
        start.wait();
        let model = Model::builder_for([case.spec.clone()]).unwrap().dir(&case.dir);
        model.options(options.clone()).open().unwrap().query("a").unwrap()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
        let vectors: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(vectors.iter().all(|vector| *vector == vectors[0]));
    });
}
