//! The SQL functions give what the library gives, which is compared with the original.

use crate::support::{
    list_of_vectors, model_with_fault, register, rows, session, tiny, vectors, with_options,
};
use datafusion::{
    arrow::{
        array::{Array, AsArray},
        datatypes::{DataType, Float32Type, UInt32Type},
    },
    error::DataFusionError,
};
use embedkit::{
    MultiVector, Role,
    late_interaction::max_sim,
    postprocess::{Form, Muvera, MuveraOptions},
};
use embedkit_datafusion::{FunctionOptions, ModelCalls, Models, config, embedded};
use embedkit_testkit::{
    Bm25Params, Expected, assert_close, bm25_cases, dense_case, late_case, rerank_case, sparse_case,
};

#[tokio::test]
async fn dense_vectors_are_those_of_the_original() {
    for name in ["mean-normalized", "cls", "last-token-left", "half-mean-normalized"] {
        let case = dense_case(name);
        let Some((session, _)) = session(vec![tiny(&case)]) else { return };
        // An empty text of a special token's own is left to the library's tests.
        let texts: Vec<_> = case.golden.texts.iter().cloned().map(Some).collect();
        register(&session, &texts);
        for (role, argument) in
            [(Role::Raw, ""), (Role::Query, ", 'query'"), (Role::Document, ", 'passage'")]
        {
            let sql = format!("SELECT embed('{name}', text{argument}) FROM docs ORDER BY id");
            let batch = rows(&session, &sql).await;
            let found = vectors(batch.column(0));
            let Expected::Vectors(expected) = case.expected(role) else {
                panic!("{name} has vectors")
            };
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                if let Some(expected) = expected {
                    assert_close(found.as_ref().expect("a vector"), &expected, case.tolerance());
                }
            }
        }
    }
}

#[tokio::test]
async fn json_lines_are_read_under_all_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let session = embedded(&Models::new(FunctionOptions::default()), config()).unwrap();
    for extension in ["json", "jsonl", "ndjson"] {
        let path = dir.path().join("texts").with_extension(extension);
        std::fs::write(&path, "{\"text\": \"snails are slow\"}\n{\"text\": \"so am I\"}\n")
            .unwrap();
        let sql = format!("SELECT bm25(text) FROM '{}'", path.display());
        assert_eq!(rows(&session, &sql).await.num_rows(), 2, "{extension}");
    }
}

#[tokio::test]
async fn sparse_vectors_are_those_of_the_original() {
    let case = sparse_case("splade");
    let Some((session, _)) = session(vec![tiny(&case)]) else { return };
    register(&session, &case.golden.texts.iter().cloned().map(Some).collect::<Vec<_>>());
    let batch = rows(&session, "SELECT sparse('splade', text) FROM docs ORDER BY id").await;
    let terms = batch.column(0).as_struct();
    for (row, expected) in case.golden.embed.iter().enumerate() {
        let indices = terms.column(0).as_list::<i32>().value(row);
        let values = terms.column(1).as_list::<i32>().value(row);
        let mut expected = expected.clone();
        expected.sort_by_key(|pair| pair.0);
        let (ids, weights): (Vec<_>, Vec<_>) =
            expected.iter().map(|&(id, weight)| (id, weight as f32)).unzip();
        assert_eq!(indices.as_primitive::<UInt32Type>().values()[..], ids, "{row}");
        assert_close(values.as_primitive::<Float32Type>().values(), &weights, 1e-4);
    }
}

#[tokio::test]
async fn bm25_is_that_of_the_original() {
    let (session, models) = with_options(FunctionOptions::default());
    let cases = bm25_cases();
    let is_default = |params: &Bm25Params| {
        let numbers = (params.k, params.b, params.avg_len, params.token_max_length);
        numbers == (1.2, 0.75, 256.0, 40)
            && params.language == "english"
            && !params.disable_stemmer
            && params.stopwords.is_none()
            && params.custom_stemmer.is_none()
    };
    let cases: Vec<_> = cases.iter().filter(|case| is_default(&case.params)).collect();
    assert!(cases.len() > 10, "{}", cases.len());
    register(&session, &cases.iter().map(|case| Some(case.text.clone())).collect::<Vec<_>>());
    let batch = rows(&session, "SELECT bm25(text) FROM docs ORDER BY id").await;
    let terms = batch.column(0).as_struct();
    for (row, case) in cases.iter().enumerate() {
        let indices = terms.column(0).as_list::<i32>().value(row);
        let weights = terms.column(1).as_list::<i32>().value(row);
        let pairs = case.doc.indices.iter().zip(&case.doc.values);
        let mut expected: Vec<_> = pairs.map(|(&index, &weight)| (index, weight as f32)).collect();
        expected.sort_by_key(|pair| pair.0);
        let (ids, values): (Vec<_>, Vec<_>) = expected.into_iter().unzip();
        assert_eq!(indices.as_primitive::<UInt32Type>().values()[..], ids, "{:?}", case.text);
        assert_eq!(weights.as_primitive::<Float32Type>().values()[..], values, "{:?}", case.text);
    }
    let calls = ModelCalls { model: "Qdrant/bm25".into(), texts: cases.len() as u64 };
    assert_eq!(models.calls(), [calls]);
}

