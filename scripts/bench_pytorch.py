#!/usr/bin/python3
"""How fast is a training step, and how much memory does it take, against PyTorch?

For a population of networks (--list shows it) and batches of 64 and 128
images, on one thread in float32: images per second of the whole training step
(forward, backward, SGD update; the data are in memory) of PyTorch in its
contiguous and its channels-last layout, and of `netspace bench train`. Every
measurement is a process of its own; the three take turns, --rounds times,
so that all see the same machine, and the best round counts for each. Memory
is the peak resident size of the process, of PyTorch the smaller of the two.

With --avx2 every side is limited to AVX2, as on processors without AVX-512.

PyTorch is told to keep the memory it frees (KEEP): by default glibc returns
large arrays to the kernel and takes new pages for the next, which on virtual
machines with slow page faults makes PyTorch up to six times as slow and says
nothing of its kernels. --fresh-memory leaves that as it comes.

With --before, another netspace takes its turns, too, and the last column is
the ratio to it: the same machine, the same minutes, before and after a change.

A program per trial is what netspace's studies run, so one thread is the case
that matters. Networks are torchnet.py's, with in-place activations. Needs
python3-torch (1.13) and numpy.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

# What keeps PyTorch's own kernels, oneDNN (its and ours, which our kernels follow) and OpenBLAS from AVX-512.
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}

# What keeps glibc from giving freed arrays back to the kernel.
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}

LAYOUTS = ("contiguous", "channels-last")

GOAL_MEAN, GOAL_LEAST, GOAL_PEAK, GOAL_MEMORY = 2.5, 1.4, 0.45, 0.8


def anynet(pixels, channels, stem, block, b, g, stages, **rest):
    """stages: (depth, width, stride); g is the group width, 0 for one dense group."""
    spec = {"family": "anynet", "block": block, "stem": stem, **rest, "stages": []}
    for depth, width, stride in stages:
        stage = {"depth": depth, "width": width, "stride": stride}
        if block.startswith("bottleneck"):
            stage.update(bottleneck=b, group_width=g or max(1, int(width / b)))
        spec["stages"].append(stage)
    spec.update(resolution=pixels, channels=channels, classes=10)
    return spec


def regnet(pixels, channels, stem, depth, w0, wa, wm, g, **rest):
    spec = {"family": "regnet", "stem": stem, "depth": depth, "w0": w0, "wa": wa, "wm": wm, "bottleneck": 1, "group_width": g, **rest}
    return {**spec, "resolution": pixels, "channels": channels, "classes": 10 if pixels < 64 else 100}


CIFAR16, CIFAR32, SIMPLE = {"type": "cifar", "width": 16}, {"type": "cifar", "width": 32}, {"type": "simple", "width": 32}

# Name, group width (0: dense), spec.
POPULATION = [
    ("AnyNetX-28-g1", 1, anynet(28, 1, CIFAR16, "bottleneck", 1, 1, [(1, 32, 1), (3, 64, 2), (4, 160, 2)])),
    ("AnyNetX-28-g2", 2, anynet(28, 1, CIFAR16, "bottleneck", 1, 2, [(2, 24, 1), (3, 64, 2), (2, 144, 2)])),
    ("AnyNetX-28-g4", 4, anynet(28, 1, CIFAR16, "bottleneck", 2, 4, [(1, 48, 1), (4, 96, 2), (2, 192, 2)])),
    ("AnyNetX-28-g8", 8, anynet(28, 1, CIFAR16, "bottleneck", 1, 8, [(1, 24, 1), (2, 56, 2), (5, 120, 2)])),
    ("AnyNetX-28-g16", 16, anynet(28, 1, CIFAR16, "bottleneck", 1, 16, [(1, 32, 1), (3, 64, 2), (3, 128, 2)])),
    ("AnyNetX-32-dense", 0, anynet(32, 3, CIFAR16, "bottleneck", 4, 0, [(2, 64, 1), (3, 128, 2), (3, 256, 2), (1, 512, 2)])),
    ("AnyNetR-32-dense", 0, anynet(32, 3, CIFAR16, "basic", 1, 0, [(3, 16, 1), (3, 32, 2), (3, 64, 2)])),
    ("RegNetX-28-g8", 8, regnet(28, 1, CIFAR16, 9, 24, 16.0, 2.1, 8)),
    ("RegNetX-28-g24", 24, regnet(28, 1, CIFAR16, 8, 24, 18.0, 2.2, 24)),
    ("RegNetX-32-g16", 16, regnet(32, 3, CIFAR32, 13, 24, 14.0, 2.0, 16)),
    ("RegNetX-32-g4", 4, regnet(32, 3, CIFAR32, 12, 24, 12.0, 2.0, 4)),
    ("RegNetY-28-g8", 8, regnet(28, 1, CIFAR16, 9, 24, 16.0, 2.1, 8, se=0.25)),
    ("RegNetY-32-g16", 16, regnet(32, 3, CIFAR32, 12, 32, 20.0, 2.2, 16, se=0.25)),
    ("RegNetX-96-g16", 16, regnet(96, 3, SIMPLE, 13, 24, 24.48, 2.54, 16)),
    ("RegNetX-224-g8", 8, regnet(224, 3, SIMPLE, 13, 24, 36.44, 2.49, 8)),
]


def measure_pytorch(spec, batch, layout, seconds):
    """Runs in a process of its own: prints images per second."""
    import torch
    import torchnet

    torch.set_num_threads(1)
    torch.manual_seed(0)
    memory = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    net = torchnet.Net(spec).to(memory_format=memory)
    net.train()
    optimizer = torchnet.sgd(net, 0.01, 0.9, False, 5e-5, 5e-5, 5e-5)
    criterion = torch.nn.CrossEntropyLoss()
    x = torch.randn(batch, spec["channels"], spec["resolution"], spec["resolution"]).to(memory_format=memory)
    y = torch.randint(spec["classes"], (batch,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        criterion(net(x), y).backward()
        optimizer.step()

    began = time.perf_counter()
    for _ in range(3):
        step()
        if time.perf_counter() - began > seconds:
            break
    steps, began = 0, time.perf_counter()
    while steps < 3 or time.perf_counter() - began < seconds:
        step()
        steps += 1
    print(json.dumps({"images_per_second": batch * steps / (time.perf_counter() - began)}))


def run(command, limits):
    """Runs a process, environment variables limits set; returns its last line of JSON and its peak resident bytes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **limits}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: status {process.returncode}")
    return json.loads(out.splitlines()[-1]), usage.ru_maxrss * 1024


