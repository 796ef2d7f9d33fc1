#!/bin/sh
# Builds netspace and times its inference against ONNX Runtime's (see bench_onnxruntime.js); arguments go
# there. Let nothing else run meanwhile.
set -eu
cd "$(dirname "$0")/.."
scripts/need go compiler onednn node
go build -o bin/netspace ./cmd/netspace
runtime=out/onnxruntime
[ -e $runtime/node_modules/onnxruntime-node ] || npm install --silent --no-audit --no-fund --ignore-scripts --prefix $runtime onnxruntime-node@1.30.0
NODE_PATH=$runtime/node_modules exec node scripts/bench_onnxruntime.js "$@"
