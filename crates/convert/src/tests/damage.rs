//! Damaged, truncated and contradictory input: a typed error each, never a panic.

use std::fs;

use serde_json::{Value, json};

use super::{Draft, data, file_of};
use crate::{ConvertOptions, Error, Head, Precision, convert};

fn message(error: &Error) -> String {
    error.to_string()
}

#[test]
fn truncated_files() {
    let draft = Draft::of("bert-plain");
    let (header, numbers) = draft.parts();
    let whole = file_of(&header.to_string(), &numbers);
    for length in [0, 7, 8, 9, 100, whole.len() - 1] {
        let error = draft.convert_raw(&whole[..length], Head::Hidden).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{length}: {error}");
        assert!(error.hint().unwrap().to_string().contains("truncated"));
    }
    let longer = [whole.as_slice(), &[0]].concat();
    let error = draft.convert_raw(&longer, Head::Hidden).unwrap_err();
    assert!(message(&error).contains("the file has"), "{error}");
}

#[test]
fn header_lengths_beyond_reason() {
    let draft = Draft::of("bert-plain");
    for length in [100_000_001, u64::MAX] {
        let file = [length.to_le_bytes().as_slice(), b"{}"].concat();
        let error = draft.convert_raw(&file, Head::Hidden).unwrap_err();
        let expected = |found, limit| found == length && limit == 100_000_000;
        assert!(matches!(error, Error::TooLarge { found, limit, .. } if expected(found, limit)));
    }
}

#[test]
fn headers_that_are_not_json_of_tensors() {
    let draft = Draft::of("bert-plain");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let dims = ["1"; 9].join(",");
    for header in [
        "",
        "{",
        "[]",
        "null",
        r#"{"a":1}"#,
        r#"{"a":{"dtype":"F32","shape":[1]}}"#,
        r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#,
        &format!(r#"{{"a":{{"dtype":"F32","shape":[{dims}],"data_offsets":[0,4]}}}}"#),
        &format!(r#"{{"a":{deep}}}"#),
    ] {
        let error = draft.convert_raw(&file_of(header, &[0; 4]), Head::Hidden).unwrap_err();
        let short: String = header.chars().take(60).collect();
        assert!(matches!(error, Error::Json { what: "header", .. }), "{short}: {error}");
    }
}

#[test]
fn tensors_that_do_not_fill_the_file() {
    let draft = Draft::of("bert-plain");
    let two = |first: Value, second: Value| {
        let header = json!({ "a": first, "b": second }).to_string();
        message(&draft.convert_raw(&file_of(&header, &[0; 16]), Head::Hidden).unwrap_err())
    };
    let tensor = |dtype: &str, shape: &[u64], begin: u64, end: u64| json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]});
    let good = tensor("F32", &[2], 0, 8);
    for (second, expected) in [
        (tensor("F32", &[3], 4, 16), "tensor b begins at byte 4 and overlaps the one before it"),
        (tensor("F32", &[1], 12, 16), "tensor b begins at byte 12 and leaves a hole"),
        (tensor("F32", &[1], 8, 12), "its tensors take 12 bytes, the file has 16"),
        (tensor("F32", &[4], 8, 24), "tensor b takes bytes 8 to 24 of 16"),
        (tensor("F32", &[4], u64::MAX - 1, u64::MAX), "tensor b takes bytes"),
        (tensor("F32", &[4], 16, 8), "tensor b takes bytes 16 to 8"),
        (tensor("F32", &[3], 8, 16), "tensor b has 8 bytes, its shape [3] of F32 takes 12"),
        (tensor("F32", &[1 << 40, 1 << 40], 8, 16), "tensor b has the impossible shape"),
        (tensor("F4", &[3], 8, 16), "tensor b has the impossible shape"),
        (tensor("F31", &[2], 8, 16), "tensor b has the unknown type \"F31\""),
    ] {
        let found = two(good.clone(), second);
        assert!(found.contains(expected), "{found}\ninstead of {expected}");
    }
}

