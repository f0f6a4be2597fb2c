"""Makes tiny byte-level BPE vocabularies without tokenizer.json, with the ids that transformers gives.

Needs transformers and tokenizers; made with transformers 5.24.0. Usage: python make.py
Every folder gets vocab.json, merges.txt, tokenizer_config.json and expected.json: texts with their ids, and
pairs where the tokenizer has a form for them.
"""

import json
import shutil
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

HERE = Path(__file__).parent
CORPUS = [
    "the quick brown fox jumps over the lazy dog", "it's a naïve façade, isn't it?", "東京 is a city; Ünïcödé 123 4567",
    "they're quick, we've seen them jump over dogs\n\nand foxes  again", "HELLO World hello world",
]
TEXTS = [
    "", " ", "hello world", " hello  world ", "The Quick\tbrown fox", "it's isn't they're WE'VE", "naïve façade 東京",
    "e\u0301 and \u00e9", "1234 567", "line\n\nbreak \r\n end", "<s> hello </s>", "a <mask> b", "hello<mask>", "<pad>x<unk>", "🦊 fox",
    "<|endoftext|> hello <|im_start|>",
]
ROBERTA = dict(bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>", unk_token="<unk>", pad_token="<pad>")
QWEN = ["<|endoftext|>", "<|im_start|>"]

# name, tokenizer_config.json, config.json, special tokens, files with more tokens
FOLDERS = [
    ("roberta", dict(tokenizer_class="RobertaTokenizer", model_max_length=32, **ROBERTA), {"model_type": "roberta"}, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], {}),
    ("roberta-prefix-space", dict(tokenizer_class="LongformerTokenizerFast", model_max_length=32, add_prefix_space=True), {"model_type": "longformer"}, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], {}),
    ("qwen2", dict(tokenizer_class="Qwen2Tokenizer", model_max_length=32, pad_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token=None), {"model_type": "qwen2"}, [], dict(added=QWEN)),
    ("gpt2", dict(tokenizer_class="GPT2Tokenizer", model_max_length=32, pad_token="<|endoftext|>", add_bos_token=False), {"model_type": "gpt2"}, ["<|endoftext|>"], {}),
]


def make(name, settings, config, special, more):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.model.save(str(folder))
    if "added" in more:
        start = tokenizer.get_vocab_size()
        settings = dict(settings, added_tokens_decoder={
            str(start + index): dict(content=token, lstrip=False, rstrip=False, normalized=False, single_word=False, special=True)
            for index, token in enumerate(more["added"])
        })
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    (folder / "config.json").write_text(json.dumps(config) + "\n")
    original = AutoTokenizer.from_pretrained(folder)
    ids = [original(text)["input_ids"] for text in TEXTS]
    pair = original("hello", "the fox")["input_ids"]
    expected = dict(texts=TEXTS, ids=ids, pair=dict(first="hello", second="the fox", ids=pair))
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(name, type(original).__name__, ids[2], pair)


for folder in FOLDERS:
    make(*folder)
