//! Chains of a transformer, a pooling and perhaps a normalisation, and errors in their files.

use embedkit_describe::{Files, Folder, Head, describe, wanted};
use embedkit_types::{Error, ErrorKind, Pooling, Task, TokenizerFiles};

use crate::memory::{Model, fails};

const MODULES: &str = r#"[
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
]"#;

/// A model like intfloat/e5-base-v2.
fn e5() -> Model {
    let pooling = r#"{"word_embedding_dimension": 768, "pooling_mode_cls_token": false,
        "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false}"#;
    Model::default()
        .with("modules.json", MODULES)
        .with("config.json", r#"{"model_type": "bert", "hidden_size": 768}"#)
        .with("1_Pooling/config.json", pooling)
        .with("sentence_bert_config.json", r#"{"max_seq_length": 512, "do_lower_case": false}"#)
        .with("model.safetensors", "")
}

#[test]
fn a_chain_is_described_with_the_file_of_each_field() {
    let found = e5().with("onnx/model.onnx", "").with("onnx/model_O4.onnx", "").describe().unwrap();
    let Task::TextDense(task) = &found.spec.task else { panic!("{:?}", found.spec) };
    assert_eq!((task.dim, task.pooling, task.normalize), (768, Pooling::Mean, true));
    assert_eq!(found.spec.token_limit.map(u32::from), Some(512));
    let file = |field| found.fact(field).map(|fact| fact.file.as_str());
    assert_eq!(file("dim"), Some("1_Pooling/config.json"));
    assert_eq!(file("pooling"), Some("1_Pooling/config.json"));
    assert_eq!(file("normalize"), Some("modules.json"));
    assert_eq!(file("max_tokens"), Some("sentence_bert_config.json"));
    assert_eq!(file("prompts.query"), None);
    assert_eq!(found.graphs, ["onnx/model.onnx", "onnx/model_O4.onnx"]);
    assert_eq!(found.spec.file, "onnx/model.onnx");
}

#[test]
fn a_checkpoint_without_a_graph_says_how_to_convert_it() {
    let found = e5().describe().unwrap();
    assert!(found.graphs.is_empty());
    let checkpoint = found.checkpoint.unwrap();
    assert_eq!((checkpoint.model_type.as_str(), checkpoint.head), ("bert", Head::Hidden));
    assert_eq!(checkpoint.weights, ["model.safetensors"]);
}

#[test]
fn an_encoder_may_have_a_folder_of_its_own() {
    let modules = MODULES.replacen(r#""path": """#, r#""path": "0_Transformer""#, 1);
    let mut model = e5().with("modules.json", modules).with("0_Transformer/onnx/model.onnx", "");
    for name in ["config.json", "sentence_bert_config.json", "model.safetensors"] {
        let content = model.0.remove(name).unwrap();
        model = model.with(&format!("0_Transformer/{name}"), content);
    }
    let found = model.with("0_Transformer/vocab.txt", "").describe().unwrap();
    assert_eq!(found.spec.folder, "0_Transformer");
    assert_eq!(found.spec.file, "0_Transformer/onnx/model.onnx");
    assert_eq!(found.spec.tokenizer, TokenizerFiles::WordPiece);
    assert_eq!(found.fact("max_tokens").unwrap().file, "0_Transformer/sentence_bert_config.json");
    let checkpoint = found.checkpoint.unwrap();
    assert_eq!(checkpoint.folder, "0_Transformer");
    assert_eq!(checkpoint.weights, ["0_Transformer/model.safetensors"]);
}

#[test]
fn a_tokenizer_may_be_a_vocabulary() {
    let form = |files: &[&str]| {
        let model = files.iter().fold(e5(), |model, file| model.with(file, ""));
        model.describe().map(|found| found.spec.tokenizer)
    };
    assert_eq!(form(&[]).unwrap(), TokenizerFiles::Json);
    assert_eq!(form(&["vocab.txt"]).unwrap(), TokenizerFiles::WordPiece);
    assert_eq!(form(&["vocab.json", "merges.txt"]).unwrap(), TokenizerFiles::BytePairs);
    assert_eq!(form(&["vocab.json"]).unwrap(), TokenizerFiles::Json, "half of it is nothing");
    assert_eq!(form(&["tokenizer.json", "vocab.txt"]).unwrap(), TokenizerFiles::Json);
    let found = e5().with("vocab.txt", "").describe().unwrap();
    assert_eq!(found.fact("tokenizer").unwrap().file, "vocab.txt");
    let model = e5().with("sentencepiece.bpe.model", "");
    fails(&model, ErrorKind::Unsupported, &["sentencepiece.bpe.model", "SentencePiece"]);
    let hint = Error::from(model.describe().unwrap_err()).hint().unwrap().to_string();
    assert!(hint.contains("save_pretrained"), "{hint}");
    assert_eq!(form(&["sentencepiece.bpe.model", "tokenizer.json"]).unwrap(), TokenizerFiles::Json);
}

#[test]
fn prompts_have_the_names_that_sentence_transformers_looks_for() {
    let config = r#"{"prompts": {"query": "query: ", "passage": "passage: ", "other": "x"}}"#;
    let found = e5().with("config_sentence_transformers.json", config).describe().unwrap();
    let prompts = found.spec.prompts.unwrap();
    assert_eq!(prompts.query.as_deref(), Some("query: "));
    assert_eq!(prompts.passage.as_deref(), Some("passage: "));
}

#[test]
fn without_a_normalize_module_vectors_are_not_scaled() {
    let modules = r#"[{"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"}]"#;
    let found = e5().with("modules.json", modules).describe().unwrap();
    assert_eq!(found.spec.task.normalize(), Some(false));
}

#[test]
fn damage_names_the_file_and_the_field() {
    let damaged = ErrorKind::Damaged;
    fails(&e5().with("modules.json", "[{"), damaged, &["modules.json"]);
    fails(&e5().with("modules.json", "{}"), damaged, &["modules.json", "a list", "an object"]);
    fails(&e5().with("modules.json", "[".repeat(100_000)), damaged, &["modules.json"]);
    let huge = " ".repeat(10_000_001);
    fails(&e5().with("config.json", &huge), damaged, &["config.json", "10000000 bytes"]);
    fails(&e5().with("config.json", "{}"), damaged, &["`model_type`", "config.json"]);
    let text = r#"{"model_type": "bert", "hidden_size": "768"}"#;
    fails(&e5().with("config.json", text), damaged, &["`hidden_size`", "an integer", "\"768\""]);
    let pooling = r#"{"word_embedding_dimension": 384, "pooling_mode_mean_tokens": true}"#;
    let parts = ["`word_embedding_dimension` 384", "`hidden_size` 768", "1_Pooling/config.json"];
    fails(&e5().with("1_Pooling/config.json", pooling), damaged, &parts);
    let pooling = r#"{"word_embedding_dimension": 768}"#;
    fails(&e5().with("1_Pooling/config.json", pooling), damaged, &["`pooling_mode`"]);
    let limit = r#"{"max_seq_length": 0}"#;
    fails(&e5().with("sentence_bert_config.json", limit), damaged, &["`max_seq_length`", "got 0"]);
}

#[test]
fn paths_do_not_leave_the_model() {
    for path in ["../1_Pooling", "/etc", "a//b", "C:\\\\x", "a/./b"] {
        let modules = MODULES.replace("1_Pooling", path);
        fails(&e5().with("modules.json", &modules), ErrorKind::Damaged, &["[1].path"]);
    }
}

#[test]
fn foreign_modules_and_missing_files_are_errors() {
    let modules = MODULES.replace("sentence_transformers.models.Pooling", "custom_st.Pooling");
    let parts = ["[1].type", "custom_st.Pooling"];
    fails(&e5().with("modules.json", &modules), ErrorKind::Unsupported, &parts);
    let mut model = e5();
    model.0.remove("1_Pooling/config.json");
    fails(&model, ErrorKind::NotFound, &["1_Pooling/config.json", "modules.json"]);
    model.0.remove("modules.json");
    model.0.remove("config.json");
    fails(&model, ErrorKind::NotFound, &["modules.json", "config.json"]);
}

#[test]
fn small_files_are_wanted_in_order() {
    let paths = e5().with("onnx/model.onnx", "").with("README.md", "").paths();
    let expected =
        ["modules.json", "config.json", "sentence_bert_config.json", "1_Pooling/config.json"];
    assert_eq!(wanted(&paths), expected);
}

#[test]
fn a_folder_on_disk_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in e5().0 {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let files = Folder::open(folder.path()).unwrap();
    assert_eq!(describe("me/model", &files).unwrap(), e5().describe().unwrap());
    assert_eq!(files.read("modules.json", 3).unwrap().unwrap().len(), 3);
    assert_eq!(files.read("../modules.json", 3).unwrap(), None);
}