#[test]
fn tensors_that_are_missing_or_of_another_form() {
    let whole = Draft::of("bert-classifier");
    let name = "bert.encoder.layer.1.attention.self.key.weight";

    let mut draft = Draft::of("bert-classifier");
    draft.tensors.remove(name);
    let error = draft.convert(Head::Hidden).unwrap_err();
    assert!(matches!(&error, Error::MissingTensor { tried, .. } if tried == &[name]), "{error}");

    let mut draft = Draft::of("bert-classifier");
    draft.tensors.remove("bert.embeddings.word_embeddings.weight");
    let error = draft.convert(Head::Hidden).unwrap_err();
    let both = "bert.embeddings.word_embeddings.weight or embeddings.word_embeddings.weight";
    assert!(message(&error).ends_with(both), "{error}");

    let mut draft = Draft::of("bert-classifier");
    draft.tensors.remove("bert.embeddings.LayerNorm.weight");
    let error = draft.convert(Head::Hidden).unwrap_err();
    let both = "bert.embeddings.LayerNorm.weight or bert.embeddings.LayerNorm.gamma";
    assert!(message(&error).ends_with(both), "{error}");

    let mut draft = Draft::of("bert-classifier");
    draft.tensors.get_mut(name).unwrap().shape = vec![64];
    let error = draft.convert(Head::Hidden).unwrap_err();
    assert!(matches!(&error, Error::Shape { tensor, expected, found, .. }
        if tensor == name && expected == "[8, 8]" && found == &[64]));

    let mut draft = Draft::of("bert-classifier");
    draft.tensors.get_mut(name).unwrap().dtype = "I16".to_owned();
    let error = draft.convert(Head::Hidden).unwrap_err();
    assert!(matches!(&error, Error::Dtype { tensor, found: "I16", .. } if tensor == name));

    let error = whole.convert(Head::MaskedLm).unwrap_err();
    assert!(error.hint().unwrap().to_string().contains("no masked language model head"), "{error}");
    let error = Draft::of("bert-plain").convert(Head::Classifier).unwrap_err();
    assert!(error.hint().unwrap().to_string().contains("no sequence classifier"), "{error}");

    let mut draft = Draft::of("bert-classifier");
    draft.config["id2label"] = json!({"0": "no", "1": "yes"});
    let error = draft.convert(Head::Classifier).unwrap_err();
    assert!(matches!(&error, Error::Shape { expected, .. } if expected == "[2, 8]"), "{error}");
}

#[test]
fn configurations_beyond_reason() {
    let check = |field: &str, value: Value, expected: &str| {
        let mut draft = Draft::of("bert-plain");
        draft.config[field] = value;
        let error = draft.convert(Head::Hidden).unwrap_err();
        assert!(message(&error).contains(expected), "{error}\ninstead of {expected}");
    };
    check("model_type", Value::Null, "model_type is missing");
    check("model_type", json!("gpt2"), "model_type `gpt2` is not supported");
    check("model_type", json!(["bert"]), "model_type is a list, not a text");
    check("hidden_size", json!(0), "hidden_size is 0, not an integer from 1 to 65536");
    check("hidden_size", json!(8.0), "hidden_size is 8.0");
    check("hidden_size", json!("8"), "hidden_size is \"8\"");
    check("hidden_size", json!(u64::MAX), "hidden_size is 18446744073709551615");
    check("hidden_size", json!(16), "expected shape [29, 16], got [29, 8]");
    check(
        "num_attention_heads",
        json!(3),
        "num_attention_heads is 3, which does not divide the width 8",
    );
    check("num_hidden_layers", json!(0), "num_hidden_layers is 0");
    check("num_hidden_layers", json!(3), "no tensor encoder.layer.2.attention.self.query.weight");
    check("num_hidden_layers", json!(1_000_000), "num_hidden_layers is 1000000");
    check("vocab_size", json!(-1), "vocab_size is -1");
    check("layer_norm_eps", json!(0), "layer_norm_eps is 0, not a number between 0 and 1");
    check("layer_norm_eps", json!("1e-12"), "layer_norm_eps is \"1e-12\"");
    check("layer_norm_eps", json!({}), "layer_norm_eps is an object");
    check("hidden_act", json!("mish"), "hidden_act `mish` is not supported");
    check("position_embedding_type", json!("relative_key"), "`relative_key` is not supported");
    check("is_decoder", json!(true), "is_decoder `true` is not supported");
    check("tie_word_embeddings", json!("yes"), "tie_word_embeddings is \"yes\", not true or false");

    let mut draft = Draft::of("mpnet-mlm");
    draft.config["relative_attention_num_buckets"] = json!(64);
    let error = draft.convert(Head::Hidden).unwrap_err();
    assert!(message(&error).contains("relative_attention_num_buckets `64`"), "{error}");
    let mut draft = Draft::of("roberta-mlm");
    draft.config["pad_token_id"] = json!(16);
    let error = draft.convert(Head::Hidden).unwrap_err();
    assert!(message(&error).contains("pad_token_id is 16, not an integer from 0 to 15"), "{error}");
}

