"""Makes the tiny checkpoints of the newer architectures, beside those of make.py.

Needs torch, transformers and safetensors; see README.md. Usage: python architectures.py [NAME...]
Every folder gets config.json and the weights as the architecture's own checkpoints have them, and
expected.safetensors with inputs and outputs.
"""

import json
import math
import shutil
import sys
import tempfile
import types
import zlib

import torch
from safetensors.torch import load_file, save_file
from transformers import AlbertConfig, AutoModelForCausalLM, BertConfig, CLIPConfig, CLIPModel, DebertaV2Config, Dinov2Config, ElectraConfig, Gemma3TextConfig, GteConfig, JinaEmbeddingsV3Config, LlamaConfig, MistralConfig, ModernBertConfig, NomicBertConfig, Qwen2Config, Qwen3Config, SiglipConfig, SiglipModel, T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel, ViTConfig, XLMRobertaConfig

from make import CLASSIFIER, HERE, LABELS, MLM, PLAIN, WORDS, inputs

USUAL = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, vocab_size=WORDS)
NTK = dict(rope_theta=500000.0, rope_scaling={"type": "ntk", "factor": 2.0})
MODERN = dict(
    USUAL, max_position_embeddings=24, local_attention=8, norm_eps=1e-3,
    pad_token_id=1, bos_token_id=0, cls_token_id=0, eos_token_id=2, sep_token_id=2,
)


CAUSAL = AutoModelForCausalLM
RANK = 2
NARROW = dict(embedding_size=8, max_position_embeddings=24, layer_norm_eps=1e-3)
DEBERTA = dict(max_position_embeddings=24, relative_attention=True, layer_norm_eps=1e-3, pooler_hidden_size=16)


DECODER = dict(USUAL, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=24, rms_norm_eps=1e-3, pad_token_id=0, bos_token_id=1, eos_token_id=2)


SCALED = dict(DECODER, num_hidden_layers=2, head_dim=12)
GEMMA = dict(DECODER, head_dim=6, query_pre_attn_scalar=5)
T5 = dict(d_model=16, d_kv=6, d_ff=24, num_layers=2, num_heads=2, vocab_size=WORDS, relative_attention_num_buckets=8, layer_norm_epsilon=1e-3, pad_token_id=0)


def gemma_of_the_hub(config):
    """The entries that configurations had before transformers 5."""
    config.pop("layer_types"), config.pop("rope_parameters")
    return config | dict(sliding_window_pattern=2, rope_theta=1e6, rope_local_base_freq=1e4, rope_scaling=None)


def gemma_linear_of_the_hub(config):
    """The same, of larger models, whose positions are scaled in the layers that see everything."""
    return gemma_of_the_hub(config) | dict(rope_scaling=dict(rope_type="linear", factor=8.0))


def rope_of_the_hub(config):
    """The entry that configurations had before transformers 5."""
    return config | dict(rope_theta=config.pop("rope_parameters")["rope_theta"], rope_scaling=None)


def scaled_of_the_hub(config):
    """The entries that configurations had before transformers 5, of scaled positions."""
    parameters = config.pop("rope_parameters")
    theta, kind = parameters.pop("rope_theta"), parameters.pop("rope_type")
    return config | dict(rope_theta=theta, rope_scaling=dict(parameters, type=kind))


def jina_of_the_hub(config):
    return config | dict(position_embedding_type="alibi", feed_forward_type="geglu", emb_pooler="mean")


def modern_of_the_hub(config):
    """The entries that configurations had before transformers 5."""
    config.pop("layer_types"), config.pop("rope_parameters")
    return config | dict(global_attn_every_n_layers=3, global_rope_theta=160000.0, local_rope_theta=10000.0)


def gte_of_the_hub(config):
    config.pop("rope_parameters")
    more = dict(model_type="new", position_embedding_type="rope", layer_norm_type="layer_norm", pack_qkv=True)
    return config | more | NTK


