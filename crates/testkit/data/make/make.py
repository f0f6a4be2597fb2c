"""Makes the folders below data/dense and the golden values of real models again.

    python make.py dense [NAME…]              tiny models and their golden values
    python make.py real NAME DIR              minilm, minilm-int8 or static-tokenlearn, files in DIR

See ../README.md for what has to be installed.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import oracle

DATA = Path(__file__).resolve().parent.parent


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def layout(value):
    """JSON with a line for each key, and for each item of a list of texts or vectors."""
    lines = []
    for key, item in value.items():
        if isinstance(item, list) and item and not all(isinstance(x, int) for x in item):
            body = ",\n".join("  " + compact(x) for x in item)
            lines.append(f'{compact(key)}: [\n{body}\n]')
        else:
            lines.append(f"{compact(key)}: {compact(item)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def toml_value(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)  # strings, integers, booleans and lists read the same in TOML


def spec_toml(case):
    row = {
        "id": f"tiny/{case.name}",
        "source": {"repo": f"tiny/{case.name}"},
        "task": "text-dense",
    } | case.spec
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in row.items())


def write(folder, files):
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            target.write_text(compact(content) + "\n", encoding="utf-8")


def make_case(case):
    """Writes one folder; returns a line that says what came of it."""
    folder = DATA / "dense" / case.name
    if folder.exists():
        shutil.rmtree(folder)
    write(folder, case.files)
    (folder / "spec.toml").write_text(spec_toml(case), encoding="utf-8")

    name = case.model or f"custom/{case.name}"
    if case.model is None:
        oracle.register(name, case.spec)
    static = case.spec.get("encoder") == "static"
    options = {"tasks": "tasks" in case.spec, "with_tokens": not static}
    golden = oracle.golden(name, folder, case.texts, **options)
    if case.repaired:
        golden["repaired"] = case.repaired
    if case.instead:
        # What the repaired answer is: the original on files that say the same in its own way.
        with tempfile.TemporaryDirectory() as other:
            write(Path(other), case.files | case.instead)
            golden = oracle.golden(name, Path(other), case.texts, **options) | golden
    (folder / "golden.json").write_text(layout(golden), encoding="utf-8")

    if "error" in golden:
        error = golden["error"]
        return f"{error['stage']}: {error['type']}: {error['message'].splitlines()[0][:90]}"
    if "embed" not in golden:
        return f"shape {golden['shape']} for each text"
    extra = [k for k in ("embed_batch_1", "query_embed", "passage_embed") if k in golden]
    failed = golden.get("embed_batch_1_errors", {})
    return f"{len(golden['embed'])} x {len(golden['embed'][0])} {golden['dtype']} {extra} {failed}"


def make_dense(names):
    from cases import CASES

    known = {c.name for c in CASES}
    if len(known) != len(CASES) or set(names) - known:
        raise SystemExit(f"unknown or repeated case: {sorted(set(names) - known)}")
    for case in CASES:
        if not names or case.name in names:
            print(f"{case.name}: {make_case(case)}", flush=True)
    for folder in (DATA / "dense").iterdir():
        if folder.name not in known:
            print(f"not made by this script: {folder}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    dense = commands.add_parser("dense")
    dense.add_argument("names", nargs="*")
    real = commands.add_parser("real")
    real.add_argument("name", choices=["minilm", "minilm-int8", "static-tokenlearn"])
    real.add_argument("dir", type=Path)
    args = parser.parse_args()
    oracle.check_version()
    if args.command == "dense":
        make_dense(args.names)
    else:
        from real import make_real

        make_real(DATA, args.name, args.dir)


if __name__ == "__main__":
    main()