/// Python writes NaN into JSON, which is not valid JSON.
#[test]
fn configurations_that_are_not_json() {
    let draft = Draft::of("bert-plain");
    draft.convert(Head::Hidden).unwrap();
    let path = draft.dir().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let deep = "[".repeat(1_000_000);
    for wrong in [&text.replace("0.01", "NaN"), "", "[]", "\u{feff}{}", &text[..40], &deep] {
        assert_ne!(*wrong, text);
        fs::write(&path, wrong).unwrap();
        let error = draft.run(Head::Hidden).unwrap_err();
        assert!(matches!(&error, Error::Json { path: found, .. } if *found == path), "{error}");
    }
    fs::write(&path, " ".repeat(10_000_001)).unwrap();
    assert!(matches!(
        draft.run(Head::Hidden).unwrap_err(),
        Error::TooLarge { found: 10_000_001, .. }
    ));
    fs::remove_file(&path).unwrap();
    assert!(
        draft.run(Head::Hidden).unwrap_err().hint().unwrap().to_string().contains("config.json")
    );
    fs::create_dir(&path).unwrap();
    assert!(message(&draft.run(Head::Hidden).unwrap_err()).starts_with("cannot read"));
}

#[test]
fn shards_that_do_not_fit_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let run =
        || convert(folder.path(), &folder.path().join("out.onnx"), &ConvertOptions::default());
    for file in fs::read_dir(data("bert-mlm-untied")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    run().unwrap();
    let path = folder.path().join("model.safetensors.index.json");
    let index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let with = |tensor: &str, file: &str| {
        let mut index = index.clone();
        index["weight_map"][tensor] = file.into();
        fs::write(&path, index.to_string()).unwrap();
        let error = run().unwrap_err();
        format!("{error}: {:?}", std::error::Error::source(&error))
    };
    let first = "model-00001-of-00002.safetensors";
    assert!(with("more", first).contains(&format!("{first} lacks the tensor more")));
    for outside in ["../model.safetensors", "/etc/passwd", "a/b", "", "..", "."] {
        assert!(with("more", outside).contains("is not the name of a file beside it"), "{outside}");
    }
    assert!(with("more", "model-3.safetensors").contains("cannot read"));
    fs::write(&path, r#"{"weight_map":[]}"#).unwrap();
    assert!(matches!(run().unwrap_err(), Error::Json { .. }));
    fs::remove_file(&path).unwrap();
    let error = run().unwrap_err();
    assert!(
        matches!(error, Error::NoWeights { .. })
            && error.hint().unwrap().to_string().contains("pytorch_model.bin")
    );
}

#[test]
fn pickled_weights_are_refused_with_the_reason() {
    for name in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
        let draft = Draft::of("bert-plain");
        draft.convert(Head::Hidden).unwrap();
        fs::rename(draft.weights(), draft.dir().join(name)).unwrap();
        let error = draft.run(Head::Hidden).unwrap_err();
        assert!(matches!(&error, Error::Pickled { path } if path.ends_with(name)), "{error}");
        assert!(error.hint().unwrap().to_string().contains("save_pretrained"));
    }
}

#[test]
fn unknown_architectures_are_answered_with_the_known_ones() {
    let mut draft = Draft::of("bert-plain");
    draft.config["model_type"] = json!("mamba");
    let hint = draft.convert(Head::Hidden).unwrap_err().hint().unwrap().to_string();
    for known in ["bert", "xlm-roberta", "modernbert", "new", "nomic_bert", "deberta-v2", "qwen3"] {
        assert!(hint.split([' ', ',']).any(|word| word == known), "{known} in {hint}");
    }
}

