# make demo    build, run a small real study on Fashion-MNIST, compare, report
# make test    all tests
# make fuzz    every parser on 2000 made-up inputs each (FUZZTIME=5m: for five minutes)
# make check   what CI does: tests, lint, fuzzing, race detector
# make test-slurm   studies on a Slurm of two nodes that is started for it (Debian's packages)
# make test-export  exported files in ONNX Runtime, PyTorch and torchvision (Debian's packages, npm)
# make calibrate  what the statistics promise, simulated; writes the tables of docs/statistics.md (a quarter of an hour)
# make bench-search  successive halving beside random search on real curves; writes the table of docs/search.md
# make test-images  data sets of 200,000 images: time to open, memory, images/s
# make bench-data   images/s that are prepared beside images/s that are trained on
# make parity, make bench-pytorch   training against PyTorch (Debian's python3-torch)
# make bench-onnxruntime   inference against ONNX Runtime (npm)
#
# What is missing on the machine is installed first (scripts/need).

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Packages with goroutines, processes or shared state, where the race detector has something to find.
RACE = ./dataset/... ./space/... ./train/... ./trial/... ./study/... ./executor/... ./internal/...

.DEFAULT_GOAL = build
.PHONY: build demo test test-nocgo lint fuzz race bench check clean need parity bench-pytorch bench-onnxruntime bench-study bench-search asan calibrate calibrate-loops test-slurm test-export bench-data test-images

need:
	@scripts/need go compiler onednn

build: need
	go build -o bin/netspace ./cmd/netspace

# Without Parquet and SQLite (tag lean), which take longer to compile than all else.
demo:
	@scripts/need go compiler onednn fashion-mnist
	go build -tags lean -o bin/netspace ./cmd/netspace
	bin/netspace study run examples/demo.yaml
	bin/netspace compare out/demo
	bin/netspace report out/demo -o out/demo/report.html

test:
	@scripts/need go compiler onednn fashion-mnist
	go test -timeout 25m ./...

# What a build without a C compiler does, all but training, works.
test-nocgo: need
	CGO_ENABLED=0 go test ./...

lint: need
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go vet -tags lean ./tabular
	go run $(STATICCHECK) ./...
	go run ./internal/house
	@packages=$$(grep -rlE --include='*.go' '^(import )?[[:space:]]*"C"$$' . | xargs -r -n1 dirname | sort -u); \
	[ "$$packages" = ./engine/onednn ] || { echo "import \"C\" belongs in engine/onednn alone, it is in:"; echo "$$packages"; exit 1; }
	CGO_ENABLED=0 GOOS=linux go build -o /dev/null ./...
	CGO_ENABLED=0 GOOS=darwin go build -tags lean -o /dev/null ./...
	CGO_ENABLED=0 GOOS=windows go build -tags lean -o /dev/null ./...

# The tests that need a cluster, two nodes on this machine.
test-slurm:
	@scripts/need go compiler onednn slurm
	@scripts/test_slurm.sh

# What export writes gives elsewhere what the engine gives.
test-export:
	@scripts/test_export.sh

# Reads and writes beside the buffers of the engine, also where they do no harm today.
# (An engine lives as long as the process, and leaks have tests of their own.)
asan: need
	ASAN_OPTIONS=detect_leaks=0 go test -asan -run 'TestZonesFindAWrite|TestZones/(conv|op)' ./engine/onednn

# A count, not a time: a run that a deadline ends fails now and then with "context deadline exceeded" and no input.
FUZZTIME = 2000x
fuzz: need
	@scripts/fuzz.sh $(FUZZTIME)

race: need
	go test -race -timeout 25m $(RACE)

bench: build
	go test -run '^$$' -bench . -benchtime 1s ./graph/... ./arch/... ./space/... ./engine/onednn/...
	bin/netspace bench train RegNetX-400MF ResNet-50 --resolution 64 --batch 16

# Against Debian's python3-torch: the same mathematics, and how fast.
parity:
	@scripts/parity.sh

bench-pytorch:
	@scripts/bench_pytorch.sh

# Folders, archives and Parquet files of 200,000 images: time to open, memory, images/s.
test-images: need
	NETSPACE_LARGE_SET=200000 go test -timeout 60m -v -run TestLargeSets ./dataset

# Whether images are ready when the engine wants them.
bench-data: build
	go test -run '^$$' -bench 'Photographs|Loader' ./dataset
	bin/netspace bench train RegNetX-400MF --resolution 224 --batch 32
	bin/netspace bench train RegNetX-400MF --resolution 32

bench-onnxruntime:
	@scripts/bench_onnxruntime.sh

# What a study costs besides training, as it grows.
bench-study: build
	go run ./internal/benchstudy -netspace bin/netspace 1000 10000 100000

# The same numbers on every machine of one type.
calibrate: need
	go run ./internal/calibrate -o docs/statistics.md

# Whole design loops, by the command's own code on networks of which it is known how good they are.
calibrate-loops: need
	go run ./internal/calibrate -loops -runs 140 -o docs/statistics.md

# Successive halving beside random search for the same trainings, by the command's own code on curves of real networks.
bench-search: need
	go run ./internal/calibrate -searches -runs 10 -o docs/search.md

check: test test-nocgo lint fuzz race asan

clean:
	rm -rf bin
