//! A kernel's panic becomes an error of the run, on one thread and on several.

use ort::operator::{Operator, OperatorDomain};
use ort::value::{Tensor, TensorElementType::Float32};

use super::{Call, DOMAIN, Definition, for_each};

/// An operator with a number of parts, the last of which panics.
fn panics(parts: usize) -> impl Operator {
    Definition {
        name: "Panics",
        inputs: vec![Float32],
        input_names: vec!["x"],
        outputs: vec![Float32],
        compute: Some(move |call: &Call<'_>| {
            for_each(call, (0..parts).collect(), |&mut part| {
                assert!(part + 1 < parts, "part {part} is\0broken");
            })
        }),
    }
}

fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(body.len()).unwrap()], body].concat()
}

/// A graph of one node, `Panics`, from `x` to `y`.
fn graph() -> Vec<u8> {
    let port = |name: &[u8]| {
        let shape = field(2, &field(1, &field(2, b"n")));
        [field(1, name), field(2, &field(1, &[vec![8, 1], shape].concat()))].concat()
    };
    let node = [field(1, b"x"), field(2, b"y"), field(4, b"Panics"), field(7, DOMAIN.as_bytes())];
    let graph =
        [field(1, &node.concat()), field(2, b"g"), field(11, &port(b"x")), field(12, &port(b"y"))];
    let own = [field(1, DOMAIN.as_bytes()), vec![16, 1]].concat();
    [vec![8, 8], field(7, &graph.concat()), field(8, &[16, 17]), field(8, &own)].concat()
}

#[test]
fn a_panic_is_an_error_of_the_run() {
    let Some(library) = embedkit_testkit::runtime_library() else { return };
    let (environment, _) = crate::runtime::environment(Some(&library), None).unwrap();
    for parts in [1, 9] {
        let domain = OperatorDomain::new(DOMAIN).unwrap().add(panics(parts)).unwrap();
        let builder = ort::session::Session::builder(&environment).unwrap();
        let builder = builder.with_intra_threads(3).unwrap().with_operators(domain);
        let mut session = builder.unwrap().commit_from_memory(&graph()).unwrap();
        let x = Tensor::from_array(([2usize], vec![1f32, 2.0])).unwrap();
        let error = session.run(ort::inputs!["x" => x]).unwrap_err().to_string();
        let expected = format!("it panicked: part {} is broken", parts - 1);
        assert!(error.contains("Panics: ") && error.contains(&expected), "{error}");
    }
}