def measure(name, group_width, spec, batch, options, file):
    """One row: the best of all rounds for each side."""
    file.write_text(json.dumps(spec))
    torch_side = {layout: [sys.executable, __file__, "--worker", str(file), str(batch), layout, str(options.seconds)] for layout in LAYOUTS}
    ours = [options.netspace, "bench", "train", str(file), "--batch", str(batch), "--threads", "1", "--seconds", str(options.seconds), "--json"]
    row = {"network": name, "group_width": group_width, "batch": batch, "netspace": 0.0, "peak_fraction": 0.0, "pytorch": {l: 0.0 for l in LAYOUTS}}
    before = options.before and [options.before, *ours[1:]]
    if before:
        row["before"] = 0.0
    memory, limits = {"netspace": 0, **{l: 0 for l in LAYOUTS}}, AVX2 if options.avx2 else {}
    torch_limits = limits if options.fresh_memory else {**limits, **KEEP}
    for _ in range(options.rounds):
        for layout, command in torch_side.items():
            result, peak = run(command, torch_limits)
            row["pytorch"][layout] = max(row["pytorch"][layout], result["images_per_second"])
            memory[layout] = max(memory[layout], peak)
        if before:
            row["before"] = max(row["before"], run(before, limits)[0]["images_per_second"])
        result, peak = run(ours, limits)
        if result["images_per_second"] > row["netspace"]:
            row["netspace"], row["peak_fraction"] = result["images_per_second"], result["peak_fraction"]
        memory["netspace"] = max(memory["netspace"], peak)
    row["ratio"] = row["netspace"] / max(row["pytorch"].values())
    row["memory"] = memory["netspace"]
    row["pytorch_memory"] = min(memory[l] for l in LAYOUTS)
    row["memory_ratio"] = row["memory"] / row["pytorch_memory"]
    return row


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def machine(options):
    """What runs this."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = "unknown CPU"
    torch = subprocess.run([sys.executable, "-c", "import torch; print(torch.__version__)"], stdout=subprocess.PIPE, text=True, check=True)
    return f"{cpu}, {os.cpu_count()} cores; PyTorch {torch.stdout.strip()}; one thread" + (", limited to AVX2" if options.avx2 else "") + ("" if options.fresh_memory else ", PyTorch keeps its memory")


class Table:
    """Prints rows as they come, for people or as Markdown."""

    HEAD = ("network", "batch", "PyTorch contig.", "ch.-last", "netspace", "ratio", "of peak", "MB", "PyTorch MB", "ratio")

    def __init__(self, markdown, before):
        self.form = "| {} |" if markdown else "{}"
        self.join = " | " if markdown else "  "
        self.head = self.HEAD + (("to before",) if before else ())
        self.line(self.head)
        if markdown:
            self.line(["-" * 17] + ["-" * (len(h) - 1) + ":" for h in self.head[1:]])

    def line(self, cells):
        widths = [17] + [len(h) for h in self.head[1:]]
        cells = [str(cells[0]).ljust(widths[0])] + [str(c).rjust(w) for c, w in zip(cells[1:], widths[1:])]
        print(self.form.format(self.join.join(cells)), flush=True)

    def row(self, r):
        p = r["pytorch"]
        self.line((
            r["network"], r["batch"], f"{p['contiguous']:.0f}", f"{p['channels-last']:.0f}", f"{r['netspace']:.0f}", f"{r['ratio']:.2f}",
            f"{100 * r['peak_fraction']:.0f} %", f"{r['memory'] / 1e6:.0f}", f"{r['pytorch_memory'] / 1e6:.0f}", f"{r['memory_ratio']:.2f}",
            *([f"{r['netspace'] / r['before']:.2f}"] if "before" in r else []),
        ))


def summary(rows):
    """The lines below the table, and whether all goals are met."""
    mean, least = geometric_mean(r["ratio"] for r in rows), min(rows, key=lambda r: r["ratio"])
    wide = [r for r in rows if r["group_width"] == 0 or r["group_width"] >= 8]
    peak = geometric_mean(r["peak_fraction"] for r in wide)
    most = max(rows, key=lambda r: r["memory_ratio"])
    goals = [
        (mean >= GOAL_MEAN, f"images/s against the better PyTorch: geometric mean {mean:.2f} (goal {GOAL_MEAN})"),
        (least["ratio"] >= GOAL_LEAST, f"least {least['ratio']:.2f}, {least['network']} at batch {least['batch']} (goal {GOAL_LEAST})"),
        (not wide or peak >= GOAL_PEAK, f"share of the FMA peak with group width 8 and more: geometric mean {100 * peak:.0f} % (goal {100 * GOAL_PEAK:.0f} %)"),
        (most["memory_ratio"] <= GOAL_MEMORY, f"memory against PyTorch: geometric mean {geometric_mean(r['memory_ratio'] for r in rows):.2f}, most {most['memory_ratio']:.2f}, {most['network']} at batch {most['batch']} (goal {GOAL_MEMORY})"),
    ]
    lines = [("met     " if met else "NOT MET ") + text for met, text in goals]
    if all("before" in r for r in rows):
        ratios = [r["netspace"] / r["before"] for r in rows]
        lines.append(f"to before: geometric mean {geometric_mean(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
    return lines, all(met for met, _ in goals)


def main():
    if sys.argv[1:2] == ["--worker"]:
        file, batch, layout, seconds = sys.argv[2:]
        measure_pytorch(json.loads(pathlib.Path(file).read_text()), int(batch), layout, float(seconds))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netspace", default="bin/netspace", help="the program (default bin/netspace)")
    parser.add_argument("--before", metavar="PROGRAM", default=os.environ.get("NETSPACE_BEFORE"), help="another netspace to compare with (default: $NETSPACE_BEFORE)")
    parser.add_argument("--avx2", action="store_true", help="let neither side use AVX-512")
    parser.add_argument("--fresh-memory", action="store_true", help="let PyTorch give freed memory back to the kernel, as glibc does by default")
    parser.add_argument("--only", default="", help="only the networks whose name contains this")
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--seconds", type=float, default=3, help="of one measurement (default 3)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each side (default 2)")
    parser.add_argument("--list", action="store_true", help="print the population as JSON Lines")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all rows to FILE, too")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--check", action="store_true", help="exit with status 1 unless all goals are met")
    options = parser.parse_args()
    population = [p for p in POPULATION if options.only in p[0]]
    if not population:
        parser.error(f"--only {options.only}: the networks are {', '.join(p[0] for p in POPULATION)}")
    if options.list:
        for name, group_width, spec in population:
            print(json.dumps({"name": name, "group_width": group_width, "spec": spec}))
        return
    print(machine(options) + "\n")
    table, rows = Table(options.markdown, options.before), []
    with tempfile.TemporaryDirectory() as folder:
        for name, group_width, spec in population:
            for batch in options.batch:
                rows.append(measure(name, group_width, spec, batch, options, pathlib.Path(folder) / f"{name}.json"))
                table.row(rows[-1])
    lines, met = summary(rows)
    print("\n" + "\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    sys.exit(0 if met or not options.check else 1)


if __name__ == "__main__":
    main()
