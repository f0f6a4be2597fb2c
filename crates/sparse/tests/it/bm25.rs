//! BM25: tokens, stems, indices and weights of the original, to the last bit.

use std::collections::{BTreeSet, HashSet};

use embedkit_sparse::{Bm25, OptionError, SparseOptions, Stemmer, StopwordLists};
use embedkit_testkit::{Bm25Params, bm25_cases, bm25_unicode_digests};
use embedkit_types::{Bm25Config, Error, ErrorKind, SparseKind};

use crate::kind;

fn facts() -> &'static Bm25Config {
    match kind("Qdrant/bm25") {
        SparseKind::Bm25(facts) => facts,
        other => panic!("{}", other.name()),
    }
}

fn open(options: &SparseOptions) -> Result<Bm25, Error> {
    Bm25::new(facts(), options, StopwordLists::BuiltIn)
}

fn options(params: &Bm25Params) -> SparseOptions {
    let prefix = |word: &str| match word {
        word if word.starts_with('z') => String::new(),
        word => word.chars().take(4).collect(),
    };
    SparseOptions {
        k: Some(params.k),
        b: Some(params.b),
        avg_len: Some(params.avg_len),
        language: Some(params.language.clone()),
        token_max_length: Some(params.token_max_length),
        disable_stemmer: params.disable_stemmer,
        stopwords: params.stopwords.as_ref().map(|words| words.iter().cloned().collect()),
        stemmer: params.custom_stemmer.as_deref().map(|name| {
            assert_eq!(name, "prefix4");
            Stemmer::new(prefix)
        }),
        ..SparseOptions::default()
    }
}

#[test]
fn every_case_equals_the_original() {
    let cases = bm25_cases();
    assert_eq!(cases.len(), 214 + 216);
    for case in &cases {
        let id = &case.id;
        let bm25 = open(&options(&case.params)).unwrap();
        assert_eq!(bm25.tokens(&case.text), case.tokens, "{id}");
        assert_eq!(bm25.stems(&case.text), case.stems, "{id}");
        assert_eq!(bm25.token_count(&case.text), case.token_count, "{id}");

        // Twice: what was learned of words must not change anything.
        for _ in 0..2 {
            let (indices, values): (Vec<_>, Vec<_>) = bm25.weights(&case.text).into_iter().unzip();
            assert_eq!(indices, case.doc.indices, "{id}");
            let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&values), bits(&case.doc.values), "{id}: {values:?}");
        }
        let document = bm25.document(&case.text);
        let mut rounded: Vec<(u32, f32)> = case
            .doc
            .indices
            .iter()
            .copied()
            .zip(case.doc.values.iter().map(|&x| x as f32))
            .collect();
        rounded.sort_by_key(|&(index, _)| index);
        assert_eq!(document.iter().collect::<Vec<_>>(), rounded, "{id}");

        let query = bm25.query(&case.text);
        assert_eq!(query.indices(), case.query.indices_sorted, "{id}");
        assert!(query.values().iter().all(|&x| f64::from(x) == case.query.value), "{id}");
    }
}

#[test]
fn every_character_is_cut_and_lowered_as_by_the_original() {
    let bm25 = open(&SparseOptions::default()).unwrap();
    for (pattern, expected) in bm25_unicode_digests() {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let text = pattern.replace('?', c.encode_utf8(&mut [0; 4]));
            let line = bm25.tokens(&text).join(" ") + "\n";
            for byte in line.bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        assert_eq!(format!("{hash:016x}"), expected, "{pattern}");
    }
}

#[test]
fn of_stems_with_one_index_the_last_counts() {
    let bm25 = open(&SparseOptions { disable_stemmer: true, ..SparseOptions::default() }).unwrap();
    let alone = bm25.weights("kgjtb kgjtb x x x")[0].1;
    assert_eq!(bm25.weights("htfth x kgjtb kgjtb x")[0], (400_321_659, alone));
    let document = bm25.document("htfth x kgjtb kgjtb x");
    assert_eq!(document.len(), 2);
    assert_eq!(document.to_map()[&400_321_659], alone as f32);
    assert_eq!(bm25.query("htfth kgjtb").len(), 1);
    assert_eq!(bm25.query("bfjkywb2").indices(), [1 << 31]);
}

#[test]
fn lists_may_come_from_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("english.txt"), "fox\r\nquick\n").unwrap();
    let lists = StopwordLists::Folder(dir.path());
    let stems = |language: &str| {
        let options = SparseOptions { language: Some(language.into()), ..SparseOptions::default() };
        Bm25::new(facts(), &options, lists).unwrap().stems("the quick fox jumps")
    };
    assert_eq!(stems("english"), ["the", "jump"]);
    assert_eq!(stems("german"), ["the", "quick", "fox", "jumps"], "there is no list");
    assert_eq!(stems("tamil"), ["the", "quick", "fox", "jumps"]);
    std::fs::write(dir.path().join("french.txt"), b"\xff").unwrap();
    let options = SparseOptions { language: Some("french".into()), ..SparseOptions::default() };
    let error = Bm25::new(facts(), &options, lists).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
}

