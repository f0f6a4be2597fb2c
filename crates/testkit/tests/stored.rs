//! The golden values of real models are readable and plausible.

use embedkit_testkit::{Stored, cosine, max_abs_diff, stored};

/// Every text of a normalised model has a vector of length 1, except texts without tokens.
fn assert_unit_length(stored: &Stored) {
    for (text, vector) in stored.texts.iter().zip(&stored.vectors) {
        let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let shown: String = text.chars().take(40).collect();
        assert!((norm - 1.0).abs() < 1e-5 || text.is_empty() && norm == 0.0, "{shown:?}: {norm}");
    }
}

#[test]
fn minilm_gives_the_published_vector() {
    let minilm = stored("minilm");
    assert_eq!((minilm.texts.len(), minilm.vectors[0].len()), (200, 384));
    assert_unit_length(&minilm);
    // FastEmbed's own test has these first components for this text.
    let published = [-0.034478, 0.03102, 0.00673, 0.02611, -0.039362];
    let place = minilm.texts.iter().position(|text| text == "hello world").expect("is there");
    assert!(max_abs_diff(&minilm.vectors[place][..5], &published) < 1e-5);
}

#[test]
fn the_texts_are_varied() {
    let minilm = stored("minilm");
    let has = |condition: &dyn Fn(&str) -> bool| minilm.texts.iter().any(|text| condition(text));
    assert!(has(&|text| text.is_empty()));
    assert!(has(&|text| text.chars().count() == 1));
    assert!(has(&|text| text.split(' ').count() > 10_000));
    assert!(has(&|text| text.contains('😀')));
    assert!(has(&|text| text.chars().any(|c| ('一'..='鿿').contains(&c))));
    assert!(has(&|text| text.chars().any(|c| ('\u{600}'..='\u{6ff}').contains(&c))));
    assert!(has(&|text| text.contains('\0')));
    assert_eq!(minilm.token_counts.iter().max(), Some(&512));
}

#[test]
fn int8_weights_stay_close_to_the_original() {
    let (minilm, int8) = (stored("minilm"), stored("minilm-int8"));
    assert_unit_length(&int8);
    for (text, vector) in int8.texts.iter().zip(&int8.vectors) {
        let place = minilm.texts.iter().position(|other| other == text).expect("has all texts");
        let cosine = cosine(vector, &minilm.vectors[place]);
        assert!(cosine > 0.99, "{text:.40}: {cosine}");
    }
}

#[test]
fn a_static_model_gives_zeros_for_no_token() {
    let model = stored("static-tokenlearn");
    assert_unit_length(&model);
    assert!(model.texts[0].is_empty() && model.vectors[0].iter().all(|x| *x == 0.0));
    assert_eq!(model.token_counts.iter().max(), Some(&512));
}
