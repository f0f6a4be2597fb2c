"""Makes the tiny models beside this file and what sentence-transformers computes from them.

Needs sentence-transformers 6.2 with PyTorch; see README.md. Usage: python make.py [NAME…]
Every folder is saved by sentence-transformers, changed as its entry says, and loaded again: what is in
expected.json was computed from the files that are here.
"""

import json
import pathlib
import shutil
import string
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, BertConfig, BertTokenizerFast

HERE = pathlib.Path(__file__).parent
WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the quick brown fox jumps over lazy dog cat Fox Dog query document other "
    ": . , ! ##s ##ing sleep run under tree house"
).split()
WIDTH, POSITIONS = 8, 24
TEXTS = [
    "the quick brown fox jumps over the lazy dog.",
    "cats sleep",
    "Fox, Dog! unknowable",
    "the fox runs under the tree, the dog sleeps under the house, the cat jumps over the tree.",
    "",
]


def tokenizer(lower=True, words=WORDS):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "vocab.txt"
        path.write_text("\n".join(words))
        return BertTokenizerFast(vocab=str(path), do_lower_case=lower, model_max_length=POSITIONS)


def randomise(model, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            centre = 1.0 if "norm.weight" in name.lower() else 0.0
            weight.copy_(centre + 0.4 * torch.randn_like(weight))
    return model


def config(**more):
    return BertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=POSITIONS,
        **more,
    )


def transformer(auto=AutoModel, lower=True, task="feature-extraction", seed=0, words=WORDS, **more):
    """A Transformer module of a tiny BERT."""
    with tempfile.TemporaryDirectory() as folder:
        randomise(auto.from_config(config(vocab_size=len(words), **more)), seed).save_pretrained(folder)
        tokenizer(lower, words).save_pretrained(folder)
        return Transformer(folder, transformer_task=task)


def dense(width, dim, activation, bias=True, seed=1):
    return randomise(Dense(width, dim, bias=bias, activation_function=activation), seed)


def rewrite(path, change):
    values = json.loads(path.read_text())
    path.write_text(json.dumps(change(values) or values, indent=2) + "\n")


def older(folder):
    """The names and forms of releases before 5.4."""

    def modules(values):
        for module in values:
            module["type"] = "sentence_transformers.models." + module["type"].rsplit(".", 1)[1]

    rewrite(folder / "modules.json", modules)
    flags = {
        "cls": "cls_token",
        "max": "max_tokens",
        "mean": "mean_tokens",
        "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "weightedmean": "weightedmean_tokens",
        "lasttoken": "lasttoken",
    }
    for pooling in folder.glob("*_Pooling/config.json"):

        def flagged(values):
            modes = values["pooling_mode"]
            modes = [modes] if isinstance(modes, str) else modes
            result = {"word_embedding_dimension": values["embedding_dimension"]}
            for mode, flag in flags.items():
                result[f"pooling_mode_{flag}"] = mode in modes
            return result | {"include_prompt": values["include_prompt"]}

        rewrite(pooling, flagged)


def limited(tokens, lower):
    """The sentence_bert_config.json of releases before 5.4."""

    def change(folder):
        older(folder)
        text = {"max_seq_length": tokens, "do_lower_case": lower}
        (folder / "sentence_bert_config.json").write_text(json.dumps(text, indent=2) + "\n")

    return change


def stored(types):
    """Weights of layers in other types."""

    def change(folder):
        for name, dtype in types.items():
            path = folder / name / "model.safetensors"
            save_file({key: value.to(dtype) for key, value in load_file(path).items()}, path)

    return change


def sentence(modules, change=None, **more):
    return lambda: (SentenceTransformer(modules=modules(), **more), SentenceTransformer, change)


def pooled(*modes, **more):
    return Pooling(WIDTH, modes[0] if len(modes) == 1 else modes, **more)


def static(seed=3):
    plain = Tokenizer.from_str(tokenizer().backend_tokenizer.to_str())
    return randomise(StaticEmbedding(plain, embedding_dim=WIDTH), seed)


def sparse(modules):
    return lambda: (SparseEncoder(modules=modules()), SparseEncoder, None)


def splade(pooling, activation):
    return [
        transformer(AutoModelForMaskedLM, task="fill-mask"),
        SpladePooling(pooling_strategy=pooling, activation_function=activation),
    ]


def routed():
    torch.manual_seed(5)
    weight = torch.rand(len(WORDS)).round(decimals=3)
    weight[:3] = 0
    table = SparseStaticEmbedding(tokenizer(), weight=weight)
    return [Router.for_query_document(query_modules=[table], document_modules=splade("max", "log1p_relu"))]


