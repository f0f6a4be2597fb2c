"""Prints what FastEmbed 0.9.1 gives for a model folder and a file of texts, as JSON lines.

    python live.py DIR TEXTS [--model NAME] [--as raw|document|query] [--batch-size N]

TEXTS: `.json`, a list of texts or an object with `texts` (as the golden files have it); `.jsonl`, an
object with `text` a line; anything else, a text a line, split at LF only. Each line of the output is
`{"index": …, "embedding": […]}`, in input order, or `{"error": …}` for what the original raises.
"""

import argparse
import json
import sys
from pathlib import Path

import oracle
from texts import expand


def read_texts(path):
    content = path.read_bytes().decode("utf-8")
    if path.suffix == ".json":
        value = json.loads(content)
        return [expand(t) for t in (value["texts"] if isinstance(value, dict) else value)]
    lines = content.split("\n")
    if lines[-1] == "":
        lines.pop()
    if path.suffix in (".jsonl", ".ndjson"):
        return [json.loads(line)["text"] for line in lines]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dir", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--as", dest="role", choices=["raw", "document", "query"], default="raw")
    parser.add_argument("--batch-size", type=int, default=1)
    args = parser.parse_args()
    oracle.check_version()
    texts = read_texts(args.texts)
    try:
        model = oracle.open_model(args.model, args.dir)
        method = {"raw": "embed", "document": "passage_embed", "query": "query_embed"}[args.role]
        for index, vector in enumerate(getattr(model, method)(texts, batch_size=args.batch_size)):
            row = {"index": index, "embedding": oracle.rows([vector])[0]}
            print(json.dumps(row, separators=(",", ":")))
    except Exception as error:  # whatever it raises is the result
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        sys.exit(1)


if __name__ == "__main__":
    main()
