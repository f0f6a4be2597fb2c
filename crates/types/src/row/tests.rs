//! Rows that are right and rows that are wrong.

use super::*;
use crate::{Activation, DenseLayer, LateText, ModelFile, Pooling, Rerank, SpladeConfig};

const DENSE: &str = r#"
    id = "me/my-model"
    source = { repo = "me/my-model-onnx", revision = "v1" }
    file = "onnx/model.onnx"
    additional_files = ["onnx/model.onnx_data"]
    files = [
        { path = "onnx/model.onnx", size = 5, sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" },
        { path = "tokenizer.json", size = 0, sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    ]
    license = "mit"
    size_gb = 0.067
    max_tokens = 512
    languages = ["English"]
    year = 2023
    prompts = { query = "query: " }
    task = "text-dense"
    dim = 384
    pooling = "cls"
    accept_pooled = true
    normalize = true
"#;

/// One row of each kind, with nothing that could be left out.
const LEAST: [&str; 15] = [
    "task = 'text-dense'\ndim = 8\npooling = 'none'\nnormalize = false",
    "task = 'text-dense'\ndim = 8\nencoder = 'static'",
    "task = 'sparse'\nkind = 'bm25'\nrequires_idf = true\nk = 1.2\nb = 0.75\navg_len = 256.0\n\
     language = 'english'\ntoken_max_length = 40",
    "task = 'sparse'\nkind = 'splade'\nrequires_idf = false",
    "task = 'sparse'\nkind = 'if-splade'\nrequires_idf = false\nidf_file = 'idf.json'",
    "task = 'sparse'\nkind = 'bm42'\nrequires_idf = true\nalpha = 0.5\nlanguage = 'english'\n\
     stopwords_file = 'stopwords.txt'",
    "task = 'sparse'\nkind = 'minicoil'\nrequires_idf = true\nk = 1.2\nb = 0.75\navg_len = 150.0\n\
     language = 'english'\nweights_file = 'w.npy'\nvocab_file = 'v.json'\n\
     stopwords_file = 'stopwords.txt'",
    "task = 'late-text'\ndim = 8\nnormalize = false\nnormalize_queries = false",
    "task = 'late-multimodal'\ndim = 8\nkind = 'colpali'\nimage_side = 448\nimage_token_id = 7\n\
     image_tokens = 1024\nimage_prompt_ids = [2]\ntext_augmentation = { token = 'x', times = 1 }",
    "task = 'late-multimodal'\ndim = 8\nkind = 'colmodernvbert'\nimage_prefix = 'a'\n\
     image_suffix = 'b'\nimage_token = 'c'\nframe_token = 'd'\nglobal_token = 'e'\n\
     text_augmentation = { token = 'x', times = 1 }",
    "task = 'image'\ndim = 8\npooling = 'flatten'\nnormalize = true",
    "task = 'sparse'\nkind = 'token-weights'\nrequires_idf = false",
    "task = 'rerank'\ntemplate = ['{query}', '{document}']\ntrue_token = 7",
    "task = 'text-hybrid'\ndim = 8\nsparse_head = { file = 'sparse.pt', dim = 1 }",
    "task = 'text-hybrid'\ndim = 8\nsparse_output = 1",
];

fn read(text: &str) -> Result<ModelSpec, String> {
    toml::from_str::<ModelFile>(text)
        .map(|file| file.model)
        .map_err(|error| error.message().to_owned())
}

fn least(row: &str) -> String {
    format!("id = 'me/my-model'\n{row}")
}

/// What is wrong with the dense row when `from` in it becomes `to`.
fn wrong(from: &str, to: &str) -> String {
    assert!(DENSE.contains(from), "{from}");
    read(&DENSE.replace(from, to)).expect_err("the row is wrong")
}

#[test]
fn a_full_row() {
    let spec = read(DENSE).unwrap();
    let expected = ModelSpec {
        id: "me/my-model".into(),
        source: Source {
            repo: Some("me/my-model-onnx".into()),
            revision: Some("v1".into()),
            url: None,
        },
        file: "onnx/model.onnx".into(),
        additional_files: vec!["onnx/model.onnx_data".into()].into(),
        files: vec![
            FileDigest {
                path: "onnx/model.onnx".into(),
                size: 5,
                sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".into(),
            },
            FileDigest {
                path: "tokenizer.json".into(),
                size: 0,
                sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
            },
        ]
        .into(),
        license: Some("mit".into()),
        size_gb: Some(0.067),
        max_tokens: Some(512),
        token_limit: std::num::NonZeroU32::new(512),
        languages: vec!["English".into()].into(),
        year: Some(2023),
        prompts: Some(ModelPrompts { query: Some("query: ".into()), ..ModelPrompts::default() }),
        task: Task::TextDense(TextDense {
            dim: 384,
            pooling: Pooling::Cls,
            accept_pooled: true,
            ..TextDense::DEFAULT
        }),
        ..ModelSpec::DEFAULT
    };
    assert_eq!(spec, expected);
    assert_eq!(spec.pinned("tokenizer.json"), Some(&spec.files[1]));
    assert_eq!(spec.pinned("config.json"), None);
}

#[test]
fn the_file_may_stand_in_the_source() {
    let inside = DENSE
        .replace("file = \"onnx/model.onnx\"", "")
        .replace("revision = \"v1\"", "revision = \"v1\", file = \"onnx/model.onnx\"");
    assert_eq!(read(&inside), read(DENSE));
    let both = wrong("revision = \"v1\"", "file = \"a.onnx\"");
    assert!(both.contains("given once, here or in `source`"), "{both}");
}

#[test]
fn every_field_that_a_kind_needs_is_asked_for() {
    for row in LEAST {
        read(&least(row)).unwrap_or_else(|error| panic!("{row}: {error}"));
        let fields: Vec<_> = row.lines().map(|line| line.split_once(" =").unwrap().0).collect();
        for field in fields
            .iter()
            .filter(|field| !["task", "encoder", "template", "sparse_output"].contains(field))
        {
            let others = row.lines().zip(&fields).filter(|(_, name)| *name != field);
            let without: Vec<_> = others.map(|(line, _)| line).collect();
            let error = read(&least(&without.join("\n"))).expect_err(field);
            let end = format!("field `{field}` is missing");
            assert!(error.starts_with("model \"me/my-model\", task "), "{row}: {error}");
            assert!(error.ends_with(&end), "{row}: {error}");
        }
    }
}

#[test]
fn a_field_of_another_task_is_an_error() {
    for (row, field) in [
        (LEAST[1], "pooling = 'mean'"),
        (LEAST[2], "output = 1"),
        (LEAST[3], "dim = 8"),
        (LEAST[4], "prompts = { query = 'q' }"),
        (LEAST[5], "k = 1.2"),
        (LEAST[7], "pooling = 'mean'"),
        (LEAST[8], "image_prefix = 'a'"),
        (LEAST[9], "image_side = 448"),
        (LEAST[10], "column = 1"),
    ] {
        let error = read(&least(&format!("{row}\n{field}"))).expect_err(field);
        let name = field.split(' ').next().unwrap();
        let task = read(&least(row)).unwrap().task.name();
        let expected = format!(
            "model \"me/my-model\", task {task}: field `{name}` has no meaning here, remove it"
        );
        assert_eq!(error, expected);
    }
    assert!(wrong("dim = 384", "dim = 384\nwidth = 384").contains("unknown field `width`"));
}

#[test]
fn values_are_checked() {
    for (from, to, field) in [
        ("dim = 384", "dim = 0", "dim"),
        ("dim = 384", "dim = 65537", "dim"),
        ("\"me/my-model\"", "\"\"", "id"),
        ("\"me/my-model\"", "\"me//my-model\"", "id"),
        ("\"me/my-model\"", "\"me/../my-model\"", "id"),
        ("\"onnx/model.onnx\"", "\"/model.onnx\"", "file"),
        ("\"onnx/model.onnx\"", "\"../model.onnx\"", "file"),
        ("\"onnx/model.onnx\"", "\"onnx\\\\model.onnx\"", "file"),
        ("\"onnx/model.onnx\"", "\"C:model.onnx\"", "file"),
        ("\"onnx/model.onnx\"", "\"onnx/\"", "file"),
        ("\"onnx/model.onnx_data\"", "\"a/./b\"", "additional_files"),
        ("path = \"tokenizer.json\"", "path = \"../tokenizer.json\"", "files.path"),
        ("path = \"tokenizer.json\"", "path = \"onnx/model.onnx\"", "files.path"),
        ("\"2cf24dba", "\"2CF24DBA", "files.sha256"),
        ("\"2cf24dba", "\"2cf24db", "files.sha256"),
        ("\"me/my-model-onnx\"", "\"my-model-onnx\"", "source.repo"),
        ("\"me/my-model-onnx\"", "\"me/my model\"", "source.repo"),
        ("revision = \"v1\"", "revision = \"a..b/../c\"", "source.revision"),
        ("revision = \"v1\"", "url = \"http://insecure.example/a.tar.gz\"", "source.url"),
        ("size_gb = 0.067", "size_gb = nan", "size_gb"),
        ("max_tokens = 512", "max_tokens = 0", "max_tokens"),
        ("\"English\"", "\" \"", "languages"),
        ("query = \"query: \"", "query = \"q\", unknown = true", "prompts"),
        ("pooling = \"cls\"", "pooling = \"best\"", "pooling"),
        ("pooling = \"cls\"", "pooling = \"mean+none\"", "pooling"),
        ("pooling = \"cls\"", "pooling = \"cls+mean\"", "accept_pooled"),
        (
            "year = 2023",
            "layers = [{ dense = { file = \"../a\", dim = 384 } }]",
            "layers.dense.file",
        ),
        ("year = 2023", "layers = [{ dense = { file = \"a\", dim = 0 } }]", "layers.dense.dim"),
        ("year = 2023", "layers = [{ dense = { file = \"a\", dim = 8 } }]", "layers.dense.dim"),
        ("pooling = \"cls\"", "pooling = \"mean\"", "accept_pooled"),
        ("year = 2023", "alias_of = \"ME/my-model\"", "alias_of"),
        ("year = 2023", "output = \"\"", "output"),
        (
            "year = 2023",
            "tasks = { input = \"task_id\", names = [\"a\"], default = 0, query = 1, passage = 0 }",
            "tasks.query",
        ),
    ] {
        let error = wrong(from, to);
        let start = format!("task text-dense: field `{field}` is ");
        assert!(error.contains(&start) && error.contains(", but has to be "), "{to}: {error}");
    }
    let unknown = wrong("\"text-dense\"", "\"dense\"");
    assert!(
        unknown.contains("there is no task \"dense\", use one of text-dense, sparse"),
        "{unknown}"
    );
    let padding = "query_padding = { token = '[MASK]', attend = true }";
    let error = read(&least(&format!("{}\n{padding}", LEAST[7]))).unwrap_err();
    assert!(error.contains("query_padding.attend"), "{error}");
    assert!(read(&least(&LEAST[2].replace("256.0", "0.0"))).unwrap_err().contains("`avg_len`"));
    assert!(
        read(&least(&LEAST[4].replace("idf.json", "../x"))).unwrap_err().contains("`idf_file`")
    );
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let spec = read(&least(LEAST[0])).unwrap();
    assert_eq!((spec.file.as_ref(), &spec.source), ("onnx/model.onnx", &Source::DEFAULT));
    assert_eq!(read(&least(LEAST[1])).unwrap().file, "model.safetensors");
    assert_eq!(read(&least(LEAST[2])).unwrap().file, "config.json");
    let late = Task::LateText(LateText { dim: 8, ..LateText::DEFAULT });
    assert_eq!(read(&least(LEAST[7])).unwrap().task, late);
    let rerank = read(&least("task = 'rerank'")).unwrap();
    assert_eq!(rerank.task, Task::Rerank(Rerank::DEFAULT));
}

#[test]
fn a_chain_behind_the_encoder_is_read() {
    let row = "lower_case = true\ntask = 'text-dense'\ndim = 8\npooling = 'cls+weighted-mean'\n\
               pool_prompt = false\nnormalize = true\nprompts = { raw = 'r: ' }\n\
               layers = ['normalize', { dense = { file = '2_Dense/model.safetensors', dim = 8, \
               bias = false, activation = 'tanh' } }]";
    let spec = read(&least(row)).unwrap();
    assert!(spec.lower_case);
    assert_eq!(spec.prompts.as_ref().unwrap().of(Role::Raw), Some("r: "));
    assert_eq!(spec.task.pooling().as_deref(), Some("cls+weighted-mean"));
    let dense = DenseLayer {
        file: "2_Dense/model.safetensors".into(),
        dim: 8,
        bias: false,
        activation: Activation::Tanh,
    };
    let expected = TextDense {
        dim: 8,
        pooling: Pooling::Cls,
        concat: vec![Pooling::WeightedMean].into(),
        pool_prompt: false,
        layers: vec![Layer::Normalize, Layer::Dense(dense)].into(),
        ..TextDense::DEFAULT
    };
    assert_eq!(expected.dim_of(4), 8);
    assert_eq!(TextDense { layers: vec![].into(), ..expected.clone() }.dim_of(4), 8);
    assert_eq!(spec.task, Task::TextDense(expected));
    for pooling in Pooling::ALL {
        let row = least(&LEAST[0].replace("none", pooling.name()));
        assert_eq!(read(&row).unwrap().task.pooling().as_deref(), Some(pooling.name()));
    }
    let table = least(&format!("{}\npool_unknown = true\nnormalize = false", LEAST[1]));
    let Task::TextDense(table) = read(&table).unwrap().task else { panic!("another task") };
    assert!(table.pool_unknown && !table.normalize);
    let splade = read(&least(&format!("{}\nsum = true\nlog_twice = true", LEAST[3]))).unwrap();
    let SpladeConfig { sum, log_twice, .. } = splade_config(&splade);
    assert!(sum && log_twice);
    assert!(!splade_config(&read(&least(LEAST[3])).unwrap()).sum);
    let late = format!("{}\nquery_limit = 32\nlayers = ['normalize']", LEAST[7]);
    let Task::LateText(late) = read(&least(&late)).unwrap().task else { panic!("another task") };
    assert_eq!((late.query_limit, &*late.layers), (Some(32), &[Layer::Normalize][..]));
    let rerank = read(&least("task = 'rerank'\nactivation = 'sigmoid'")).unwrap();
    let activation = Some(Activation::Sigmoid);
    assert_eq!(rerank.task, Task::Rerank(Rerank { activation, ..Rerank::DEFAULT }));
}

fn splade_config(spec: &ModelSpec) -> SpladeConfig {
    match &spec.task {
        Task::Sparse(Sparse { kind: SparseKind::Splade(config), .. }) => config.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_has_one_model_in_either_form() {
    assert_eq!(read(&format!("[[model]]\n{DENSE}")), read(DENSE));
    let two = read(&format!("[[model]]\n{DENSE}\n[[model]]\n{DENSE}")).unwrap_err();
    assert!(two.contains("invalid length 2, expected exactly one [[model]]"), "{two}");
    let none = read("model = []").unwrap_err();
    assert!(none.contains("invalid length 0"), "{none}");
    assert!(read("").unwrap_err().contains("missing field `id`"));
    let beside = read(&format!("[[model]]\n{DENSE}\n[other]\nx = 1")).unwrap_err();
    assert!(beside.contains("`other` stands beside [[model]]"), "{beside}");
    let mixed = read(&format!("{DENSE}\n[[model]]\n{DENSE}")).unwrap_err();
    assert!(mixed.contains("unknown field `model`"), "{mixed}");
}
