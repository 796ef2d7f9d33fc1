#!/usr/bin/env bash
# test_slurm.sh runs the tests that need a Slurm, each group of them with one of its own (with_slurm.sh), at one time: they
# wait most of it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
tests=$(mktemp -d)
trap 'rm -rf "$tests"' EXIT
go test -c -o "$tests/" ./executor ./cmd/netspace

groups=()
group() { # folder of the package, its tests, regular expression of the group
	(cd "$1" && exec "$root/scripts/with_slurm.sh" "$tests/$2" -test.run "$3" -test.timeout 9m) &
	groups+=($!)
}
group executor executor.test '^TestSlurmConformance$'
group executor executor.test '^TestSlurm(Stops|Refuses|OneSubmits)$'
group executor executor.test '^TestSlurm(NodeLost|SubmitterGoes)$'
group cmd/netspace netspace.test '^TestStudyOnSlurm$'
group cmd/netspace netspace.test '^TestSearchOnSlurm$'

status=0
for pid in "${groups[@]}"; do wait "$pid" || status=1; done
exit $status
