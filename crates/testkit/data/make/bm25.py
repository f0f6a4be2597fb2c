"""Makes data/sparse/bm25-random.jsonl and bm25-unicode.json, and fills in the values of bm25.jsonl,
whose texts and parameters are picked by hand: what FastEmbed 0.9.1's BM25 gives.

    python bm25.py LISTS

LISTS is the folder of Qdrant/bm25: a list of stopwords `<language>.txt` for each language and an
empty `config.json`. Python has to be 3.11: Unicode 14.
"""

import json
import random
import sys
import unicodedata
from pathlib import Path

import oracle
from fastembed import SparseTextEmbedding
from fastembed.sparse.utils.tokenizer import SimpleTokenizer
from fastembed.common.utils import remove_non_alphanumeric

DATA = Path(__file__).resolve().parent.parent / "sparse"
LANGUAGES = (
    "arabic danish dutch english finnish french german greek hungarian italian norwegian portuguese "
    "romanian russian spanish swedish tamil turkish"
).split()
ALPHABETS = {
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويةىءأإؤئـَُِّْ",
    "greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰΑΒΓΔΣΩΆΈ",
    "russian": "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЯ",
    "tamil": "அஆஇஈஉஊஎஏஐஒகஙசஞடணதநபமயரலவழளறன்ாிீுூெேைொோ",
}
LATIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
EXTRA = {
    "danish": "æøåÆØÅ",
    "finnish": "äöåÄÖ",
    "french": "àâçéèêëîïôûùüÿœæÉÀ",
    "german": "äöüßÄÖÜẞ",
    "hungarian": "áéíóöőúüűÁÉŐŰ",
    "italian": "àèéìòù",
    "norwegian": "æøåÆØÅ",
    "portuguese": "ãõáéíóúâêôçÃÕÇ",
    "romanian": "ăâîșțşţĂÂÎȘȚ",
    "spanish": "ñáéíóúü¿¡Ñ",
    "swedish": "åäöÅÄÖ",
    "turkish": "çğıöşüİIĞŞÇ",
}
ENDINGS = "s es ed ing ly ness ation en er ung keit ment ité ando endo ción lar ler ler lık ások ami ов ами".split()
ODD = [" ", "  ", "\n", "\t", ". ", ", ", "-", "'", "’", "_", "\u00ad", "\u200d", "\u0301", "… ", "/", "\x1c", "\u3000"]


def word(rng, language, stopwords):
    kind = rng.random()
    if kind < 0.3 and stopwords:
        return rng.choice([str.lower, str.upper, str.title])(rng.choice(stopwords))
    alphabet = ALPHABETS.get(language, LATIN * 3 + EXTRA.get(language, ""))
    made = "".join(rng.choice(alphabet) for _ in range(rng.choice([1, 2, 3, 4, 5, 6, 7, 9, 12, 45])))
    if kind < 0.6:
        made += rng.choice(ENDINGS)
    if kind > 0.95:
        code = rng.randrange(0xA0, 0x30000)
        made += "" if 0xD800 <= code < 0xE000 else chr(code)
    return made


def text(rng, language, stopwords):
    words = [word(rng, language, stopwords) for _ in range(rng.choice([1, 3, 8, 20, 40]))]
    words += rng.choices(words, k=len(words) // 2)
    rng.shuffle(words)
    return "".join(w + (rng.choice(ODD) if rng.random() < 0.2 else " ") for w in words)


def parameters(rng, language):
    chosen = {"language": language, "k": 1.2, "b": 0.75, "avg_len": 256.0, "token_max_length": 40}
    chosen |= {"disable_stemmer": rng.random() < 0.1, "stopwords": None, "custom_stemmer": None}
    if rng.random() < 0.3:
        chosen["k"] = rng.choice([0.0, 0.5, 1.7, 3.25])
        chosen["b"] = rng.choice([0.0, 0.3, 1.0])
        chosen["avg_len"] = rng.choice([0.5, 7.0, 33.3, 1000.0])
        chosen["token_max_length"] = rng.choice([0, 3, 8, 50])
    return chosen


def case(rng, name, language, lists):
    path = lists / f"{language}.txt"
    stopwords = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    made, params = text(rng, language, stopwords), parameters(rng, language)
    return {"id": name, "text": made, "params": params} | values(made, params, lists)


class Prefix4:
    """The stemmer of one's own that some cases have."""

    def stem_word(self, word):
        return "" if word.startswith("z") else word[:4]


def values(made, params, lists):
    options = {k: v for k, v in params.items() if k not in ("custom_stemmer", "stopwords")}
    if params["stopwords"] is not None:
        options["stopwords"] = set(params["stopwords"])
    if params["custom_stemmer"] is not None:
        options["stemmer"] = Prefix4()
    model = SparseTextEmbedding("Qdrant/bm25", specific_model_path=str(lists), **options)
    bm25 = model.model
    tokens = SimpleTokenizer.tokenize(remove_non_alphanumeric(made))
    document, query = next(iter(model.embed(made))), next(iter(model.query_embed(made)))
    return {
        "tokens": tokens,
        "stems": bm25._stem(tokens),
        "token_count": model.token_count(made),
        # As strings: not every reader of JSON gets the last bit of a number right.
        "doc": {
            "indices": document.indices.tolist(),
            "values": [repr(float(value)) for value in document.values],
        },
        "query": {"indices_sorted": sorted(query.indices.tolist()), "value": 1},
    }


def fnv1a(lines):
    value = 0xCBF29CE484222325
    for line in lines:
        for byte in line.encode():
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def unicode_digest(pattern):
    """A digest of the tokens of every code point within a pattern, a line for each."""

    def line(code):
        made = pattern.replace("?", chr(code))
        return " ".join(SimpleTokenizer.tokenize(remove_non_alphanumeric(made))) + "\n"

    return fnv1a(line(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)


def main(lists):
    oracle.check_version()
    if unicodedata.unidata_version != "14.0.0":
        raise SystemExit(f"Unicode 14.0.0 is required, found {unicodedata.unidata_version}")
    chosen = [json.loads(line) for line in (DATA / "bm25.jsonl").open(encoding="utf-8")]
    chosen = [case | values(case["text"], case["params"], lists) for case in chosen]
    lines = "".join(json.dumps(case) + "\n" for case in chosen)
    (DATA / "bm25.jsonl").write_text(lines, encoding="utf-8")
    rng = random.Random(5)
    cases = [case(rng, f"{x}-random-{i}", x, lists) for x in LANGUAGES for i in range(12)]
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    (DATA / "bm25-random.jsonl").write_text(lines, encoding="utf-8")
    patterns = ["?Σ", "ΑΣ?Α"]  # a sigma is lower-cased by what stands around it
    digests = {pattern: unicode_digest(pattern) for pattern in patterns}
    (DATA / "bm25-unicode.json").write_text(
        json.dumps(digests, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
