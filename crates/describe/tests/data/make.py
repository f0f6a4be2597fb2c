"""Makes the tiny models beside this file and what sentence-transformers computes from them.

Needs sentence-transformers 6.2 with PyTorch; see README.md. Usage: python make.py [NAME…]
Every folder is saved by sentence-transformers, changed as its entry says, and loaded again: what is in
expected.json was computed from the files that are here.
"""

import functools
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
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SparseStaticEmbedding, SpladePooling
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification, BertConfig, BertTokenizerFast, GteConfig, LlamaConfig, ModernBertConfig, PreTrainedTokenizerFast, Qwen3Config

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


SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Roles as sentence-transformers gives them to a pair.
TEMPLATE = """{%- set task = messages | selectattr("role", "eq", "system") | map(attribute="content") | first | default("Find an answer") -%}
{%- set query = messages | selectattr("role", "eq", "query") | map(attribute="content") | first -%}
{%- set document = messages | selectattr("role", "eq", "document") | map(attribute="content") | first -%}
<|start|>system
Answer yes or no.<|end|>
<|start|>user
<Task>: {{ task }}
<Query>: {{ query }}
<Document>: {{ document }}<|end|>
<|start|>assistant
<think>

</think>

"""
LOOP = """{% for message in messages %}
    {% if message.role == 'query' %}
Q: {{ message.content }}
    {% elif message.role == 'document' %}
D: {{ message.content }}
    {% else %}
{{ raise_exception('unknown role') }}
    {% endif %}
{% endfor %}
Relevant:"""
DECODER_LIMIT = 160
DECODER = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=24,
    max_position_embeddings=DECODER_LIMIT, rms_norm_eps=1e-3, pad_token_id=0, bos_token_id=0, eos_token_id=2,
)
DECODER_PAIRS = [
    ["the fox", "the quick brown fox jumps over the lazy dog."],
    ["What runs?", "cats sleep"],
    ["a query with more words than the others have, even a comma.", ""],
    ["", "Fox, Dog! \u00fcber 123"],
    ["the fox", "the dog sleeps under the tree, the cat jumps over the house. " * 20],
    ["the fox?\n", " the dog sleeps\n\n" * 60],
]


def byte_tokenizer(template):
    """Byte-level BPE as the tokenizers of Qwen are, of a few words."""
    inner = Tokenizer(models.BPE())
    inner.normalizer = normalizers.NFC()
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    inner.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|start|>", "<|end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False)
    inner.train_from_iterator(TEXTS + ["yes no yes no Yes No?\n query.\n"] * 4, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<|pad|>", eos_token="<|end|>", model_max_length=DECODER_LIMIT)
    wrapped.chat_template = template
    return wrapped


def decoder(config, template, answers, change=None, **more):
    """A causal language model that scores by the logits of its answers."""

    def build():
        wrapped = byte_tokenizer(template)
        tokens = [wrapped.convert_tokens_to_ids(answer) for answer in answers]
        assert None not in tokens, answers
        with tempfile.TemporaryDirectory() as folder:
            full = config(vocab_size=len(wrapped), **DECODER)
            randomise(AutoModelForCausalLM.from_config(full), 7).save_pretrained(folder)
            wrapped.save_pretrained(folder)
            module = Transformer(folder, transformer_task="text-generation")
        modules = [module, LogitScore(*tokens)]
        return CrossEncoder(modules=modules, activation_fn=torch.nn.Identity(), **more), CrossEncoder, change

    return build


def template_in_config(folder):
    """The place of the template before transformers 4.52."""
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    rewrite(folder / "tokenizer_config.json", lambda values: values | {"chat_template": template})


def classifier(config, **more):
    """A cross-encoder of one of the newer architectures, with what belongs to its classifier."""

    def build():
        with tempfile.TemporaryDirectory() as folder:
            usual = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
            full = config(vocab_size=len(WORDS), num_labels=1, max_position_embeddings=POSITIONS, **usual, **more)
            randomise(AutoModelForSequenceClassification.from_config(full), 8).save_pretrained(folder)
            tokenizer().save_pretrained(folder)
            module = Transformer(folder, transformer_task="sequence-classification")
        return CrossEncoder(modules=[module]), CrossEncoder, None

    return build


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
    "reranker-modernbert": classifier(
        ModernBertConfig, classifier_pooling="mean", classifier_activation="silu", classifier_bias=True, local_attention=8,
        pad_token_id=0, bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3,
    ),
    "reranker-gte": classifier(GteConfig, type_vocab_size=0),
    "decoder": decoder(
        functools.partial(Qwen3Config, head_dim=6, tie_word_embeddings=True), TEMPLATE, ["yes", "no"], prompts={"query": "Find who runs"}, default_prompt_name="query"
    ),
    "decoder-one-token": decoder(LlamaConfig, LOOP, ["yes"], template_in_config),
    "late": late,
}


def expected(model):
    if isinstance(model, CrossEncoder) and isinstance(model[-1], LogitScore):
        plain = torch.nn.Identity()
        scores = model.predict(DECODER_PAIRS, activation_fn=plain).tolist()
        alone = [model.predict([pair], activation_fn=plain).item() for pair in DECODER_PAIRS]
        assert max(abs(one - other) for one, other in zip(scores, alone)) < 1e-5, (scores, alone)
        ids = [model.preprocess([pair], prompt=model._resolve_prompt(None, None))["input_ids"][0].tolist() for pair in DECODER_PAIRS]
        return {"pairs": DECODER_PAIRS, "scores": scores, "input_ids": ids}
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
    (folder / "generation_config.json").unlink(missing_ok=True)
    for path in folder.rglob("*.json"):
        text = path.read_text()
        path.write_text(text if text.endswith("\n") else text + "\n")
    values = expected(kind(str(folder), device="cpu"))
    (folder / "expected.json").write_text(json.dumps(values) + "\n")
    print(name, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