/// Entries that change what a checkpoint computes but not its tensors.
#[test]
fn variants_that_are_not_modelled_are_refused() {
    let check = |name: &str, field: &str, value: Value, expected: &str| {
        let mut draft = Draft::of(name);
        draft.config[field] = value;
        let error = draft.convert(Head::Hidden).unwrap_err();
        assert!(message(&error).contains(expected), "{error}\ninstead of {expected}");
    };
    let full = || json!(["full_attention", "full_attention"]);
    check(
        "modernbert-plain",
        "layer_types",
        json!(["full_attention"]),
        "has 1 entries for 2 layers",
    );
    check(
        "modernbert-plain",
        "layer_types",
        json!(["linear_attention", "full_attention"]),
        "`linear_attention`",
    );
    check("modernbert-plain", "layer_types", json!("full_attention"), "is not a list of texts");
    check("modernbert-mlm", "num_attention_heads", json!(16), "heads of an odd width, 1");
    check(
        "modernbert-mlm",
        "global_rope_theta",
        json!(0),
        "global_rope_theta is 0, not a positive",
    );
    check("modernbert-mlm", "rope_scaling", json!({"type": "longrope"}), "rope_scaling `longrope`");
    check("modernbert-mlm", "rope_parameters", full(), "rope_parameters is a list, not an object");
    check("gte-plain", "logn_attention_scale", json!(true), "logn_attention_scale `true`");
    check("gte-plain", "layer_norm_type", json!("rms_norm"), "layer_norm_type `rms_norm`");
    check("gte-plain", "position_embedding_type", json!("absolute"), "`absolute`");
    check("gte-plain", "rope_scaling", json!({"type": "ntk"}), "rope_scaling has no factor");
    let llama3 =
        json!({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4});
    check("llama-plain", "rope_scaling", llama3, "high_freq_factor is 4, expected more than");
    let no_bands = json!({"rope_type": "llama3", "factor": 8});
    check("llama-plain", "rope_scaling", no_bands, "rope_scaling has no low_freq_factor");
    let yarn = json!({"rope_type": "yarn", "factor": 4, "rope_theta": 1});
    check("qwen3-plain", "rope_parameters", yarn, "rope_theta is 1, expected more than 1");
    let negative = json!({"rope_type": "yarn", "factor": -4});
    check("qwen3-plain", "rope_parameters", negative, "factor is -4, not a positive number");
    check("qwen3-plain", "partial_rotary_factor", json!(0.5), "partial_rotary_factor `0.5`");
    check(
        "gte-plain",
        "rope_scaling",
        json!({"type": "ntk", "factor": 2, "mixed_b": 0.5}),
        "mixed_b",
    );
    check("gte-plain", "pack_qkv", json!(false), "attention.q_proj.weight");
    check("nomic-plain", "prenorm", json!(true), "prenorm `true`");
    check("nomic-plain", "rotary_emb_fraction", json!(0.5), "rotary_emb_fraction `0.5`");
    check("nomic-plain", "rotary_scaling_factor", json!(2.0), "rotary_scaling_factor `2.0`");
    check("nomic-plain", "activation_function", json!("glu"), "activation_function `glu`");
    check("nomic-mixture", "num_experts", json!(3), "expected shape [3, 16], got [4, 16]");
    check("nomic-mixture", "moe_top_k", json!(5), "moe_top_k is 5, not an integer from 1 to 4");
    check("nomic-mixture", "num_shared_experts", json!(1), "num_shared_experts `1`");
    check("albert-mlm", "embedding_size", Value::Null, "embedding_size is missing");
    check("albert-mlm", "num_hidden_groups", json!(4), "num_hidden_groups is 4, not");
    check("deberta-mlm", "conv_kernel_size", json!(3), "conv_kernel_size `3`");
    check("deberta-mlm", "pos_att_type", json!("p2p"), "pos_att_type `p2p`");
    check("deberta-mlm", "norm_rel_ebd", json!("batch_norm"), "norm_rel_ebd `batch_norm`");
    check("deberta-mlm", "position_buckets", json!(7), "position_buckets is 7, not an even");
    check("deberta-mlm", "position_buckets", json!(64), "not an even number that suits 24");
    check("deberta-mlm", "embedding_size", json!(8), "embedding_size `8`");
    check(
        "jina-bert-plain",
        "feed_forward_type",
        json!("original"),
        "feed_forward_type `original`",
    );
    check(
        "jina-v3-plain",
        "lora_adaptations",
        json!([]),
        "names no task, and the weights have some",
    );
    check(
        "jina-v3-plain",
        "lora_adaptations",
        json!(["a"]),
        "expected shape [1, 29, 2], got [3, 29, 2]",
    );
    check("jina-v3-plain", "lora_rank", json!(3), "expected shape [3, 29, 3], got [3, 29, 2]");
    check("jina-v3-plain", "position_embedding_type", json!("alibi"), "`alibi`");
    check("llama-plain", "num_key_value_heads", json!(3), "which does not divide the 4 heads");
    check(
        "qwen3-plain",
        "head_dim",
        json!(5),
        "head_dim is 5, and rotary positions need an even width",
    );
    check("gemma-plain", "attn_logit_softcapping", json!(50.0), "attn_logit_softcapping `50.0`");
    check("gemma-plain", "head_dim", json!(8), "expected shape [32, 16], got [24, 16]");
    check("t5-plain", "feed_forward_proj", json!("gated-tanh"), "feed_forward_proj `gated-tanh`");
    check("t5-plain", "relative_attention_num_buckets", json!(2), "is 2, not an integer from 4");
    check("t5-plain", "relative_attention_max_distance", json!(3), "is 3, not an integer from 4");
    check("t5-plain", "is_decoder", json!(true), "is_decoder `true`");
    check("clip", "text_config", Value::Null, "text_config is missing");
    check("clip", "text_config", json!({"hidden_size": 15}), "which does not divide the width 15");
    check(
        "clip",
        "text_config",
        json!({"hidden_size": 16, "vocab_size": 30}),
        "expected shape [30, 16]",
    );
    check("vit", "image_size", json!([12, 12]), "image_size is a list");
    check("vit", "patch_size", json!(24), "patch_size is 24, not an integer from 1 to 12");
    check("vit", "image_size", json!(16), "expected shape [1, 17, 16], got [1, 10, 16]");
    check("dinov2", "use_swiglu_ffn", json!(true), "use_swiglu_ffn `true`");
    check("qwen2-plain", "is_causal", json!(false), "is_causal `false with a window`");
}

