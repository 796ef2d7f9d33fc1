#!/bin/sh
# Builds netspace and compares its training with PyTorch's (see parity.py), on the engine and, in fewer steps, with the
# trainer pytorch. Arguments go to parity.py, which then runs once. Debian's PyTorch belongs to Debian's Python, which
# need not be the first on the path.
set -eu
cd "$(dirname "$0")/.."
scripts/need go compiler onednn fashion-mnist pytorch
go build -o bin/netspace ./cmd/netspace
[ $# = 0 ] || exec /usr/bin/python3 scripts/parity.py "$@"
status=0
/usr/bin/python3 scripts/parity.py || status=1
/usr/bin/python3 scripts/parity.py --engine pytorch --steps 10 || status=1
exit $status