#[test]
fn languages_without_a_stemmer_need_a_switch() {
    let klingon = || SparseOptions { language: Some("klingon".into()), ..SparseOptions::default() };
    let error = open(&klingon()).unwrap_err();
    let Some(OptionError::UnknownLanguage { known, .. }) = error.downcast_ref() else {
        panic!("{error}")
    };
    assert_eq!(known.len(), 18);
    assert!(error.hint().unwrap().to_string().contains("disable_stemmer"));
    let capital = SparseOptions { language: Some("English".into()), ..SparseOptions::default() };
    assert_eq!(open(&capital).unwrap().stems("The foxes"), ["fox"]);
    let off = SparseOptions { disable_stemmer: true, ..klingon() };
    assert_eq!(open(&off).unwrap().stems("The foxes"), ["the", "foxes"]);
    let own = SparseOptions { stemmer: Some(Stemmer::new(str::to_uppercase)), ..klingon() };
    assert_eq!(open(&own).unwrap().stems("The foxes"), ["THE", "FOXES"]);
    let own_english = SparseOptions { language: None, ..own.clone() };
    assert_eq!(open(&own_english).unwrap().stems("The foxes"), ["FOXES"], "with English stopwords");
    let both = SparseOptions { disable_stemmer: true, ..own };
    let error = open(&both).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(OptionError::StemmerAndDisabled)), "{error}");
}

#[test]
fn numbers_out_of_range_are_refused() {
    let none = SparseOptions::default;
    for options in [
        SparseOptions { k: Some(-0.1), ..none() },
        SparseOptions { k: Some(f64::NAN), ..none() },
        SparseOptions { b: Some(1.01), ..none() },
        SparseOptions { avg_len: Some(0.0), ..none() },
        SparseOptions { avg_len: Some(f64::INFINITY), ..none() },
    ] {
        let error = open(&options).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(OptionError::Value { .. })), "{error}");
    }
}

#[test]
fn nothing_gives_an_empty_vector() {
    let bm25 = open(&SparseOptions::default()).unwrap();
    for text in ["", " \n", "the and of", "!!! … — _", "👩‍👩‍👧‍👦 😀", &"x".repeat(100_000)]
    {
        assert!(bm25.document(text).is_empty() && bm25.query(text).is_empty());
    }
}

#[test]
fn long_texts_and_words_are_no_trouble() {
    let bm25 = open(&SparseOptions::default()).unwrap();
    let long = format!("{} end", "word ".repeat(1_000_000));
    let document = bm25.document(&long);
    assert_eq!(document.len(), 2);
    assert_eq!(bm25.token_count(&long), 1_000_001);
    let marks = format!("{}end", "😀。\u{301}".repeat(500_000));
    assert_eq!(bm25.tokens(&marks), ["end"]);
    let different: String = (0..500_000).map(|i| format!("w{i} ")).collect();
    assert!(bm25.document(&different).len() > 499_000);
    assert_eq!(
        bm25.document("the quick fox"),
        bm25.document("quick fox"),
        "after forgetting words"
    );

    let options = SparseOptions { token_max_length: Some(usize::MAX), ..SparseOptions::default() };
    let bm25 = open(&options).unwrap();
    let word = "ing".repeat(33_334);
    assert_eq!(bm25.stems(&word).len(), 1);
    assert_eq!(bm25.document(&format!("{word} 世界{}", "界".repeat(100_000))).len(), 2);
}

#[test]
fn vectors_are_sorted_unique_and_finite_for_any_text() {
    let bm25 = open(&SparseOptions::default()).unwrap();
    let mut state = 11u64;
    let mut next = move |below: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u32 % below
    };
    for _ in 0..2000 {
        let text: String = (0..next(60))
            .map(|_| {
                char::from_u32(if next(2) == 0 { 32 + next(90) } else { next(0x2_0000) })
                    .unwrap_or(' ')
            })
            .collect();
        let document = bm25.document(&text);
        assert!(document.indices().is_sorted_by(|a, b| a < b), "{text:?}");
        assert!(document.values().iter().all(|x| x.is_finite() && *x > 0.0), "{text:?}");
        assert_eq!(document.indices(), bm25.query(&text).indices(), "{text:?}");
        let distinct: BTreeSet<_> = bm25.stems(&text).into_iter().collect();
        assert_eq!(document.len(), distinct.len(), "{text:?}");
    }
}

#[test]
fn stopwords_of_the_callers_own_ignore_case() {
    let words = HashSet::from(["Fox".to_owned(), "İ".to_owned()]);
    let options = SparseOptions { stopwords: Some(words), ..SparseOptions::default() };
    assert_eq!(open(&options).unwrap().stems("the FOX ran"), ["the", "ran"]);
}
