//! Files of other kinds of models, and chains that are not understood.

use embedkit_describe::{Description, Head};
use embedkit_types::{
    Activation, DenseLayer, Encoder, ErrorKind, GraphOutput, ImagePooling, LateText, Layer,
    Markers, Pooling, QueryPadding, Rerank, Task, TextDense,
};

use crate::memory::{Model, fails};

/// A chain of modules by the last part of their types and their folders.
fn chain(modules: &[(&str, &str)]) -> Model {
    let entries = modules.iter().map(|(kind, path)| {
        format!(r#"{{"path": "{path}", "type": "sentence_transformers.models.{kind}"}}"#)
    });
    let list = entries.collect::<Vec<_>>().join(",");
    Model::default()
        .with("modules.json", format!("[{list}]"))
        .with("config.json", r#"{"model_type": "bert", "hidden_size": 8, "vocab_size": 30}"#)
        .with("model.safetensors", tensor("linear.weight", &[4, 8]))
        .with("tokenizer_config.json", r#"{"mask_token": {"content": "[MASK]"}}"#)
}

/// A safetensors file with one tensor of zeros.
fn tensor(name: &str, shape: &[usize]) -> Vec<u8> {
    let bytes = 4 * shape.iter().product::<usize>();
    let header = format!(
        r#"{{"{name}": {{"dtype": "F32", "shape": {shape:?}, "data_offsets": [0, {bytes}]}}}}"#
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    file
}

fn pooled(mode: &str) -> Model {
    let config = format!(r#"{{"embedding_dimension": 8, "pooling_mode": {mode}}}"#);
    chain(&[("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")])
        .with("1_Pooling/config.json", config)
        .with("2_Dense/config.json", DENSE)
        .with("2_Dense/model.safetensors", "")
}

const DENSE: &str = r#"{"in_features": 8, "out_features": 4, "bias": false,
    "activation_function": "torch.nn.modules.linear.Identity"}"#;

fn dense(found: &Description) -> &TextDense {
    match &found.spec.task {
        Task::TextDense(task) => task,
        other => panic!("{other:?}"),
    }
}

fn late(found: &Description) -> &LateText {
    match &found.spec.task {
        Task::LateText(task) => task,
        other => panic!("{other:?}"),
    }
}

#[test]
fn layers_and_poolings_are_read() {
    let found = pooled(r#""weightedmean""#).describe().unwrap();
    let layer = DenseLayer {
        file: "2_Dense/model.safetensors".into(),
        dim: 4,
        bias: false,
        activation: Activation::Identity,
    };
    let expected = TextDense {
        dim: 4,
        pooling: Pooling::WeightedMean,
        layers: vec![Layer::Dense(layer)].into(),
        normalize: false,
        ..TextDense::DEFAULT
    };
    assert_eq!(dense(&found), &expected);
    assert_eq!(*found.spec.additional_files, ["2_Dense/model.safetensors"]);
    // Two vectors of 8 do not fit a layer for 8.
    let parts = ["2_Dense/config.json has `in_features` 8", "1_Pooling/config.json"];
    fails(&pooled(r#"["cls", "max"]"#), ErrorKind::Damaged, &parts);
    let parts = ["`pooling_mode`", "best", "not supported"];
    fails(&pooled(r#""best""#), ErrorKind::Unsupported, &parts);
    fails(&pooled("7"), ErrorKind::Damaged, &["`pooling_mode`", "a text", "got 7"]);
}

#[test]
fn layers_that_are_not_known_are_errors() {
    let with = |from: &str, to: &str| {
        assert!(DENSE.contains(from), "{from}");
        pooled(r#""mean""#).with("2_Dense/config.json", DENSE.replace(from, to))
    };
    let unsupported = ErrorKind::Unsupported;
    let residual = with("\"bias\": false", "\"use_residual\": true");
    fails(&residual, unsupported, &["`use_residual` in 2_Dense/config.json is true"]);
    fails(&with("linear.Identity", "activation.Mish"), unsupported, &["activation.Mish"]);
    fails(&with("torch.nn", "os"), unsupported, &["`activation_function`"]);
    let tokens = with("\"bias\": false", "\"module_input_name\": \"token_embeddings\"");
    fails(&tokens, unsupported, &["`module_input_name`", "token_embeddings"]);
    fails(&with("\"out_features\": 4,", ""), ErrorKind::Damaged, &["`out_features` is missing"]);
    let mut pickled = pooled(r#""mean""#).with("2_Dense/pytorch_model.bin", "");
    pickled.0.remove("2_Dense/model.safetensors");
    fails(&pickled, unsupported, &["2_Dense/pytorch_model.bin"]);
    pickled.0.remove("2_Dense/pytorch_model.bin");
    fails(&pickled, ErrorKind::NotFound, &["2_Dense/model.safetensors"]);
    let cut = r#"{"truncate_dim": 4}"#;
    let cut = pooled(r#""mean""#).with("config_sentence_transformers.json", cut);
    fails(&cut, unsupported, &["`truncate_dim`"]);
}

#[test]
fn settings_that_change_the_result_are_errors() {
    let with = |text: &str| pooled(r#""mean""#).with("sentence_bert_config.json", text);
    let unsupported = ErrorKind::Unsupported;
    fails(&with(r#"{"transformer_task": "fill-mask"}"#), unsupported, &["`transformer_task`"]);
    fails(&with(r#"{"tokenizer_args": {"a": 1}}"#), unsupported, &["`tokenizer_args`"]);
    let pooler = r#"{"modality_config": {"text": {"method_output_name": "pooler_output"}}}"#;
    fails(&with(pooler), unsupported, &["`modality_config.text.method_output_name`"]);
    assert!(with(r#"{"tokenizer_args": {}, "max_seq_length": null}"#).describe().is_ok());
}

#[test]
fn the_default_prompt_is_that_of_raw_texts() {
    let with = |text: &str| pooled(r#""mean""#).with("config_sentence_transformers.json", text);
    let text = r#"{"prompts": {"sts": "same: "}, "default_prompt_name": "sts"}"#;
    let prompts = with(text).describe().unwrap().spec.prompts.unwrap();
    assert_eq!(
        (prompts.raw.as_deref(), prompts.query, prompts.passage),
        (Some("same: "), None, None)
    );
    let text = r#"{"prompts": {}, "default_prompt_name": "sts"}"#;
    fails(&with(text), ErrorKind::Damaged, &["`prompts.sts` is missing"]);
    let text = r#"{"prompts": {"document": "", "passage": "p: "}}"#;
    assert_eq!(with(text).describe().unwrap().spec.prompts, None);
}

#[test]
fn tables_are_read_from_the_header_of_their_file() {
    let table = |tensors: Vec<u8>| {
        chain(&[("StaticEmbedding", "."), ("Normalize", "1_Normalize")])
            .with("model.safetensors", tensors)
    };
    let found = table(tensor("embedding.weight", &[30, 8])).describe().unwrap();
    let task = dense(&found);
    assert_eq!((task.dim, task.encoder, task.normalize), (8, Encoder::Static, true));
    assert!(task.pool_unknown);
    assert_eq!(found.spec.file, "model.safetensors");
    let damaged = ErrorKind::Damaged;
    fails(&table(tensor("other", &[30, 8])), damaged, &["model.safetensors", "embedding.weight"]);
    fails(&table(tensor("embeddings", &[30])), damaged, &["[rows, dim]", "[30]"]);
    fails(&table(vec![255; 12]), damaged, &["model.safetensors", "a header"]);
    fails(&table(vec![4, 0, 0, 0, 0, 0, 0, 0, b'{']), damaged, &["model.safetensors", "JSON"]);
}

#[test]
fn model2vec_leaves_the_unknown_token_out() {
    let config = r#"{"model_type": "model2vec", "hidden_dim": 8, "normalize": true}"#;
    let plain = Model::default()
        .with("config.json", config)
        .with("model.safetensors", tensor("embeddings", &[30, 8]));
    let with_modules = chain(&[("StaticEmbedding", "."), ("Normalize", "1_Normalize")])
        .with("config.json", config)
        .with("model.safetensors", tensor("embeddings", &[30, 8]));
    for model in [plain, with_modules] {
        let found = model.describe().unwrap();
        assert!(!dense(&found).pool_unknown && dense(&found).normalize);
        assert_eq!(found.spec.token_limit, None);
        let other = model.with("config.json", config.replace('8', "9"));
        fails(&other, ErrorKind::Damaged, &["`hidden_dim` 9", "`embedding.weight` 8"]);
    }
}

#[test]
fn a_cross_encoder_needs_one_label() {
    let with = |labels: &str| {
        let config = format!(
            r#"{{"model_type": "bert", "architectures": ["BertForSequenceClassification"],
            "sentence_transformers": {{"activation_fn": "torch.nn.modules.activation.Sigmoid"}}
            {labels}}}"#
        );
        Model::default().with("config.json", config).with("onnx/model.onnx", "")
    };
    let found = with(r#", "id2label": {"0": "LABEL_0"}"#).describe().unwrap();
    let activation = Some(Activation::Sigmoid);
    assert_eq!(found.spec.task, Task::Rerank(Rerank { activation, ..Rerank::DEFAULT }));
    assert_eq!(found.checkpoint.unwrap().head, Head::Classifier);
    assert_eq!(found.spec.file, "onnx/model.onnx");
    let unsupported = ErrorKind::Unsupported;
    fails(&with(""), unsupported, &["`num_labels`", "2 labels"]);
    fails(&with(r#", "id2label": {"0": "a", "1": "b", "2": "c"}"#), unsupported, &["3 labels"]);
}

/// A chain of PyLate with its prefixes as tokens.
fn pylate() -> Model {
    let settings = r#"{"query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 32,
        "document_length": 180, "attend_to_expansion_tokens": true}"#;
    let vocabulary = r#"{"added_tokens": [{"id": 30, "content": "[Q] "}],
        "model": {"vocab": {"[D]": 31, "[MASK]": 4}}}"#;
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Dense", "type": "pylate.models.Dense.Dense"}]"#;
    chain(&[])
        .with("modules.json", modules)
        .with("config_sentence_transformers.json", settings)
        .with("tokenizer.json", vocabulary)
        .with("1_Dense/config.json", DENSE)
        .with("1_Dense/model.safetensors", "")
}

fn colbert(file: &str, attend: bool) -> LateText {
    LateText {
        dim: 4,
        layers: vec![Layer::Dense(DenseLayer {
            file: file.to_owned().into(),
            dim: 4,
            bias: false,
            activation: Activation::Identity,
        })]
        .into(),
        markers: Some(Markers { query: 30, document: 31 }),
        reserve: 1,
        query_limit: Some(32),
        query_padding: Some(QueryPadding { token: "[MASK]".into(), length: Some(31), attend }),
        skip_punctuation: true,
        normalize: true,
        normalize_queries: true,
        ..LateText::DEFAULT
    }
}

#[test]
fn pylate_has_markers_and_lengths() {
    let found = pylate().describe().unwrap();
    assert_eq!(late(&found), &colbert("1_Dense/model.safetensors", true));
    assert_eq!(found.spec.token_limit.map(u32::from), Some(180));
    assert_eq!(found.spec.prompts, None);
    let words = r#"{"query_prefix": "[Q] ", "document_prefix": "[D] ", "skiplist_words": ["the"]}"#;
    let words = pylate().with("config_sentence_transformers.json", words);
    fails(&words, ErrorKind::Unsupported, &["`skiplist_words`", "1 words"]);
    let unknown = pylate().with("tokenizer.json", r#"{"model": {"vocab": {"[D]": 31}}}"#);
    fails(&unknown, ErrorKind::Damaged, &["query prefix", "[Q]", "a token of tokenizer.json"]);
}

#[test]
fn stanfords_projection_lies_among_the_weights() {
    let metadata = r#"{"query_token_id": "[unused0]", "doc_token_id": "[unused1]",
        "query_maxlen": 32, "doc_maxlen": 220, "dim": 4, "mask_punctuation": true}"#;
    let config = r#"{"model_type": "bert", "hidden_size": 8, "architectures": ["HF_ColBERT"]}"#;
    let vocabulary = r#"{"model": {"vocab": {"[unused0]": 30, "[unused1]": 31}}}"#;
    let mut model = chain(&[])
        .with("config.json", config)
        .with("artifact.metadata", metadata)
        .with("tokenizer.json", vocabulary)
        .with("model.onnx", "");
    model.0.remove("modules.json");
    let found = model.describe().unwrap();
    assert_eq!(late(&found), &colbert("model.safetensors", false));
    assert_eq!(found.spec.token_limit.map(u32::from), Some(220));
    assert!(found.graphs.is_empty());
    let other =
        model.clone().with("artifact.metadata", metadata.replace("\"dim\": 4", "\"dim\": 5"));
    fails(&other, ErrorKind::Damaged, &["`dim` 5", "`linear.weight` 4"]);
    model.0.remove("artifact.metadata");
    fails(&model, ErrorKind::NotFound, &["artifact.metadata", "config.json"]);
}

#[test]
fn images_need_a_graph_of_their_own() {
    let config = r#"{"model_type": "clip", "projection_dim": 512}"#;
    let model = Model::default()
        .with("config.json", config)
        .with("preprocessor_config.json", "{}")
        .with("onnx/text_model.onnx", "");
    fails(&model, ErrorKind::NotFound, &["onnx/vision_model.onnx"]);
    let found = model.with("onnx/vision_model.onnx", "").describe().unwrap();
    let Task::Image(task) = &found.spec.task else { panic!("{:?}", found.spec) };
    assert_eq!((task.dim, task.pooling, task.normalize), (512, ImagePooling::Flatten, false));
    assert_eq!(task.output, GraphOutput::Name("image_embeds".into()));
    assert_eq!(found.graphs, ["onnx/vision_model.onnx"]);
}

#[test]
fn a_bare_encoder_lacks_its_pooling() {
    let mut model = chain(&[]);
    model.0.remove("modules.json");
    fails(&model, ErrorKind::Damaged, &["`pooling` is missing in modules.json"]);
    let only = chain(&[("Transformer", "")]);
    fails(&only, ErrorKind::Damaged, &["`Pooling` is missing in modules.json"]);
    let elsewhere = chain(&[("Transformer", "0_BERT"), ("MultiVectorMask", "1_Mask")]);
    fails(&elsewhere, ErrorKind::Unsupported, &["[0].path", "0_BERT"]);
    let other = chain(&[("BoW", ""), ("Dense", "1_Dense")]);
    fails(&other, ErrorKind::Unsupported, &["[0].type", "models.BoW"]);
    let twice = chain(&[("Transformer", ""), ("Normalize", "1"), ("Pooling", "2")]);
    fails(&twice, ErrorKind::Unsupported, &["[1].type", "Normalize"]);
}

#[test]
fn damaged_files_are_errors_or_other_descriptions() {
    let models = [pooled(r#"["cls"]"#), pylate(), chain(&[("StaticEmbedding", "")])];
    let mut errors = 0;
    for model in models {
        for (path, content) in &model.0 {
            for place in 0..content.len().min(400) {
                for damage in [None, Some(b'{'), Some(b'9'), Some(b'"'), Some(255)] {
                    let mut content = content.clone();
                    match damage {
                        None => content.truncate(place),
                        Some(byte) => content[place] = byte,
                    }
                    let Err(error) = model.clone().with(path, content).describe() else { continue };
                    assert!(error.to_string().starts_with("me/model"), "{error}");
                    errors += 1;
                }
            }
        }
    }
    assert!(errors > 1000, "{errors}");
}
