#!/bin/sh
# Builds netspace and times its training step against PyTorch's (see
# bench_pytorch.py); arguments go there. Let nothing else run meanwhile.
set -eu
cd "$(dirname "$0")/.."
scripts/need go compiler onednn pytorch
go build -o bin/netspace ./cmd/netspace
exec /usr/bin/python3 scripts/bench_pytorch.py "$@"