def in_root(folder):
    """The encoder of documents in the root, as in the models of OpenSearch."""
    router = folder / "router_config.json"
    values = json.loads(router.read_text())
    name = next(name for name in values["types"] if name.endswith("Transformer"))
    for path in (folder / name).iterdir():
        path.rename(folder / path.name)
    (folder / name).rmdir()
    values["types"][""] = values["types"].pop(name)
    values["structure"]["document"] = ["" if one == name else one for one in values["structure"]["document"]]
    router.write_text(json.dumps(values, indent=2) + "\n")


def reranker():
    module = transformer(AutoModelForSequenceClassification, task="sequence-classification", num_labels=1)
    return CrossEncoder(modules=[module], activation_fn=torch.nn.Tanh()), CrossEncoder, None


def late():
    # All of punctuation, as in real vocabularies: a word that is none is not skipped.
    module = transformer(words=WORDS + [one for one in string.punctuation if one not in WORDS])
    module.query_length, module.document_length = 8, 12
    module.query_expansion = {"strategy": "fixed", "length": 8, "attend": False}
    modules = [
        module,
        Dense(WIDTH, 4, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings"),
        MultiVectorMask(skiplist_words=list(string.punctuation)),
        Normalize(module_input_name="token_embeddings"),
    ]
    return MultiVectorEncoder(modules=modules), MultiVectorEncoder, None


PROMPTS = {"query": "query: ", "document": "document: ", "other": "other: "}
EVERY = ("lasttoken", "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean")

MODELS = {
    "mean-normalize": sentence(lambda: [transformer(), pooled("mean"), Normalize()], limited(12, False)),
    "cls": sentence(lambda: [transformer(), pooled("cls")]),
    "every-pooling": sentence(lambda: [transformer(), pooled(*EVERY)]),
    "older-concat": sentence(lambda: [transformer(), pooled("cls", "mean", "lasttoken"), Normalize()], older),
    "dense-tanh": sentence(lambda: [transformer(), pooled("max"), dense(WIDTH, 6, torch.nn.Tanh()), Normalize()], older),
    "dense-chain": sentence(
        lambda: [
            transformer(),
            pooled("mean"),
            Normalize(),
            dense(WIDTH, 5, torch.nn.Identity(), bias=False),
            dense(5, 4, torch.nn.GELU(), seed=2),
        ],
        stored({"3_Dense": torch.float16, "4_Dense": torch.bfloat16}),
    ),
    "prompts": sentence(lambda: [transformer(), pooled("mean")], prompts=PROMPTS, default_prompt_name="other"),
    "without-prompt": sentence(
        lambda: [transformer(), pooled(*EVERY, include_prompt=False)], prompts=PROMPTS, default_prompt_name="other"
    ),
    "lower-case": sentence(lambda: [transformer(lower=False), pooled("mean")], limited(24, True)),
    "static": sentence(lambda: [static()]),
    "static-dense": sentence(lambda: [static(), dense(WIDTH, 3, torch.nn.Sigmoid()), Normalize()], older),
    "splade": sparse(lambda: splade("max", "relu")),
    "splade-sum": sparse(lambda: splade("sum", "log1p_relu")),
    "splade-table": lambda: (SparseEncoder(modules=routed()), SparseEncoder, in_root),
    "reranker": reranker,
    "late": late,
}


def expected(model):
    if isinstance(model, CrossEncoder):
        pairs = [["the fox", text] for text in TEXTS]
        return {"texts": TEXTS, "scores": model.predict(pairs, activation_fn=torch.nn.Identity()).tolist()}
    if isinstance(model, SparseEncoder):
        encode = {"query": model.encode_query, "document": model.encode_document}
        dense = {role: run(TEXTS, convert_to_sparse_tensor=False).tolist() for role, run in encode.items()}
        return {"texts": TEXTS} | dense
    if isinstance(model, MultiVectorEncoder):
        encode = {"query": model.encode_query, "document": model.encode_document}
        return {"texts": TEXTS} | {role: [one.tolist() for one in run(TEXTS)] for role, run in encode.items()}
    encode = {"raw": model.encode, "query": model.encode_query, "document": model.encode_document}
    return {"texts": TEXTS} | {role: run(TEXTS).tolist() for role, run in encode.items()}


def make(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model, kind, change = MODELS[name]()
    model.save(str(folder), create_model_card=False)
    if change:
        change(folder)
    for path in folder.rglob("*.json"):
        text = path.read_text()
        path.write_text(text if text.endswith("\n") else text + "\n")
    values = expected(kind(str(folder), device="cpu"))
    (folder / "expected.json").write_text(json.dumps(values) + "\n")
    print(name, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
