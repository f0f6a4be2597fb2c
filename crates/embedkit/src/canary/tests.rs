//! A second device that is not there: a model that says it is on one, with the numbers of the CPU or others.

use std::{
    cell::Cell,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use embedkit_core::pipeline::{Class, Depth, QueueOptions};
use embedkit_types::{Embedded, Image, Rerank, Task, TextDense, Token};

use super::*;
use crate::model::backend::{Inputs, Outputs, SubmitResult};

/// A model whose vectors are hashes of its inputs, and that changes them as a broken device would.
#[derive(Debug)]
struct Fake {
    device: &'static str,
    /// Changes the component at the index of a vector in a batch of so many.
    change: fn(f32, usize, usize) -> f32,
    runs: AtomicUsize,
}

impl Fake {
    fn on(device: &'static str, change: fn(f32, usize, usize) -> f32) -> Self {
        Self { device, change, runs: AtomicUsize::new(0) }
    }

    fn right(device: &'static str) -> Self {
        Self::on(device, |number, _, _| number)
    }
}

fn vector(input: &Input) -> Vec<f32> {
    let text = format!("{input:?}");
    let sum = |seed: u32| {
        text.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
    };
    (1..9).map(|seed| sum(seed) as f32 / u32::MAX as f32 - 0.5).collect()
}

impl Backend for Fake {
    fn embed<'a>(&self, _: Role, inputs: Inputs<'a>) -> Outputs<'a> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let inputs: Vec<_> = inputs.collect();
        let (count, change) = (inputs.len(), self.change);
        Box::new(inputs.into_iter().map(move |input| {
            let numbers = vector(&input).into_iter().enumerate();
            let numbers: Vec<_> = numbers.map(|(at, number)| change(number, at, count)).collect();
            let value = match input {
                Input::Pair { .. } => Output::Score(numbers[0] * 1e-6),
                _ => Output::Dense(numbers),
            };
            Ok(Embedded { value, tokens: 1, truncated: false })
        }))
    }

    fn submit(&self, _: Role, _: Vec<Input>, _: QueueOptions) -> SubmitResult {
        Err(Error::new(ErrorKind::Internal, "a check has no use for the queue"))
    }

    fn depth(&self, _: Class) -> Depth {
        Depth::default()
    }

    fn token_count(&self, _: Role, _: &Input) -> Result<usize, Error> {
        Ok(1)
    }

    fn tokenize(&self, _: &str, _: bool) -> Result<Vec<Token>, Error> {
        Ok(Vec::new())
    }

    fn decode(&self, _: &[u32], _: bool) -> Result<String, Error> {
        Ok(String::new())
    }

    fn max_tokens(&self) -> Option<usize> {
        None
    }

    fn dim(&self) -> Option<usize> {
        Some(8)
    }

    fn device(&self) -> Result<&str, Error> {
        Ok(self.device)
    }
}

fn spec(task: Task) -> ModelSpec {
    ModelSpec { id: "me/model".into(), task, ..ModelSpec::DEFAULT }
}

fn dense() -> ModelSpec {
    spec(Task::TextDense(TextDense { dim: 8, ..TextDense::DEFAULT }))
}

fn options(cache: &Path) -> LoadOptions {
    LoadOptions { cache_dir: Some(cache.to_owned()), ..LoadOptions::default() }
}

/// Checks a model; `true` where the CPU was opened.
fn run(model: &Fake, spec: &ModelSpec, options: &LoadOptions) -> (Result<(), Error>, bool) {
    let opened = Cell::new(false);
    let subject = Subject { spec, files: None, options };
    let result = check(model, subject, |options| {
        assert_eq!(options.device, Device::Cpu);
        opened.set(true);
        Ok(Fake::right(CPU))
    });
    (result, opened.get())
}

#[test]
fn a_right_device_is_checked_once() {
    let cache = tempfile::tempdir().unwrap();
    let options = options(cache.path());
    let rounded = Fake::on("fake:0", |number, at, _| number * (1.0 + 1e-3 * (at as f32 - 4.0)));
    let (result, opened) = run(&rounded, &dense(), &options);
    result.unwrap();
    assert!(opened);
    let runs = rounded.runs.load(Ordering::Relaxed);
    let (result, opened) = run(&rounded, &dense(), &options);
    result.unwrap();
    assert!(!opened, "the record is in the cache");
    assert_eq!(rounded.runs.load(Ordering::Relaxed), runs);
    // Other devices, models and settings of the provider are checked by themselves.
    assert!(run(&Fake::right("fake:1"), &dense(), &options).1);
    assert!(run(&rounded, &ModelSpec { id: "me/other".into(), ..dense() }, &options).1);
    let other =
        LoadOptions { provider_options: vec![("use_tf32".into(), "0".into())], ..options.clone() };
    assert!(run(&rounded, &dense(), &other).1);
    // What is damaged is no record.
    for file in std::fs::read_dir(cache.path().join("devices")).unwrap() {
        std::fs::write(file.unwrap().path(), "{}").unwrap();
    }
    assert!(run(&rounded, &dense(), &options).1);
}