def nomic_of_the_hub(config):
    names = dict(
        hidden_size="n_embd", num_hidden_layers="n_layer", num_attention_heads="n_head", intermediate_size="n_inner",
        max_position_embeddings="n_positions", layer_norm_eps="layer_norm_epsilon",
    )
    config = {names.get(key, key): value for key, value in config.items()}
    config.pop("rope_parameters"), config.pop("hidden_act"), config.pop("head_dim")
    return config | dict(
        activation_function="swiglu", prenorm=False, rotary_emb_base=1000, rotary_emb_fraction=1.0,
        rotary_emb_interleaved=False, rotary_scaling_factor=None, qkv_proj_bias=False, mlp_fc1_bias=False,
        mlp_fc2_bias=False, causal=False, use_rms_norm=False,
    )


def ntk(rotary, width):
    """Scaled frequencies of GTE's own implementation, by its formula (https://kexue.fm/archives/9706)."""
    factor = NTK["rope_scaling"]["factor"]
    frequencies = 1.0 / ((NTK["rope_theta"] * factor) ** (torch.arange(0, width, 2).float() / width))
    rotary.inv_freq = frequencies / factor ** (2 / width)


def jina_v3_of_the_hub(config):
    config.pop("rope_parameters")
    tasks = ["retrieval.query", "retrieval.passage", "separation"]
    more = dict(lora_adaptations=tasks, lora_rank=RANK, lora_alpha=1, load_trained_adapters=True)
    return config | more | dict(model_type="xlm-roberta", position_embedding_type="rotary", rotary_emb_base=20000.0)


def with_adapters(tensors):
    """The checkpoint with adapters of three tasks for every table and linear layer, all random."""
    adapted = {}
    for name, value in tensors.items():
        if value.dim() == 1:
            adapted[name] = value
            continue
        name = name.removesuffix("weight") + "parametrizations.weight."
        first, second = (3, RANK, value.shape[1]), (3, value.shape[0], RANK)
        if "embeddings" in name:
            first, second = (3, value.shape[0], RANK), (3, RANK, value.shape[1])
        adapted |= {name + "original": value, name + "0.lora_A": torch.randn(first), name + "0.lora_B": 0.5 * torch.randn(second)}
    return adapted


def of_task(tensors, task):
    """The checkpoint with the adapters of one task added to its matrices."""
    merged = {}
    for name, value in tensors.items():
        if "parametrizations" not in name:
            merged[name] = value
        elif name.endswith("original"):
            start = name.removesuffix("original")
            first, second = tensors[start + "0.lora_A"][task], tensors[start + "0.lora_B"][task]
            change = first @ second if "embeddings" in name else second @ first
            merged[start.removesuffix("parametrizations.weight.") + "weight"] = value + change / RANK
    return merged


def flash_of_the_hub(tensors):
    """XLM-RoBERTa under the names that Jina's implementation with flash attention has."""
    names = {
        "embeddings.LayerNorm": "emb_ln", "encoder.layer.": "encoder.layers.", "attention.output.dense": "mixer.out_proj",
        "attention.output.LayerNorm": "norm1", "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2", "output.LayerNorm": "norm2",
    }
    renamed = {}
    for name, value in tensors.items():
        for old, new in names.items():
            name = name.replace(old, new)
        renamed[name] = value
    for name in [name for name in renamed if "attention.self.query" in name]:
        parts = [renamed.pop(name.replace("query", part)) for part in ("query", "key", "value")]
        renamed[name.replace("attention.self.query", "mixer.Wqkv")] = torch.cat(parts)
    return renamed


class Experts(torch.nn.Module):
    """The mixture of experts of Nomic's v2, from its description: two of four, weighted, not normalised."""

    def __init__(self, width, inner, count):
        super().__init__()
        self.router = torch.nn.Module()
        self.router.layer = torch.nn.Linear(width, count, bias=False)
        self.experts = torch.nn.Module()
        self.experts.mlp = torch.nn.Module()
        self.experts.mlp.w1 = torch.nn.Parameter(torch.zeros(count * inner, width))
        self.experts.mlp.w2 = torch.nn.Parameter(torch.zeros(count * inner, width))
        self.experts.bias = torch.nn.Parameter(torch.zeros(width))
        self.count = count

    def forward(self, x):
        weights, chosen = self.router.layer(x).softmax(-1).topk(2)
        up, down = (matrix.view(self.count, -1, x.shape[-1]) for matrix in (self.experts.mlp.w1, self.experts.mlp.w2))
        out = torch.zeros_like(x)
        for expert in range(self.count):
            weight = (weights * (chosen == expert)).sum(-1, keepdim=True)
            out += weight * (torch.nn.functional.gelu(x @ up[expert].T) @ down[expert])
        return out + self.experts.bias