#[tokio::test]
async fn bm25_takes_a_language() {
    let (session, _) = with_options(FunctionOptions::default());
    let sql = "SELECT bm25('die Katzen', 'german')['indices'] = bm25('Katze', 'german')['indices']";
    assert!(rows(&session, sql).await.column(0).as_boolean().value(0));
    let error = session.sql("SELECT bm25('a', 'klingon')").await.unwrap_err().to_string();
    assert!(error.to_lowercase().contains("klingon"), "{error}");
}

#[tokio::test]
async fn many_vectors_muvera_and_max_sim_are_those_of_the_library() {
    let case = late_case("colbert");
    let Some((session, _)) = session(vec![tiny(&case)]) else { return };
    register(&session, &case.golden.texts.iter().cloned().map(Some).collect::<Vec<_>>());
    let sql = "SELECT colbert('colbert', text, 'passage') AS d, colbert('colbert', 'a dog', 'query') AS q \
               FROM docs ORDER BY id";
    let batch = rows(&session, sql).await;
    let of = |column: usize, row: usize| {
        let vectors = batch.column(column).as_list::<i32>().value(row);
        let vectors = list_of_vectors(vectors.as_fixed_size_list());
        MultiVector::new(vectors.into_iter().flatten().flatten().collect(), 4).unwrap()
    };
    for (row, expected) in case.golden.embed.iter().enumerate() {
        let expected = expected.as_ref().expect("vectors of a text");
        assert_close(of(0, row).values(), &expected.concat(), 1e-4);
    }
    session.register_batch("late", batch.clone()).unwrap();
    let sql = "SELECT max_sim(q, d), muvera(d, 'k_sim=2,dim_proj=2,r_reps=3'), \
               muvera(q, 'k_sim=2,dim_proj=2,r_reps=3,form=query') FROM late";
    let results = rows(&session, sql).await;
    let scores = results.column(0).as_primitive::<Float32Type>();
    let options = MuveraOptions { k_sim: 2, dim_proj: 2, r_reps: 3, ..MuveraOptions::default() };
    let muvera = Muvera::new(4, options).unwrap();
    let (documents, queries) = (vectors(results.column(1)), vectors(results.column(2)));
    for row in 0..batch.num_rows() {
        let (document, query) = (of(0, row), of(1, row));
        assert_eq!(scores.value(row), max_sim(&query, &document).unwrap());
        for (found, vectors, form) in
            [(&documents[row], &document, Form::DOCUMENT), (&queries[row], &query, Form::QUERY)]
        {
            let expected = muvera.process(vectors, form).ok();
            let expected =
                expected.map(|exact| exact.iter().map(|&x| x as f32).collect::<Vec<_>>());
            assert_eq!(found, &expected, "{row}");
        }
    }
}

#[tokio::test]
async fn scores_are_those_of_the_original() {
    let case = rerank_case("one-label");
    let Some((session, _)) = session(vec![tiny(&case)]) else { return };
    register(&session, &case.golden.documents.iter().cloned().map(Some).collect::<Vec<_>>());
    let query = case.golden.query.replace('\'', "''");
    let sql = format!("SELECT rerank('one-label', '{query}', text) FROM docs ORDER BY id");
    let batch = rows(&session, &sql).await;
    let scores = batch.column(0).as_primitive::<Float32Type>();
    for (row, expected) in case.golden.rerank.iter().enumerate() {
        if let Some(expected) = expected {
            assert_close(&[scores.value(row)], &[*expected], 1e-4);
        }
    }
}

#[tokio::test]
async fn a_bad_row_is_null_and_its_neighbours_are_not() {
    let (_dir, spec) = model_with_fault();
    let model = format!("m={}", spec.display()).parse().unwrap();
    let Some((session, _)) = session(vec![model]) else { return };
    let mut texts: Vec<_> =
        embedkit_testkit::texts_with_a_long_one(17).into_iter().map(Some).collect();
    texts[5] = None;
    register(&session, &texts);
    let sql = "SELECT embed('m', text), embed_try('m', text) FROM docs ORDER BY id";
    let batch = rows(&session, sql).await;
    let (plain, tried) = (vectors(batch.column(0)), batch.column(1).as_struct());
    let errors = tried.column(1).as_string::<i32>();
    assert_eq!(plain.len(), texts.len());
    for (row, vector) in plain.iter().enumerate() {
        assert_eq!(vector.is_none(), row == 17 || row == 5, "{row}");
        assert_eq!(errors.is_valid(row), row == 17, "{row}");
        assert_eq!(tried.is_null(row), row == 5, "{row}");
    }
    assert_eq!(vectors(tried.column(0)), plain);
    assert!(!errors.value(17).is_empty());
    let tokens = tried.column(2).as_primitive::<UInt32Type>();
    assert!(tokens.value(0) > 2 && tokens.is_null(17));
}

