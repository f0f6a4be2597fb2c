"""Makes the tiny models beside this file and what PyTorch computes from them.

Needs torch, transformers, tokenizers and onnx; see README.md. Usage: python make.py
The formulas are those of the paper on BGE-M3 (arXiv 2402.03216): the vector of the first token, a linear function of
each token's vector with the largest value of each token's id, and a linear layer for each token but the first.
"""

import json
import pathlib
import shutil

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
WORDS = SPECIAL + "the quick brown fox jumps over lazy dog cat sleeps under tree house . , !".split() + ["<mask>"]
WIDTH, DIM, LIMIT = 8, 6, 14
TEXTS = [
    "the quick brown fox jumps over the lazy dog .",
    "cat",
    "",
    "unknown words , the <mask> sleeps !",
    "the dog sleeps under the tree , the cat sleeps under the house , the fox jumps .",
]


def tokenizer():
    inner = Tokenizer(models.WordLevel({word: id for id, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>", pad_token="<pad>",
        unk_token="<unk>", mask_token="<mask>", model_max_length=LIMIT,
    )


def heads(dtype):
    """The two linear layers, rounded to the type in which they are stored."""
    sparse, multi = torch.nn.Linear(WIDTH, 1), torch.nn.Linear(WIDTH, DIM)
    with torch.no_grad():
        for parameter in [*sparse.parameters(), *multi.parameters()]:
            parameter.copy_(torch.randn_like(parameter).to(dtype).float())
    return sparse, multi


def embeddings(ids, hidden, sparse, multi):
    """The three embeddings of one text, without padding."""
    unit = torch.nn.functional.normalize
    weights = torch.relu(sparse(hidden)).squeeze(-1)
    terms = {}
    for id, weight in zip(ids, weights.tolist()):
        if id not in range(len(SPECIAL)) and weight > 0:
            terms[id] = max(weight, terms.get(id, 0.0))
    return {
        "dense": unit(hidden[0], dim=-1).tolist(),
        "sparse": sorted(terms.items()),
        "multi_vector": unit(multi(hidden[1:]), dim=-1).tolist(),
    }


def expected(folder, split, hidden, sparse, multi):
    results = []
    for text in TEXTS:
        ids = split(text, truncation=True)["input_ids"]
        with torch.no_grad():
            results.append(embeddings(ids, hidden(ids), sparse, multi) | {"tokens": len(ids)})
    (folder / "expected.json").write_text(json.dumps({"texts": TEXTS, "embeddings": results}) + "\n")


def checkpoint(name, dtype):
    """An encoder with its heads beside it."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    config = XLMRobertaConfig(
        vocab_size=len(WORDS), hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=LIMIT + 2, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )
    model = XLMRobertaModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.copy_((1.0 if "LayerNorm.weight" in key else 0.0) + 0.4 * torch.randn_like(weight))
    model.save_pretrained(folder)
    split = tokenizer()
    split.save_pretrained(folder)
    sparse, multi = heads(dtype)
    for module, stem in [(sparse, "sparse_linear"), (multi, "colbert_linear")]:
        state = {key: value.to(dtype) for key, value in module.state_dict().items()}
        torch.save(state, folder / f"{stem}.pt")
        save_file(state, folder / f"{stem}.safetensors")
    expected(folder, split, lambda ids: model(torch.tensor([ids])).last_hidden_state[0], sparse, multi)


def graph(name):
    """A graph with an output for each head, over a table of vectors, whose names and shapes are those of exports."""
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    split = tokenizer()
    split.save_pretrained(folder)
    sparse, multi = heads(torch.float32)
    table = torch.randn(len(WORDS), WIDTH)

    def constant(key, value):
        return numpy_helper.from_array(np.asarray(value), key)

    tensors = {
        "table": table.numpy(), "sparse": sparse.weight.detach().numpy().T, "sparse_bias": sparse.bias.detach().numpy(),
        "multi": multi.weight.detach().numpy().T, "multi_bias": multi.bias.detach().numpy(), "zero": np.int64(0),
        "one": np.array([1]), "end": np.array([2**31]), "last": np.array([-1]), "tiny": np.float32(1e-12),
    }
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["hidden"]),
        helper.make_node("Gather", ["hidden", "zero"], ["first"], axis=1),
        helper.make_node("ReduceL2", ["first"], ["first_norm"], axes=[-1]),
        helper.make_node("Max", ["first_norm", "tiny"], ["first_least"]),
        helper.make_node("Div", ["first", "first_least"], ["dense_vecs"]),
        helper.make_node("MatMul", ["hidden", "sparse"], ["weight"]),
        helper.make_node("Add", ["weight", "sparse_bias"], ["biased"]),
        helper.make_node("Relu", ["biased"], ["sparse_vecs"]),
        helper.make_node("Slice", ["hidden", "one", "end", "one"], ["rest"]),
        helper.make_node("MatMul", ["rest", "multi"], ["vector"]),
        helper.make_node("Add", ["vector", "multi_bias"], ["vectors"]),
        helper.make_node("Slice", ["attention_mask", "one", "end", "one"], ["seen"]),
        helper.make_node("Cast", ["seen"], ["seen_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["seen_float", "last"], ["mask"]),
        helper.make_node("Mul", ["vectors", "mask"], ["colbert_vecs"]),
    ]
    ports = [helper.make_tensor_value_info(key, TensorProto.INT64, ["batch", "tokens"]) for key in ("input_ids", "attention_mask")]
    outputs = [
        helper.make_tensor_value_info("dense_vecs", TensorProto.FLOAT, ["batch", WIDTH]),
        helper.make_tensor_value_info("sparse_vecs", TensorProto.FLOAT, ["batch", "tokens", 1]),
        helper.make_tensor_value_info("colbert_vecs", TensorProto.FLOAT, ["batch", "tokens_1", DIM]),
    ]
    whole = helper.make_graph(nodes, "m3", ports, outputs, [constant(key, value) for key, value in tensors.items()])
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    expected(folder, split, lambda ids: table[ids], sparse, multi)


if __name__ == "__main__":
    torch.manual_seed(0)
    checkpoint("checkpoint", torch.float16)
    graph("outputs")