#[test]
fn weights_beyond_the_range_of_f16() {
    let name = "embeddings.LayerNorm.weight";
    let mut draft = Draft::of("jina-bert-plain");
    draft.tensors.get_mut(name).unwrap().bytes[..4].copy_from_slice(&65_520f32.to_le_bytes());
    draft.convert(Head::Hidden).unwrap();
    let options = ConvertOptions { precision: Precision::F16, ..ConvertOptions::default() };
    let error = convert(draft.dir(), &draft.dir().join("half.onnx"), &options).unwrap_err();
    assert!(
        matches!(&error, Error::TooLargeForF16 { tensor, number: 65_520.0, .. }
        if tensor == name),
        "{error}"
    );
    assert!(!draft.dir().join("half.onnx").exists());
}

/// A head that an architecture does not have is not a missing tensor.
#[test]
fn heads_that_an_architecture_lacks() {
    for head in [Head::MaskedLm, Head::Classifier] {
        let error = Draft::of("qwen3-plain").convert(head).unwrap_err();
        assert!(
            matches!(&error, Error::NoHead { model_type, head: found }
            if model_type == "qwen3" && *found == head),
            "{error}"
        );
        assert!(error.hint().is_some());
    }
}

/// A thousand damaged headers from a fixed seed: each is read or rejected without a panic, and accepted
/// ones have the bytes that they declare.
#[test]
fn mutated_headers_never_panic() {
    let draft = Draft::of("distilbert-mlm");
    let (header, numbers) = draft.parts();
    let header = header.to_string();
    let whole = file_of(&header, &numbers);
    let head_end = 8 + header.len();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let interesting: [&[u8]; 12] = [
        b"0",
        b"9",
        b"-1",
        b"18446744073709551615",
        b"[",
        b"]",
        b"{",
        b"}",
        b"\"",
        b",",
        b"\xff",
        b"1e400",
    ];
    let (mut refused, mut accepted) = (0, 0);
    for _ in 0..1000 {
        let mut file = whole.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(head_end);
            match random.below(4) {
                0 => file[at] ^= 1 << random.below(8),
                1 => drop(file.splice(at..at, interesting[random.below(12)].iter().copied())),
                2 => drop(file.drain(at..(at + 1 + random.below(4)).min(file.len()))),
                _ => {
                    // The same change with a length that fits, so that the parser sees it.
                    let text = interesting[random.below(12)];
                    file.splice(at.max(8)..at.max(8) + 1, text.iter().copied());
                    let length = file.len() - numbers.len() - 8;
                    file[..8].copy_from_slice(&(length as u64).to_le_bytes());
                }
            }
        }
        match draft.convert_raw(&file, Head::Hidden) {
            Ok(done) => {
                accepted += 1;
                assert_eq!(fs::metadata(draft.dir().join("out.onnx")).unwrap().len(), done.bytes);
            }
            Err(error) => {
                refused += 1;
                assert!(!message(&error).is_empty());
            }
        }
    }
    assert!(refused > 600 && accepted > 0, "{refused} refused, {accepted} accepted");
}

/// Xorshift64* generator with a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}
