#!/bin/sh
# Assembles the part of the image that is ours under a folder: `deploy/image.sh FOLDER`.
#
# The Dockerfile runs it in its build stage, and `cargo xtask deploy` without a container engine.
#   PROGRAM      an `embedkit` that is built already; built for a release if not given
#   ONNXRUNTIME  the library, a wheel or a folder of it; fetched with pip if not given
set -eu
root=$1
cd "$(dirname "$0")/.."

if [ -z "${PROGRAM:-}" ]; then
  cargo build --locked --release --package embedkit-cli
  PROGRAM=${CARGO_TARGET_DIR:-target}/release/embedkit
fi

home=$root/opt/embedkit
mkdir -p "$home"
cp "$PROGRAM" LICENSE THIRD-PARTY.md "$home/"

# Beside the program, where it is found without a setting, owned by whoever builds the image.
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
"$home/embedkit" --cache-dir "$cache" runtime install ${ONNXRUNTIME:+--from "$ONNXRUNTIME"}
cp -L "$(env -u ORT_DYLIB_PATH "$home/embedkit" --cache-dir "$cache" runtime path)" "$home/libonnxruntime.so"
