"""Texts that the golden values are made of, and the recipe form for long ones.

A text is a string, or `{"repeat": piece, "times": n}` for `piece * n`: long inputs stay out of the
repository.
"""

VARIED = [
    "",
    "a",
    " ",
    "\t\n  ",
    "hello world",
    "Hello, World!",
    "the quick brown fox jumps over the lazy dog",
    "Größe und Übermut",
    "naïve café façade",
    "e\u0301 vs \u00e9",
    "你好，世界",
    "日本語のテキスト",
    "مرحبا بالعالم",
    "emoji 😀👍🏽 done",
    "👩\u200d👩\u200d👧",
    "control\u0000\u0001\u0007 chars\u007f\u200b here",
    "\ufeffbom first",
    "[CLS] in the text [SEP] and [MASK] [PAD]",
    "<s> mixed </s> <pad> <|endoftext|>",
    "[E1] query [E2]",
    "123 4567.89 -1e10",
    "mixed\r\nline\nends",
    "don't can't we'll",
    "ＦＵＬＬ　ｗｉｄｔｈ",
    "the the the the",
    "ends with spaces   ",
    {"repeat": "x", "times": 120},
    "one two three four five six seven eight nine ten one fox two dog three world four lazy five "
    "brown six quick seven hello eight over nine jumps ten the end of the text",
    {"repeat": "the dog and the fox, ", "times": 150},
]

# For cases about tokenizer files: what limits, padding and special tokens act on.
SHORT = [
    "",
    "hello world",
    "the quick brown fox jumps over the lazy dog",
    "[CLS] in the text [SEP] and [MASK] [PAD]",
    "[E1] query [E2] [e1]",
    "one two three four five six seven eight nine ten one fox two dog three world four lazy five "
    "brown six quick seven hello eight over nine jumps ten the end of the text",
    "你好，世界 😀",
]


def expand(text):
    """The string of a text, with a recipe carried out."""
    return text if isinstance(text, str) else text["repeat"] * text["times"]