#[tokio::test]
async fn a_model_that_fails_on_all_rows_is_an_io_error() {
    let (_dir, spec) = model_with_fault();
    let model = format!("m={}", spec.display()).parse().unwrap();
    let Some((session, _)) = session(vec![model]) else { return };
    register(&session, &vec![Some("the fox ".repeat(40)); 40]);
    let error = session
        .sql("SELECT embed('m', text) FROM docs")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap_err();
    assert!(matches!(error.find_root(), DataFusionError::IoError(_)), "{error}");
}

#[tokio::test]
async fn trouble_before_a_batch_is_an_io_error() {
    let options = FunctionOptions {
        before_batch: Some(std::sync::Arc::new(|model, texts| {
            Err(std::io::Error::other(format!("no quota for {texts} texts of {model}")))
        })),
        ..FunctionOptions::default()
    };
    let (session, _) = with_options(options);
    register(&session, &[Some("a".to_owned())]);
    let error =
        session.sql("SELECT bm25(text) FROM docs").await.unwrap().collect().await.unwrap_err();
    assert!(matches!(error.find_root(), DataFusionError::IoError(_)), "{error}");
    assert!(error.to_string().contains("no quota for 1 texts of Qdrant/bm25"), "{error}");
}

#[tokio::test]
async fn mistakes_are_told_when_a_query_is_planned() {
    let load = embedkit::LoadOptions { offline: true, ..embedkit::LoadOptions::default() };
    let options = FunctionOptions { load, ..FunctionOptions::default() };
    let (session, models) = with_options(options);
    register(&session, &[Some("a".to_owned())]);
    for (sql, named) in [
        ("SELECT embed('BAAI/bge-smal-en-v1.5', text) FROM docs", "BAAI/bge-small-en-v1.5"),
        ("SELECT embed(text, text) FROM docs", "the same for all rows"),
        ("SELECT embed('BAAI/bge-small-en-v1.5', id) FROM docs", "Int64"),
        ("SELECT embed('BAAI/bge-small-en-v1.5') FROM docs", "embed"),
        ("SELECT embed('BAAI/bge-small-en-v1.5', text, 'title') FROM docs", "title"),
        ("SELECT sparse('BAAI/bge-small-en-v1.5', text) FROM docs", "gives one vector"),
        ("SELECT embed('Qdrant/bm25', text) FROM docs", "gives weighted terms"),
        ("SELECT rerank('BAAI/bge-small-en-v1.5', 'q', text) FROM docs", "pairs"),
        ("SELECT muvera(text) FROM docs", "takes many vectors"),
        ("SELECT max_sim(text, text) FROM docs", "takes many vectors"),
    ] {
        let error = match session.sql(sql).await {
            Err(error) => error,
            Ok(frame) => frame.create_physical_plan().await.map(drop).expect_err(sql),
        };
        assert!(error.to_string().contains(named), "{sql}: {error}");
    }
    let none: Vec<_> = models.calls().into_iter().filter(|calls| calls.texts > 0).collect();
    assert_eq!(none, [], "no model ran");
}

#[tokio::test]
async fn planning_needs_no_files_and_runs_no_model() {
    let (session, models) = with_options(FunctionOptions::default());
    let sql = "SELECT embed('BAAI/bge-small-en-v1.5', 'a constant') AS v";
    let frame = session.sql(sql).await.unwrap();
    let plan = frame.clone().create_physical_plan().await.unwrap();
    let kind = plan.schema().field(0).data_type().clone();
    assert!(matches!(kind, DataType::FixedSizeList(_, 384)), "{kind}");
    assert!(models.calls().iter().all(|calls| calls.texts == 0));
}

#[tokio::test]
async fn a_model_is_opened_once_for_all_partitions() {
    let case = dense_case("mean-normalized");
    let Some((session, models)) = session(vec![tiny(&case)]) else { return };
    let texts: Vec<_> = crate::support::texts(0, 3000).into_iter().map(Some).collect();
    drop(session);
    let settings = config().with_target_partitions(4).with_batch_size(64);
    let session = embedded(&models, settings).unwrap();
    register(&session, &texts);
    let sql = "SELECT id, embed('mean-normalized', text) FROM docs WHERE id % 2 = 0";
    assert_eq!(rows(&session, sql).await.num_rows(), 1500);
    let calls = ModelCalls { model: "mean-normalized".into(), texts: 1500 };
    assert_eq!(models.calls(), [calls]);
}
