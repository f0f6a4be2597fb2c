"""Makes the tiny checkpoints beside this file and what PyTorch computes from them.

Needs torch, transformers and safetensors; see README.md. Usage: python make.py
Every folder gets config.json, the weights, and expected.safetensors with inputs and outputs.
"""

import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    MPNetConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

HERE = pathlib.Path(__file__).parent
PLAIN, MLM, CLASSIFIER = AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification
WIDTH, LAYERS, HEADS, INNER, WORDS = 8, 2, 2, 12, 29
USUAL = dict(
    hidden_size=WIDTH,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    intermediate_size=INNER,
    vocab_size=WORDS,
    max_position_embeddings=16,
)
DISTIL = dict(
    dim=WIDTH, n_layers=LAYERS, n_heads=HEADS, hidden_dim=INNER, vocab_size=WORDS, max_position_embeddings=16
)
# Larger than in real models, so that a graph with another epsilon differs visibly.
ROBERTA = dict(USUAL, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-2)
MPNET = dict(USUAL, max_position_embeddings=162, pad_token_id=1, layer_norm_eps=1e-3)
LABELS = dict(num_labels=3)

# name, model, configuration, type of the weights, what is done to the checkpoint
CHECKPOINTS = [
    ("bert-mlm", MLM, BertConfig(**USUAL), torch.float32, {"old_norm_names", "position_ids"}),
    ("bert-mlm-untied", MLM, BertConfig(**USUAL, tie_word_embeddings=False), torch.float32, {"shards"}),
    ("bert-plain", PLAIN, BertConfig(**USUAL, hidden_act="relu", layer_norm_eps=1e-2), torch.float16, set()),
    ("bert-classifier", CLASSIFIER, BertConfig(**USUAL, **LABELS, hidden_act="gelu_new"), torch.bfloat16, set()),
    ("roberta-mlm", MLM, RobertaConfig(**ROBERTA), torch.float32, set()),
    ("roberta-classifier", CLASSIFIER, RobertaConfig(**ROBERTA, **LABELS), torch.float16, set()),
    ("xlm-roberta-mlm", MLM, XLMRobertaConfig(**ROBERTA), torch.bfloat16, set()),
    ("xlm-roberta-classifier", CLASSIFIER, XLMRobertaConfig(**ROBERTA, **LABELS), torch.float32, set()),
    ("camembert-plain", PLAIN, CamembertConfig(**dict(ROBERTA, pad_token_id=2, type_vocab_size=2)), torch.float32, set()),
    ("distilbert-mlm", MLM, DistilBertConfig(**DISTIL), torch.float32, set()),
    ("distilbert-classifier", CLASSIFIER, DistilBertConfig(**DISTIL, **LABELS, activation="relu"), torch.float16, set()),
    ("mpnet-mlm", MLM, MPNetConfig(**MPNET), torch.float32, set()),
    ("mpnet-classifier", CLASSIFIER, MPNetConfig(**MPNET, **LABELS), torch.bfloat16, set()),
]


def randomise(model, dtype):
    """Weights large enough that every part of the model shows, rounded to what will be stored."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            centre = 1.0 if "norm.weight" in name.lower() else 0.0
            weight.copy_((centre + 0.4 * torch.randn_like(weight)).to(dtype).to(torch.float32))


def stored(model, dtype, changes):
    """The tensors of the model as a checkpoint has them: shared ones once, in the stored type."""
    tensors, seen = {}, set()
    for name, weight in model.state_dict(keep_vars=True).items():
        if weight.data_ptr() in seen and model.config.tie_word_embeddings:
            continue
        seen.add(weight.data_ptr())
        if "old_norm_names" in changes and "LayerNorm" in name:
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        if weight.is_floating_point():
            tensors[name] = weight.detach().to(dtype).clone().contiguous()
    if "position_ids" in changes:
        tensors["bert.embeddings.position_ids"] = torch.arange(16).unsqueeze(0)
    return tensors


def inputs(config, length):
    """Four rows: full, padded at the right, padded at the left, and all padding."""
    pad = config.pad_token_id
    ids = torch.randint(3, WORDS, (4, length))
    mask = torch.ones_like(ids)
    mask[1, length * 2 // 3 :] = 0
    mask[2, : length // 3] = 0
    mask[3] = 0
    ids[mask == 0] = pad
    types = torch.zeros_like(ids)
    types[:, length // 2 :] = 1
    return ids, mask, types


def outputs(model, kind, ids, mask, types):
    with torch.no_grad():
        got = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, output_attentions=True, **types)
    result = {"hidden": got.hidden_states[-1], "attention": got.attentions[-1]}
    if kind is not PLAIN:
        result["mlm" if kind is MLM else "classifier"] = got.logits
    return result


def make(name, kind, config, dtype, changes):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config._attn_implementation = "eager"
    model = kind.from_config(config).eval()
    randomise(model, dtype)
    tensors = stored(model, dtype, changes)
    if "shards" in changes:
        names = sorted(tensors)
        parts = [names[: len(names) // 2], names[len(names) // 2 :]]
        places = {}
        for number, part in enumerate(parts, 1):
            file = f"model-{number:05}-of-{len(parts):05}.safetensors"
            save_file({name: tensors[name] for name in part}, folder / file)
            places |= {name: file for name in part}
        index = {"metadata": {}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    else:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config.torch_dtype = None
    (folder / "config.json").write_text(config.to_json_string())

    expected = {}
    long = {"long": 150} if isinstance(config, MPNetConfig) else {}
    for label, length in {"short": 9, **long}.items():
        ids, mask, types = inputs(config, length)
        expected |= {f"{label}.input_ids": ids, f"{label}.attention_mask": mask}
        with_types = getattr(config, "type_vocab_size", 1) > 1
        given = {"token_type_ids": types} if with_types else {}
        got = outputs(model, kind, ids, mask, given)
        if label == "long":  # only what shows the bias by distance, of one row
            got = {"hidden": got["hidden"]}
        expected |= {f"{label}.{key}": value for key, value in got.items()}
        if with_types:
            expected[f"{label}.token_type_ids"] = types
            got = outputs(model, kind, ids, mask, {})
            expected |= {f"{label}.{key}-no-token-types": value for key, value in got.items()}
    expected = {key: value.contiguous().clone() for key, value in expected.items()}
    save_file(expected, folder / "expected.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(name, size, {key: round(value.abs().max().item(), 2) for key, value in expected.items() if "." in key and value.is_floating_point()})


def bucket_borders():
    """Distances at which MPNet's bucket changes; the unit test of the buckets holds them."""
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    distances = torch.arange(-1024, 1025)
    buckets = MPNetEncoder.relative_position_bucket(distances)
    changes = (buckets[1:] != buckets[:-1]).nonzero().flatten() + 1
    print("buckets", [(distances[0].item(), buckets[0].item())] + [(distances[i].item(), buckets[i].item()) for i in changes])


if __name__ == "__main__":
    for number, checkpoint in enumerate(CHECKPOINTS):
        torch.manual_seed(number)
        make(*checkpoint)
    bucket_borders()
