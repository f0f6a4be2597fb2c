//! Causal language models that score pairs: their tokens and their chat templates.

use embedkit_describe::Head;
use embedkit_types::{ErrorKind, Rerank, Task, TokenScore};

use crate::memory::{Model, fails};

const MODULES: &str = r#"[
    {"path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
    {"path": "1_LogitScore", "type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"}
]"#;
const SETTINGS: &str = r#"{"transformer_task": "text-generation",
    "modality_config": {"text": {}, "message": {"format": "flat"}}}"#;
/// The query and the document by their roles.
const TEXTS: &str = "{%- set query = messages | selectattr('role', 'eq', 'query') | first -%}
{%- set document = messages | selectattr('role', 'eq', 'document') | first -%}\n";

fn model(template: &str) -> Model {
    Model::default()
        .with("modules.json", MODULES)
        .with("config.json", r#"{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}"#)
        .with("sentence_bert_config.json", SETTINGS)
        .with("1_LogitScore/config.json", r#"{"true_token_id": 7, "false_token_id": 5}"#)
        .with("chat_template.jinja", template)
        .with("model.safetensors", "")
}

fn with_texts(rest: &str) -> Model {
    model(&format!("{TEXTS}{rest}"))
}

fn tokens(model: &Model) -> TokenScore {
    match model.describe().unwrap().spec.task {
        Task::Rerank(Rerank { tokens: Some(tokens), .. }) => tokens,
        other => panic!("{other:?}"),
    }
}

#[test]
fn templates_become_texts_with_two_places() {
    let plain = "Q: {{ query.content }}\nD: {{ document['content'] }}<end>\n";
    let found = with_texts(plain).describe().unwrap();
    let head = Head::NextToken { true_token: 7, false_token: Some(5) };
    assert_eq!(found.checkpoint.unwrap().head, head);
    let found = tokens(&with_texts(plain));
    // Jinja drops the last end of a line.
    assert_eq!(found.template[..], ["Q: {query}\nD: {document}<end>"]);
    assert_eq!((found.true_token, found.false_token), (7, Some(5)));
    // A text before them, the tokens of the tokenizer, and Python's methods.
    let system =
        "{% if messages[0].role == 'system' %}{{ messages[0].content.upper() }} {% endif %}";
    let rest = "{{ bos_token }}{{ query.content }}|{{ document.content }}{{ eos_token }}";
    let special = r#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}}"#;
    let prompts = r#"{"prompts": {"query": "find it"}, "default_prompt_name": "query"}"#;
    let prompted = with_texts(&format!("{system}{rest}"))
        .with("tokenizer_config.json", special)
        .with("config_sentence_transformers.json", prompts);
    assert_eq!(tokens(&prompted).template[..], ["FIND IT <s>{query}|{document}</s>"]);
}

#[test]
fn structured_messages_have_parts() {
    let settings = SETTINGS.replace("flat", "structured");
    let template = "{{ query.content[0].text }} {{ document.content[0]['text'] }}";
    let model = with_texts(template).with("sentence_bert_config.json", settings);
    assert_eq!(tokens(&model).template[..], ["{query} {document}"]);
}

#[test]
fn the_older_place_of_a_template_is_read() {
    let template = "{{ messages[0].content }} {{ messages[1].content }}";
    let mut model = model("");
    model.0.remove("chat_template.jinja");
    fails(&model, ErrorKind::NotFound, &["chat_template.jinja"]);
    let config = format!(r#"{{"chat_template": "{template}"}}"#);
    assert_eq!(
        tokens(&model.with("tokenizer_config.json", config)).template[..],
        ["{query} {document}"]
    );
}

#[test]
fn templates_that_change_the_texts_are_errors() {
    for (rest, reason) in [
        ("{{ query.content }}", "document of a pair"),
        ("{{ query.content }} {{ query.content }} {{ document.content }}", "query of a pair"),
        ("{{ query.content | trim }} {{ document.content }}", "changes the texts"),
        ("{{ query.content }} {{ document.content | length }} {{ document.content }}", "changes"),
        ("{{ query.content }} {{ document.content }} {query}", "has the text {query}"),
        ("{{ raise_exception('no such role') }}", "no such role"),
        ("{{ query.content", "chat_template.jinja"),
        ("{% for x in range(9999999) %}{{ x }}{% endfor %}", "chat_template.jinja"),
        ("{% include 'other' %}", "chat_template.jinja"),
    ] {
        let model = with_texts(rest);
        let error = model.describe().unwrap_err().to_string();
        assert!(error.contains("chat_template.jinja") && error.contains(reason), "{rest}: {error}");
    }
}

#[test]
fn fields_that_are_missing_or_unknown_are_errors() {
    let right = with_texts("{{ query.content }} {{ document.content }}");
    assert!(right.describe().is_ok());
    let score = |content: &str| right.clone().with("1_LogitScore/config.json", content);
    fails(&score("{}"), ErrorKind::Damaged, &["1_LogitScore/config.json", "true_token_id"]);
    fails(&score(r#"{"true_token_id": -1}"#), ErrorKind::Damaged, &["true_token_id"]);
    let other = r#"{"true_token_id": 7, "module_input_name": "logits"}"#;
    fails(&score(other), ErrorKind::Unsupported, &["module_input_name", "is logits"]);
    let one = tokens(&score(r#"{"true_token_id": 7, "module_input_name": "causal_logits"}"#));
    assert_eq!((one.true_token, one.false_token), (7, None));
    let settings = |content: &str| right.clone().with("sentence_bert_config.json", content);
    fails(&settings("{}"), ErrorKind::Damaged, &["modality_config"]);
    let odd = SETTINGS.replace("flat", "odd");
    fails(&settings(&odd), ErrorKind::Unsupported, &["format", "odd"]);
}
