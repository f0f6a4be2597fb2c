//! `MaxSim` against the plain formula, in f64.

use std::num::NonZeroUsize;

use embedkit_late_interaction::{LateInteractionError, MaxSim, max_sim};
use embedkit_types::{MultiVector, scoring::Ranked};

use crate::Noise;

fn plain(query: &MultiVector, document: &MultiVector) -> f64 {
    let product = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>()
    };
    let best = |token: &[f32]| {
        document.rows().map(|row| product(token, row)).fold(f64::NEG_INFINITY, f64::max)
    };
    query.rows().map(best).sum()
}

#[test]
fn every_shape_equals_the_formula() {
    let mut noise = Noise(1);
    for width in [1, 2, 7, 16, 96, 128] {
        for tokens in [1, 2, 15, 16, 17, 31, 32, 33, 48, 70] {
            let query = noise.vectors(tokens, width);
            for rows in [1, 2, 3, 5, 6, 7, 11, 12, 13, 24, 41] {
                let document = noise.vectors(rows, width);
                let (found, expected) =
                    (max_sim(&query, &document).unwrap(), plain(&query, &document));
                let tolerance = 1e-6 * (tokens * width) as f64;
                assert!(
                    (f64::from(found) - expected).abs() < tolerance,
                    "{tokens}x{width} and {rows}: {found}, {expected}"
                );
            }
        }
    }
}

#[test]
fn scores_do_not_depend_on_company_or_threads() {
    let mut noise = Noise(2);
    // More than fits into one chunk, of any length, some without vectors.
    let documents: Vec<_> = (0..250).map(|i| noise.vectors(i * 7 % 90, 24)).collect();
    let queries: Vec<_> = (0..5).map(|i| noise.vectors(1 + i * 9, 24)).collect();
    let alone: Vec<Vec<f32>> = queries
        .iter()
        .map(|query| documents.iter().map(|one| max_sim(query, one).unwrap()).collect())
        .collect();
    for threads in [1, 2, 5] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let scorer = MaxSim::new(&documents).unwrap().with_threads(threads);
        assert_eq!(scorer.score_batch(&queries).unwrap(), alone);
        for (query, expected) in queries.iter().zip(&alone) {
            assert_eq!(&scorer.score(query).unwrap(), expected);
        }
    }
    let references: Vec<&MultiVector> = documents.iter().rev().collect();
    let reversed = MaxSim::new(&references).unwrap().score(&queries[3]).unwrap();
    assert!(reversed.iter().rev().eq(&alone[3]));
}

#[test]
fn the_best_come_first() {
    let mut noise = Noise(3);
    let mut documents: Vec<_> = (0..300).map(|_| noise.vectors(9, 8)).collect();
    documents[200] = documents[10].clone(); // an equal score
    documents[100] = MultiVector::new(vec![f32::NAN; 8], 8).unwrap();
    documents[50] = MultiVector::new(Vec::new(), 8).unwrap();
    let query = noise.vectors(5, 8);
    let scorer = MaxSim::new(&documents).unwrap();
    let scores = scorer.score(&query).unwrap();
    let all = scorer.top_k(&query, usize::MAX).unwrap();
    assert_eq!(all.len(), 300);
    assert!(all.iter().all(|one| one.score.to_bits() == scores[one.index].to_bits()));
    assert!(all[..299].windows(2).all(|pair| {
        let [a, b] = pair else { unreachable!() };
        a.score > b.score || a.score == b.score && a.index < b.index
    }));
    assert_eq!(all[298], Ranked { index: 50, score: f32::NEG_INFINITY });
    assert!(all[299].index == 100 && all[299].score.is_nan());
    let places: Vec<_> =
        [10, 200].iter().map(|&index| all.iter().position(|one| one.index == index)).collect();
    assert_eq!(places[0].unwrap() + 1, places[1].unwrap());
    for k in [0, 1, 7, 298] {
        assert_eq!(scorer.top_k(&query, k).unwrap(), all[..k]);
    }
}

#[test]
fn nan_shows_wherever_it_is() {
    let mut noise = Noise(4);
    for (tokens, rows) in [(1, 1), (17, 3), (32, 20), (5, 7)] {
        let (query, document) = (noise.vectors(tokens, 6), noise.vectors(rows, 6));
        let spoilt = |vectors: &MultiVector, place: usize| {
            let mut values = vectors.values().to_vec();
            values[place] = f32::NAN;
            MultiVector::new(values, 6).unwrap()
        };
        assert!(max_sim(&query, &document).unwrap().is_finite());
        for place in 0..rows * 6 {
            assert!(max_sim(&query, &spoilt(&document, place)).unwrap().is_nan(), "{place}");
        }
        for place in 0..tokens * 6 {
            assert!(max_sim(&spoilt(&query, place), &document).unwrap().is_nan(), "{place}");
        }
    }
    // Infinite products are numbers.
    let query = MultiVector::new(vec![1.0], 1).unwrap();
    let document = MultiVector::new(vec![3.0, f32::INFINITY, -f32::INFINITY], 1).unwrap();
    assert_eq!(max_sim(&query, &document).unwrap(), f32::INFINITY);
}

#[test]
fn nothing_is_scored_without_complaint() {
    let none = MultiVector::new(Vec::new(), 3).unwrap();
    let one = MultiVector::new(vec![1.0, 2.0, 3.0], 3).unwrap();
    assert_eq!(max_sim(&none, &one).unwrap(), 0.0);
    assert_eq!(max_sim(&one, &none).unwrap(), f32::NEG_INFINITY);
    assert_eq!(max_sim(&none, &none).unwrap(), 0.0);
    let documents: [MultiVector; 0] = [];
    let scorer = MaxSim::new(&documents).unwrap();
    assert!(scorer.score(&one).unwrap().is_empty());
    assert!(scorer.top_k(&one, 3).unwrap().is_empty());
    let scores = scorer.score_batch(&[one.clone(), none.clone()]).unwrap();
    assert_eq!(scores, [Vec::<f32>::new(), Vec::new()]);
    let documents = [one, none];
    let queries: [MultiVector; 0] = [];
    assert!(MaxSim::new(&documents).unwrap().score_batch(&queries).unwrap().is_empty());
}

#[test]
fn other_dimensions_are_refused() {
    let mut noise = Noise(5);
    let (narrow, wide) = (noise.vectors(2, 3), noise.vectors(2, 4));
    let error = max_sim(&narrow, &wide).unwrap_err();
    let Some(LateInteractionError::Dim { expected: 3, found: 4, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!(error.to_string(), "the vectors of the document: expected dimension 3, got 4");
    let mixed = [narrow.clone(), narrow.clone(), wide.clone()];
    let error = MaxSim::new(&mixed).unwrap_err();
    assert!(error.to_string().contains("document 2"), "{error}");
    let scorer = MaxSim::new(&mixed[..2]).unwrap();
    assert!(scorer.score(&wide).unwrap_err().to_string().contains("the query"));
    assert!(scorer.top_k(&wide, 1).is_err());
    let error = scorer.score_batch(&[&narrow, &wide]).unwrap_err();
    assert!(error.to_string().contains("query 1"), "{error}");
}
