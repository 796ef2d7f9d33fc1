#!/bin/sh
# Exports networks of every block, stem, head and family, and runs the files in ONNX Runtime,
# PyTorch and torchvision: their outputs are the engine's (see internal/exportcases).
set -eu
cd "$(dirname "$0")/.."
scripts/need go compiler onednn pytorch torchvision onnx node
go build -o bin/netspace ./cmd/netspace
runtime=out/onnxruntime
[ -e $runtime/node_modules/onnxruntime-node ] || npm install --silent --no-audit --no-fund --ignore-scripts --prefix $runtime onnxruntime-node@1.30.0
# In memory where that can be: netspace syncs every file to the disk.
cases=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$cases"' EXIT
go run ./internal/exportcases "$cases"
/usr/bin/python3 scripts/export_torch.py bin/netspace "$cases"
NODE_PATH=$runtime/node_modules node scripts/export_onnx.js "$cases"
