#!/bin/sh
# Builds netspace and compares its training with PyTorch's (see parity.py);
# arguments go there. Debian's PyTorch belongs to Debian's Python, which need
# not be the first on the path.
set -eu
cd "$(dirname "$0")/.."
scripts/need go compiler onednn fashion-mnist pytorch
go build -o bin/netspace ./cmd/netspace
exec /usr/bin/python3 scripts/parity.py "$@"
