"""Tiny tokenizers as plain JSON: WordPiece (BERT), Unigram (XLM-R), byte-level BPE (Qwen).

They are written by hand rather than by the tokenizers library, so that their bytes depend on
nothing but this file.
"""

import string

WORDS = (
    "hello world the quick brown fox jumps over lazy dog and in text one two three four five six "
    "seven eight nine ten end of query with line cafe naive chars here first done mixed"
).split()
OTHER = "你好世界日本語مرحباöüß"
PIECES = ["##s", "##es", "##ed", "##ing", "##er", "##al", "##ends"]


def added(token_id, content, special=True, **flags):
    """An entry of `added_tokens`."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False} | flags
    return {"id": token_id, "content": content, **flags, "special": special}


def template(vocab, before, after, type_id=0):
    """A post-processor that puts special tokens around a sequence."""

    def special(token, kind):
        return {"SpecialToken": {"id": token, "type_id": kind}}

    single = [special(t, type_id) for t in before]
    single.append({"Sequence": {"id": "A", "type_id": type_id}})
    single += [special(t, type_id) for t in after]
    pair = single + [{"Sequence": {"id": "B", "type_id": 1}}] + [special(t, 1) for t in after]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": {
            t: {"id": t, "ids": [vocab[t]], "tokens": [t]} for t in dict.fromkeys(before + after)
        },
    }


def document(model, special_ids, normalizer, pre_tokenizer, post_processor, decoder):
    """The whole of tokenizer.json, without truncation and padding."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(i, t) for t, i in special_ids.items()],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


def wordpiece(type_id=0, template_tokens=(["[CLS]"], ["[SEP]"])):
    """A BERT tokenizer. The pad token is not the first entry: a hard-coded 0 would show."""
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    tokens = special + ["[unused0]", "[unused1]", "[unused2]"]
    tokens += list(string.ascii_lowercase) + list(string.digits) + list("!',-.:;?[]<>|/") + WORDS
    tokens += list(dict.fromkeys(OTHER)) + ["##" + c for c in string.ascii_lowercase]
    tokens += ["##" + c for c in string.digits] + PIECES
    vocab = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocab,
    }
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    }
    tokenizer = document(
        model,
        {t: vocab[t] for t in special},
        normalizer,
        {"type": "BertPreTokenizer"},
        template(vocab, *template_tokens, type_id) if template_tokens else None,
        {"type": "WordPiece", "prefix": "##", "cleanup": True},
    )
    config = {"tokenizer_class": "BertTokenizer", "model_max_length": 32, "pad_token": "[PAD]"}
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": config,
        "config.json": {"model_type": "bert", "pad_token_id": vocab["[PAD]"]},
        "special_tokens_map.json": {
            "unk_token": "[UNK]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        },
    }


def unigram():
    """An XLM-R like tokenizer, `<s> … </s>` and pad id 1."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = [f"▁{w}" for w in WORDS] + ["▁"]
    pieces = list(string.ascii_lowercase) + list(string.ascii_uppercase) + list(string.digits)
    pieces += list("!',-.:;?") + list(dict.fromkeys(OTHER)) + ["ing", "ed", "er", "th", "an"]
    scored = [[t, 0.0] for t in special]
    scored += [[w, -3.0 - 0.01 * i] for i, w in enumerate(words)]
    scored += [[p, -6.0 - 0.01 * i] for i, p in enumerate(pieces)]
    vocab = {t: i for i, (t, _) in enumerate(scored)}
    model = {"type": "Unigram", "unk_id": 3, "vocab": scored, "byte_fallback": False}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    tokenizer = document(
        model,
        {t: vocab[t] for t in special},
        {"type": "NFKC"},
        metaspace,
        template(vocab, ["<s>"], ["</s>"]),
        metaspace,
    )
    config = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 32, "pad_token": "<pad>"}
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": config,
        "config.json": {"model_type": "xlm-roberta", "pad_token_id": 1},
        "special_tokens_map.json": {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": {
                "content": "<pad>",
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
            },
        },
    }


def _byte_characters():
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable}
    table |= {b: chr(256 + i) for i, b in enumerate(shifted)}
    return [table[b] for b in range(256)]


def byte_level_bpe():
    """A Qwen-like tokenizer: byte-level BPE, `<|endoftext|>` appended and used as padding."""
    tokens = _byte_characters()
    merges = []
    known = set(tokens)
    for word in ["the", "Ġthe", "Ġdog", "Ġfox", "hello", "Ġworld", "Ġand", "Ġtwo", "ing"]:
        left = word[0]
        for right in word[1:]:
            if left + right not in known:
                merges.append([left, right])
                known.add(left + right)
                tokens.append(left + right)
            left += right
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocab = {t: i for i, t in enumerate(tokens)}
    special_ids = {t: len(tokens) + i for i, t in enumerate(special)}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }
    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    pre_tokenizer = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": False},
            byte_level,
        ],
    }
    tokenizer = document(
        model,
        special_ids,
        {"type": "NFC"},
        pre_tokenizer,
        template(special_ids, [], ["<|endoftext|>"]),
        byte_level,
    )
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": 48,
        "pad_token": "<|endoftext|>",
        "padding_side": "left",
    }
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": config,
        "config.json": {"model_type": "qwen3"},
        "special_tokens_map.json": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    }


def vocab_size(files):
    """How many ids the tokenizer may give."""
    tokenizer = files["tokenizer.json"]
    highest = max((t["id"] for t in tokenizer["added_tokens"]), default=-1)
    return max(len(tokenizer["model"]["vocab"]), highest + 1)