class PlainMlp(torch.nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(width, inner), torch.nn.Linear(inner, width)

    def forward(self, x):
        return self.fc2(torch.nn.functional.gelu(self.fc1(x)))


def mixture(model):
    width, inner = model.config.hidden_size, model.config.intermediate_size
    for index, layer in enumerate(model.layers):
        layer.mlp = Experts(width, inner, 4) if index % 2 == 1 else PlainMlp(width, inner)
        for part in "q_proj", "k_proj", "v_proj", "o_proj":
            setattr(layer.self_attn, part, torch.nn.Linear(width, width))


def nomic_mixture_of_the_hub(config):
    more = dict(activation_function="gelu", moe_every_n_layers=2, num_experts=4, moe_top_k=2, rotary_emb_base=10000)
    more |= dict(moe_normalize_expert_weights=False, expert_choice_router=False, num_shared_experts=0)
    return nomic_of_the_hub(config) | more | dict(qkv_proj_bias=True, mlp_fc1_bias=True, mlp_fc2_bias=True)


class JinaBert(torch.nn.Module):
    """Jina's BERT, whose code is on the hub only, from its description: BERT with ALiBi in both directions and GeGLU."""

    code = False
    parts = ["gated_layers", "wo"]
    norms = ["attention.output.LayerNorm", "mlp.layernorm"]

    def __init__(self, config):
        super().__init__()
        self.config = config
        width, inner = config.hidden_size, config.intermediate_size
        shapes = {"embeddings.word_embeddings.weight": (config.vocab_size, width)}
        shapes |= {"embeddings.token_type_embeddings.weight": (config.type_vocab_size, width)}
        norms = ["embeddings.LayerNorm"]
        for layer in range(config.num_hidden_layers):
            name = f"encoder.layer.{layer}."
            for part in "query", "key", "value":
                shapes |= {f"{name}attention.self.{part}.weight": (width, width), f"{name}attention.self.{part}.bias": (width,)}
            shapes |= {f"{name}attention.output.dense.weight": (width, width), f"{name}attention.output.dense.bias": (width,)}
            shapes |= {f"{name}mlp.{self.parts[0]}.weight": (2 * inner, width)}
            shapes |= {f"{name}mlp.{self.parts[1]}.weight": (width, inner), f"{name}mlp.{self.parts[1]}.bias": (width,)}
            norms += [name + norm for norm in self.norms]
        shapes |= {f"{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")}
        self.tensors = {name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}

    def named_parameters(self):
        return self.tensors.items()

    def save_pretrained(self, folder):
        save_file({name: weight.detach() for name, weight in self.tensors.items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(self.config.to_json_string())

    def slopes(self):
        def powers(heads):
            start = 2 ** (-(2 ** -(math.log2(heads) - 3)))
            return [start * start**i for i in range(heads)]

        heads = self.config.num_attention_heads
        below = 2 ** math.floor(math.log2(heads))
        return torch.tensor(powers(below) + powers(2 * below)[0::2][: heads - below])

    def forward(self, input_ids, attention_mask, token_type_ids, **_):
        from torch.nn.functional import gelu, layer_norm, linear

        tensors, config = self.tensors, self.config
        heads, width = config.num_attention_heads, config.hidden_size
        dense = lambda x, name: linear(x, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))
        norm = lambda x, name: layer_norm(x, (width,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], config.layer_norm_eps)
        split = lambda x: x.view(*x.shape[:2], heads, width // heads).transpose(1, 2)
        x = tensors["embeddings.word_embeddings.weight"][input_ids]
        x = norm(x + tensors["embeddings.token_type_embeddings.weight"][token_type_ids], "embeddings.LayerNorm")
        places = torch.arange(input_ids.shape[1])
        bias = -(places[None, :] - places[:, None]).abs() * self.slopes()[:, None, None]
        bias = bias + (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
        for layer in range(config.num_hidden_layers):
            name = f"encoder.layer.{layer}."
            query, key, value = (dense(x, f"{name}attention.self.{part}") for part in ("query", "key", "value"))
            if self.code:
                query, key = (norm(y, f"{name}attention.self.layer_norm_{part}") for part, y in (("q", query), ("k", key)))
            query, key, value = split(query), split(key), split(value)
            weights = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(width // heads) + bias, -1)
            context = (weights @ value).transpose(1, 2).reshape(x.shape)
            attended = norm(x + dense(context, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm")
            x = norm(x + attended, f"{name}layer_norm_1") if self.code else attended
            first, second = dense(x, f"{name}mlp.{self.parts[0]}").chunk(2, -1)
            inner = first * gelu(second) if self.code else gelu(first) * second
            x = norm(x + dense(inner, f"{name}mlp.{self.parts[1]}"), f"{name}{self.norms[-1]}")
        return types.SimpleNamespace(last_hidden_state=x, attentions=[weights])

    @classmethod
    def from_config(cls, config):
        return cls(config)


class JinaCodeBert(JinaBert):
    """Its form for code: norms of queries and keys, and one more of the attention."""

    code = True
    parts = ["up_gated_layer", "down_layer"]
    norms = ["attention.self.layer_norm_q", "attention.self.layer_norm_k", "attention.output.LayerNorm", "layer_norm_1", "layer_norm_2"]


# name, model, configuration, type of the weights, change of the configuration, change of the model,
# prefix of the model's tensors in its own checkpoints
CHECKPOINTS = [
    ("modernbert-mlm", MLM, ModernBertConfig(**MODERN), torch.float32, dict(config=modern_of_the_hub)),
    ("modernbert-classifier", CLASSIFIER, ModernBertConfig(**MODERN, **LABELS, classifier_pooling="mean", norm_bias=True, mlp_bias=True, attention_bias=True, classifier_bias=True), torch.float16, {}),
    ("modernbert-plain", PLAIN, ModernBertConfig(**dict(MODERN, num_hidden_layers=2), layer_types=["sliding_attention", "full_attention"]), torch.bfloat16, {}),
    ("gte-plain", PLAIN, GteConfig(**USUAL, max_position_embeddings=24, layer_norm_eps=1e-3, type_vocab_size=0), torch.float32, dict(config=gte_of_the_hub, model=lambda model: ntk(model.rotary_emb, 8))),
    ("gte-mlm", MLM, GteConfig(**USUAL, max_position_embeddings=24, rope_parameters=dict(rope_type="default", rope_theta=20000.0)), torch.float32, {}),
    ("gte-classifier", CLASSIFIER, GteConfig(**USUAL, **LABELS, max_position_embeddings=24, type_vocab_size=2, hidden_act="gelu_new"), torch.float16, dict(prefix=("gte.", "new."))),
    ("nomic-plain", PLAIN, NomicBertConfig(**USUAL, max_position_embeddings=24, layer_norm_eps=1e-3), torch.float32, dict(config=nomic_of_the_hub)),
    ("nomic-mlm", MLM, NomicBertConfig(**USUAL, max_position_embeddings=24), torch.bfloat16, {}),
    ("nomic-mixture", PLAIN, NomicBertConfig(**USUAL, max_position_embeddings=24, type_vocab_size=1, rope_parameters=dict(rope_type="default", rope_theta=10000.0)), torch.float32, dict(config=nomic_mixture_of_the_hub, model=mixture)),
    ("albert-mlm", MLM, AlbertConfig(**USUAL, **NARROW), torch.float32, {}),
    ("albert-classifier", CLASSIFIER, AlbertConfig(**dict(USUAL, num_hidden_layers=5), **NARROW, **LABELS, num_hidden_groups=2, inner_group_num=2), torch.float16, {}),
    ("electra-mlm", MLM, ElectraConfig(**USUAL, **NARROW), torch.float32, {}),
    ("electra-classifier", CLASSIFIER, ElectraConfig(**USUAL, embedding_size=16, max_position_embeddings=24, **LABELS), torch.bfloat16, {}),
    ("deberta-mlm", MLM, DebertaV2Config(**USUAL, **DEBERTA, position_buckets=8, pos_att_type="p2c|c2p", norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False), torch.float32, {}),
    ("deberta-classifier", CLASSIFIER, DebertaV2Config(**USUAL, **DEBERTA, **LABELS, max_relative_positions=6, pos_att_type=["p2c"], type_vocab_size=2), torch.float16, {}),
    ("deberta-plain", PLAIN, DebertaV2Config(**USUAL, **DEBERTA, pos_att_type=["c2p"], position_buckets=4, position_biased_input=False), torch.float32, {}),
    ("jina-v3-plain", PLAIN, JinaEmbeddingsV3Config(**dict(USUAL, num_hidden_layers=2), max_position_embeddings=24, layer_norm_eps=1e-3), torch.float32, dict(config=jina_v3_of_the_hub, tensors=with_adapters)),
    ("jina-v3-mlm", MLM, JinaEmbeddingsV3Config(**USUAL, max_position_embeddings=24, type_vocab_size=2), torch.float16, {}),
    ("xlm-roberta-flash", CLASSIFIER, XLMRobertaConfig(**USUAL, **LABELS, type_vocab_size=1, max_position_embeddings=26, pad_token_id=1, bos_token_id=0, eos_token_id=2), torch.float32, dict(tensors=flash_of_the_hub)),
    ("llama-plain", PLAIN, LlamaConfig(**dict(DECODER, num_key_value_heads=1), attention_bias=True, mlp_bias=True), torch.float16, dict(config=rope_of_the_hub)),
    ("mistral-plain", PLAIN, MistralConfig(**DECODER, sliding_window=5), torch.float32, {}),
    ("qwen2-plain", PLAIN, Qwen2Config(**DECODER, use_sliding_window=True, sliding_window=5, max_window_layers=1), torch.bfloat16, {}),
    ("qwen2-bidirectional", PLAIN, Qwen2Config(**DECODER, is_causal=False), torch.float32, dict(config=rope_of_the_hub)),
    ("qwen3-plain", PLAIN, Qwen3Config(**DECODER, head_dim=6, rope_parameters=dict(rope_type="default", rope_theta=1e6)), torch.float32, {}),
    ("llama-linear", PLAIN, LlamaConfig(**SCALED, rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.5)), torch.float32, dict(config=scaled_of_the_hub)),
    ("llama-dynamic", PLAIN, LlamaConfig(**SCALED, rope_parameters=dict(rope_type="dynamic", rope_theta=1e4, factor=4.0)), torch.float32, {}),
    ("llama-llama3", PLAIN, LlamaConfig(**SCALED, rope_parameters=dict(rope_type="llama3", rope_theta=20.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)), torch.float32, {}),
    ("qwen2-yarn", PLAIN, Qwen2Config(**SCALED, rope_parameters=dict(rope_type="yarn", rope_theta=20.0, factor=4.0, original_max_position_embeddings=12, beta_fast=2.0, beta_slow=0.2)), torch.float32, dict(config=scaled_of_the_hub)),
    ("qwen3-yarn", PLAIN, Qwen3Config(**SCALED, rope_parameters=dict(rope_type="yarn", rope_theta=1e4, factor=3.0, mscale=0.7, mscale_all_dim=1.2, truncate=False)), torch.float32, {}),
    ("gemma-linear", PLAIN, Gemma3TextConfig(**dict(GEMMA, num_hidden_layers=2), sliding_window=5, layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=1e4), full_attention=dict(rope_type="linear", rope_theta=1e6, factor=8.0))), torch.float32, dict(config=gemma_linear_of_the_hub, spread=0.2)),
    ("gemma-plain", PLAIN, Gemma3TextConfig(**GEMMA, sliding_window=7, sliding_window_pattern=2, use_bidirectional_attention=True), torch.float32, dict(config=gemma_of_the_hub, spread=0.2)),
    ("gemma-causal", PLAIN, Gemma3TextConfig(**dict(GEMMA, num_hidden_layers=2), sliding_window=5, attention_bias=True), torch.bfloat16, dict(spread=0.2)),
    ("llama-tokens", CAUSAL, LlamaConfig(**DECODER), torch.float16, {}),
    ("qwen2-tokens", CAUSAL, Qwen2Config(**DECODER), torch.bfloat16, {}),
    ("qwen3-tokens", CAUSAL, Qwen3Config(**DECODER, head_dim=6, tie_word_embeddings=True), torch.float32, {}),
    ("gemma-tokens", CAUSAL, Gemma3TextConfig(**GEMMA, sliding_window=7, sliding_window_pattern=2), torch.float32, dict(spread=0.2)),
    ("t5-plain", T5EncoderModel, T5Config(**T5, feed_forward_proj="relu", relative_attention_max_distance=12), torch.float32, dict(spread=0.2)),
    ("t5-gated", T5EncoderModel, T5Config(**T5, feed_forward_proj="gated-gelu", relative_attention_max_distance=40), torch.float16, dict(spread=0.2)),
    ("umt5-plain", UMT5EncoderModel, UMT5Config(**T5, relative_attention_max_distance=12), torch.bfloat16, dict(spread=0.2)),
    ("jina-bert-plain", JinaBert, BertConfig(**dict(USUAL, hidden_size=24, num_attention_heads=3), max_position_embeddings=24, layer_norm_eps=1e-3), torch.float32, dict(config=jina_of_the_hub)),
    ("jina-bert-code", JinaCodeBert, BertConfig(**dict(USUAL, num_hidden_layers=2), max_position_embeddings=24, layer_norm_eps=1e-3), torch.float16, dict(config=jina_of_the_hub)),
]


TOWER = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
IMAGE = dict(image_size=12, patch_size=4, num_channels=3)
CLIP = dict(
    text_config=dict(TOWER, vocab_size=WORDS, max_position_embeddings=12, eos_token_id=WORDS - 1, bos_token_id=0, pad_token_id=1),
    vision_config=dict(TOWER, **IMAGE), projection_dim=6,
)

# name, model, configuration, type of the weights, sides of the images
TOWERS = [
    ("clip", CLIPModel, CLIPConfig(**CLIP), torch.float32, [12]),
    ("clip-older", CLIPModel, CLIPConfig(**dict(CLIP, text_config=dict(CLIP["text_config"], eos_token_id=2, hidden_act="gelu"))), torch.float16, [12]),
    ("siglip", SiglipModel, SiglipConfig(text_config=dict(TOWER, vocab_size=WORDS, max_position_embeddings=12, projection_size=6, layer_norm_eps=1e-3, bos_token_id=0, eos_token_id=2), vision_config=dict(TOWER, **IMAGE)), torch.bfloat16, [12]),
    ("vit", PLAIN, ViTConfig(**TOWER, **IMAGE), torch.bfloat16, [12]),
    ("dinov2", PLAIN, Dinov2Config(**dict(TOWER, mlp_ratio=2), **IMAGE), torch.float32, [12, 20]),
]


def texts():
    """Four texts that end with the largest id, padded on the right."""
    ids = torch.randint(3, WORDS - 1, (4, 12))
    mask = torch.ones_like(ids)
    for row, length in enumerate([12, 7, 2, 1]):
        ids[row, length - 1] = WORDS - 1
        ids[row, length:], mask[row, length:] = 1, 0
    return ids, mask


def tower_outputs(model, sides):
    values = {}
    for label, side in zip(("image", "other"), sides):
        pixels = torch.randn(2, 3, side, side + 4 if label == "other" else side)
        values[f"{label}.pixel_values"] = pixels
        if isinstance(model, (CLIPModel, SiglipModel)):
            values[f"{label}.image"] = model.get_image_features(pixel_values=pixels).pooler_output
        else:
            got = model(pixel_values=pixels, output_attentions=True)
            values |= {f"{label}.hidden": got.last_hidden_state, f"{label}.attention": got.attentions[-1]}
            values[f"{label}.image"] = got.last_hidden_state[:, 0]
    if isinstance(model, CLIPModel):
        ids, mask = texts()
        values |= {"text.input_ids": ids, "text.attention_mask": mask}
        values["text.text"] = model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
        values["text.hidden"] = model.text_model(input_ids=ids, attention_mask=mask).last_hidden_state
    if isinstance(model, SiglipModel):
        ids, _ = texts()
        values |= {"text.input_ids": ids, "text.text": model.get_text_features(input_ids=ids).pooler_output}
        values["text.hidden"] = model.text_model(input_ids=ids).last_hidden_state
    return values


def make_tower(name, kind, config, dtype, sides):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config._attn_implementation = "eager"
    model = (getattr(kind, "from_config", None) or kind._from_config)(config).eval()
    randomise(model, dtype)
    write(folder, model, dtype, {})
    with torch.no_grad():
        values = {key: value.contiguous().clone() for key, value in tower_outputs(model, sides).items()}
    save_file(values, folder / "expected.safetensors")
    print(name, {key: (tuple(value.shape), round(value.abs().max().item(), 2)) for key, value in values.items() if value.is_floating_point()})


def randomise(model, dtype, spread=0.3):
    """Weights large enough that every part of the model shows, rounded to what will be stored."""
    gemma = model.config.model_type.startswith("gemma")  # norms store the difference from one
    with torch.no_grad():
        for name, weight in model.named_parameters():
            norm = "norm" in name.lower() and name.endswith("weight")
            centre = 1.0 if norm and not gemma else 0.0
            weight.copy_((centre + spread * torch.randn_like(weight)).to(dtype).to(torch.float32))


def outputs(model, kind, ids, mask, given):
    with torch.no_grad():
        encoder = model.base_model if kind in (MLM, CLASSIFIER, CAUSAL) else model
        result = {"hidden": encoder(input_ids=ids, attention_mask=mask, **given).last_hidden_state}
        got = model(input_ids=ids, attention_mask=mask, output_attentions=True, **given)
    result["attention"] = got.attentions[-1]
    if kind in (MLM, CLASSIFIER):
        result["mlm" if kind is MLM else "classifier"] = got.logits
    if kind is CAUSAL:  # of the last token but padding
        places = (mask * torch.arange(mask.shape[1])).argmax(dim=1)
        last = got.logits[torch.arange(len(ids)), places]
        result |= {"next-token-7-5": last[:, [7, 5]], "next-token-28": last[:, [28]]}
    return result


def write(folder, model, dtype, changes):
    """The checkpoint as the architecture's own are: names as `save_pretrained` has them."""
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tensors = load_file(folder / "model.safetensors")
    old, new = changes.get("prefix", ("", ""))
    tensors = {new + name.removeprefix(old) if name.startswith(old) else name: value for name, value in tensors.items()}
    tensors = changes.get("tensors", lambda tensors: tensors)(tensors)
    save_file({name: value.to(dtype).contiguous() for name, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config = changes.get("config", lambda config: config)(config)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def expected(folder, model, kind, config):
    """Outputs for one token, a few, and as many as the model takes; each for another task, if it has tasks."""
    values = {}
    tensors = load_file(folder / "model.safetensors")
    longest = getattr(config, "max_position_embeddings", 24) - (2 if config.model_type == "xlm-roberta" else 0)
    for task, (label, length) in enumerate({"one": 1, "short": 9, "limit": longest}.items()):
        if any("lora" in name for name in tensors):
            values[f"{label}.task_id"] = torch.tensor(task)
            with tempfile.TemporaryDirectory() as merged:
                config.save_pretrained(merged)
                save_file(of_task(tensors, task), f"{merged}/model.safetensors", {"format": "pt"})
                model = kind.from_pretrained(merged, attn_implementation="eager").eval()
        ids, mask, token_types = inputs(config, length)
        mask[:, 0] = 1 if length == 1 else mask[:, 0]
        values |= {f"{label}.input_ids": ids, f"{label}.attention_mask": mask}
        given = {"token_type_ids": token_types} if getattr(config, "type_vocab_size", 0) > 1 else {}
        if given:
            values[f"{label}.token_type_ids"] = token_types
        got = outputs(model, kind, ids, mask, given)
        if label != "short":
            got = {key: value for key, value in got.items() if key == "hidden" or key.startswith("next-token")}
        values |= {f"{label}.{key}": value for key, value in got.items()}
    return {key: value.contiguous().clone() for key, value in values.items()}


def make(name, kind, config, dtype, changes):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config._attn_implementation = "eager"
    model = getattr(kind, "from_config", None) or kind._from_config
    model = model(config).eval()
    changes.get("model", lambda model: None)(model)
    randomise(model, dtype, changes.get("spread", 0.3))
    write(folder, model, dtype, changes)
    values = expected(folder, model, kind, config)
    save_file(values, folder / "expected.safetensors")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(name, size, {key: round(value.abs().max().item(), 2) for key, value in values.items() if value.is_floating_point()})


if __name__ == "__main__":
    for checkpoint in CHECKPOINTS + TOWERS:
        if len(sys.argv) == 1 or checkpoint[0] in sys.argv[1:]:
            torch.manual_seed(zlib.crc32(checkpoint[0].encode()))
            (make_tower if checkpoint in TOWERS else make)(*checkpoint)