#[test]
fn wrong_numbers_are_told_each_time() {
    let cache = tempfile::tempdir().unwrap();
    let options = options(cache.path());
    let component: fn(f32, usize, usize) -> f32 =
        |number, at, _| if at == 3 { number + 0.2 } else { number };
    let nan: fn(f32, usize, usize) -> f32 = |number, at, _| if at == 5 { f32::NAN } else { number };
    let batch: fn(f32, usize, usize) -> f32 =
        |number, _, count| if count > 1 { number * 0.5 } else { number };
    for (change, from, at) in [
        (component, Reference::Cpu, "component 3 of input"),
        (nan, Reference::Cpu, "component 5 of input 0"),
        (batch, Reference::Alone, "of input"),
    ] {
        for _ in 0..2 {
            let (result, _) = run(&Fake::on("fake:0", change), &dense(), &options);
            let error = result.unwrap_err();
            let Some(CanaryError::Deviates { device, reference, deviation, .. }) =
                error.downcast_ref()
            else {
                panic!("{error}")
            };
            assert_eq!((&**device, *reference), ("fake:0", from), "{error}");
            assert!(deviation.place.as_ref().unwrap().contains(at), "{deviation:?}");
            assert_eq!(error.kind(), ErrorKind::Device);
            assert!(error.to_string().contains("me/model"), "{error}");
            assert!(error.hint().unwrap().to_string().contains("use the CPU"));
        }
    }
    assert!(!cache.path().join("devices").exists());
}

#[test]
fn known_results_stand_in_for_the_cpu() {
    let known = |first: f32| Canonical {
        texts: vec!["hello".into()].into(),
        vectors: vec![vec![first].into()].into(),
        tolerance: 1e-3,
    };
    let right = vector(&Input::from("hello"))[0];
    let cache = tempfile::tempdir().unwrap();
    let options = options(cache.path());
    let spec = |first| ModelSpec { canonical: Some(known(first)), ..dense() };
    let (result, opened) = run(&Fake::right("fake:0"), &spec(right), &options);
    result.unwrap();
    assert!(!opened);
    let other = ModelSpec { id: "me/other".into(), ..spec(right + 0.3) };
    let error = run(&Fake::right("fake:0"), &other, &options).0.unwrap_err();
    assert!(error.to_string().contains("the known ones"), "{error}");
    // Vectors that are cut are not the model's own.
    let cut = LoadOptions { dim: Some(4), ..options };
    let third = ModelSpec { id: "me/third".into(), ..spec(right + 0.3) };
    let (result, opened) = run(&Fake::right("fake:0"), &third, &cut);
    result.unwrap();
    assert!(opened);
}

#[test]
fn pairs_and_images_are_checked_too() {
    let cache = tempfile::tempdir().unwrap();
    let options = options(cache.path());
    let rerank = spec(Task::Rerank(Rerank::DEFAULT));
    // Scores near 0 may differ by more than a part of themselves.
    let (result, opened) = run(&Fake::on("fake:0", |score, _, _| score * 9.0), &rerank, &options);
    result.unwrap();
    assert!(opened);
    let far = Fake::on("fake:0", |score, _, count| if count > 1 { score } else { score + 3e5 });
    let far_off = ModelSpec { id: "me/far".into(), ..rerank };
    assert!(run(&far, &far_off, &options).0.is_err());
    if cfg!(feature = "image-preprocess") {
        let image = ModelSpec { id: "me/image".into(), ..spec(Task::Image(Image::DEFAULT)) };
        let (result, opened) = run(&Fake::right("fake:0"), &image, &options);
        result.unwrap();
        assert!(opened);
        let wrong = Fake::on("fake:1", |number, _, _| -number);
        assert!(run(&wrong, &image, &options).0.is_err());
    }
}

#[test]
fn nothing_is_compared_on_the_cpu_or_where_it_is_switched_off() {
    let cache = tempfile::tempdir().unwrap();
    let options = options(cache.path());
    let wrong = || Fake::on("fake:0", |number, _, _| -number);
    let quiet = |model: &Fake, options: &LoadOptions| {
        let (result, opened) = run(model, &dense(), options);
        result.unwrap();
        assert!(!opened);
        assert_eq!(model.runs.load(Ordering::Relaxed), 0);
    };
    quiet(&Fake::on(CPU, |number, _, _| -number), &options);
    quiet(&wrong(), &LoadOptions { skip_canary: true, ..options.clone() });
    quiet(&wrong(), &LoadOptions { lazy: true, ..options.clone() });
    quiet(&wrong(), &LoadOptions { device: Device::Cpu, ..options.clone() });
    let values = [
        (None, true),
        (Some(""), true),
        (Some("0"), true),
        (Some("1"), false),
        (Some("Yes"), false),
    ];
    for (value, wanted) in values {
        assert_eq!(is_wanted(&options, value.map(OsStr::new)), wanted, "{value:?}");
    }
}

#[test]
fn a_cpu_that_cannot_open_the_model_is_no_obstacle() {
    let cache = tempfile::tempdir().unwrap();
    let (spec, options) = (dense(), options(cache.path()));
    let subject = Subject { spec: &spec, files: None, options: &options };
    let no_cpu = |_: &LoadOptions| Err(Error::new(ErrorKind::Unsupported, "no such operator"));
    check(&Fake::right("fake:0"), subject, no_cpu).unwrap();
    assert!(!cache.path().join("devices").exists(), "nothing was compared, nothing is recorded");
}
