//! Token pooling against SciPy, and at its edges.

use embedkit_late_interaction::{LateInteractionError as Late, pool_tokens};
use embedkit_testkit::{assert_rows_close, pooling_cases};
use embedkit_types::MultiVector;

use crate::Noise;

#[test]
fn clusters_are_those_of_scipy() {
    let cases = pooling_cases();
    for case in &cases {
        println!("{}", case.name);
        let width = case.vectors[0].len();
        let vectors = MultiVector::new(case.vectors.concat(), width).unwrap();
        let pooled = pool_tokens(&vectors, case.factor).unwrap();
        let rows: Vec<_> = pooled.rows().map(<[f32]>::to_vec).collect();
        let expected: Vec<_> = case.pooled.iter().cloned().map(Some).collect();
        assert_rows_close(&rows, &expected, 2e-6);
    }
    assert!(cases.len() > 10);
}

#[test]
fn factor_one_changes_nothing() {
    let vectors = Noise(6).vectors(20, 5);
    assert_eq!(pool_tokens(&vectors, 1.0).unwrap(), vectors);
    let zeros = MultiVector::new(vec![0.0; 6], 3).unwrap();
    assert_eq!(pool_tokens(&zeros, 1.0).unwrap(), zeros);
}

#[test]
fn lengths_are_as_asked_for() {
    let vectors = Noise(7).vectors(100, 16);
    for (factor, expected) in [(1.5, 67), (2.0, 50), (3.0, 34), (99.0, 2), (100.0, 1), (1e300, 1)] {
        let pooled = pool_tokens(&vectors, factor).unwrap();
        assert_eq!((pooled.len(), pooled.dim()), (expected, 16), "{factor}");
        for row in pooled.rows() {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((norm - 1.0).abs() < 1e-6, "{norm}");
        }
    }
}

#[test]
fn few_vectors_are_vectors_too() {
    let none = MultiVector::new(Vec::new(), 4).unwrap();
    assert_eq!(pool_tokens(&none, 2.0).unwrap(), none);
    let one = MultiVector::new(vec![3.0, 4.0], 2).unwrap();
    assert_eq!(pool_tokens(&one, 2.0).unwrap().values(), [0.6, 0.8]);
    let opposite = MultiVector::new(vec![1.0, 0.0, -1.0, 0.0], 2).unwrap();
    assert_eq!(pool_tokens(&opposite, 2.0).unwrap().values(), [0.0, 0.0]);
}

#[test]
fn factors_below_one_are_refused() {
    let vectors = Noise(8).vectors(3, 2);
    for factor in [0.0, -1.0, 0.999, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = pool_tokens(&vectors, factor).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Late::PoolFactor { .. })), "{factor}: {error}");
    }
}

#[test]
fn vectors_without_direction_are_refused() {
    for bad in [0.0, f32::NAN, f32::INFINITY] {
        let vectors = MultiVector::new(vec![1.0, 2.0, bad, bad, 0.5, 0.5], 2).unwrap();
        let error = pool_tokens(&vectors, 2.0).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Late::NoDirection { index: 1 })), "{error}");
    }
    // The smallest and the largest numbers have one.
    let vectors = MultiVector::new(vec![1e-45, 0.0, f32::MAX, f32::MAX], 2).unwrap();
    assert_eq!(pool_tokens(&vectors, 1.5).unwrap().len(), 2);
}
