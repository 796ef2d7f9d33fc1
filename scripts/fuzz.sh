#!/bin/sh
# Runs every fuzz target so often or so long ($1, as 2000x or 5m). What one finds it leaves in
# the testdata/fuzz of its package, where go test runs it from then on.
set -eu
each=${1:-2000x}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cache=$(go env GOCACHE)/fuzz
for package in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	go test -c -fuzz=. -o "$dir/test" "$package"
	for target in $(grep -h '^func Fuzz' "$package"/*_test.go | sed 's/^func \(Fuzz[A-Za-z]*\).*/\1/'); do
		echo "fuzz $package $target"
		(cd "$package" && "$dir/test" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$each" -test.fuzzminimizetime=20x -test.fuzzcachedir="$cache/netspace/$package") >"$dir/log" 2>&1 ||
			{ cat "$dir/log"; exit 1; }
		tail -n 2 "$dir/log" | head -n 1
	done
done
