#!/usr/bin/python3
"""Is netspace's training the same mathematics as PyTorch's?

For networks of every block type, every stem and several recipes: netspace
writes initial weights and trains on the first images of Fashion-MNIST in file
order; an equal PyTorch network (torchnet.py) loads the weights and trains on
the same batches. Compared are

- the loss of each of the first 10 steps: to 1e-4 relative (where PyTorch
  agrees with itself to a quarter of that, else to a few times its own
  difference);
- the losses of all 50 steps: they may differ by a few times what PyTorch
  differs from itself when only the order of its sums changes (contiguous,
  channels-last, without oneDNN). Training is chaotic, so these differences
  grow from step to step;
- the gradients of the first step, and weights and BN statistics after the
  third, tensor by tensor, against PyTorch in float64: they may be off by a few
  times what PyTorch in float32 is off (see tolerances()).

The learning rate is low, so that chaos does not hide mistakes: at 0.02 PyTorch
differs from itself by 1e-3 within 10 steps on some of these networks.

With --engine pytorch it is netspace's own use of PyTorch that is compared.

Exit status 0 if all agree. Needs python3-torch (1.13) and numpy.
"""

import argparse
import copy
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch

import torchnet

FEW = 4  # "a few times" of the comparisons with PyTorch's own differences
FIRST_STEPS, FIRST_TOLERANCE = 10, 1e-4  # of the losses
AFTER_STEPS = 3  # when weights and statistics are compared: momentum is at work

CIFAR, SIMPLE, RESNET, DEEP = ({"type": t, "width": w} for t, w in (("cifar", 16), ("simple", 16), ("resnet", 24), ("deep", 24)))


def anynet(stem, stages, **rest):
    """stages: (depth, width, stride[, bottleneck, group width])."""
    keys = ("depth", "width", "stride", "bottleneck", "group_width")
    return {"family": "anynet", "stem": stem, **rest, "stages": [dict(zip(keys, s)) for s in stages]}


def effnet(stem, stages, **rest):
    keys = ("depth", "width", "stride", "expand", "kernel")
    return {"family": "effnet", "stem": stem, **rest, "stages": [dict(zip(keys, s)) for s in stages]}


NO_DECAY = ["--weight-decay", "5e-3", "--bn-weight-decay", "0", "--bias-weight-decay", "0"]
DECAY = ["--weight-decay", "5e-3"]
NESTEROV = ["--nesterov"]
SMOOTH = ["--label-smoothing", "0.1"]

# Name, network, recipe flags. Learning rate and momentum are the same everywhere.
CASES = [
    ("X", anynet(CIFAR, [(1, 24, 1, 1, 8), (2, 48, 2, 1, 8), (1, 96, 2, 1, 8)]), DECAY),
    ("X-dense-simple-stem", anynet(SIMPLE, [(1, 32, 1, 1, 32), (2, 64, 2, 2, 32)]), NESTEROV + DECAY),
    ("X-narrow-groups", anynet(CIFAR, [(1, 20, 2, 1, 1), (1, 36, 2, 1, 2), (2, 60, 2, 1, 4)]), SMOOTH),
    ("X-inverted", anynet(CIFAR, [(1, 16, 2, 0.25, 16), (2, 24, 2, 0.5, 24)]), NESTEROV + NO_DECAY),
    ("X-resnet-stem", anynet(RESNET, [(2, 32, 1, 1, 16), (2, 64, 2, 4, 8)]), NESTEROV + SMOOTH),
    ("Y", anynet(CIFAR, [(1, 24, 2, 1, 8), (2, 56, 2, 1, 8)], se=0.25), NESTEROV + SMOOTH + NO_DECAY),
    ("Y-silu-head", anynet(SIMPLE, [(1, 24, 1, 1, 12), (2, 48, 2, 1, 12)], se=0.25, activation="silu", head_width=96), DECAY),
    ("R", anynet(CIFAR, [(1, 16, 1), (2, 32, 2)], block="basic"), NESTEROV + DECAY),
    ("R-resnet-stem", anynet(RESNET, [(1, 24, 1), (2, 40, 2)], block="basic"), SMOOTH + NO_DECAY),
    ("V", anynet(CIFAR, [(1, 16, 2), (1, 32, 2)], block="vanilla"), SMOOTH + DECAY),
    ("linear-X", anynet(CIFAR, [(1, 16, 2, 0.25, 1), (2, 24, 2, 0.25, 1)], block="bottleneck-linear"), NESTEROV + NO_DECAY),
    ("preact", anynet(CIFAR, [(2, 16, 1, 1, 8), (2, 32, 2, 2, 4)], block="bottleneck-preact"), NESTEROV + SMOOTH + NO_DECAY),
    ("preact-se-silu-head", anynet(SIMPLE, [(1, 24, 2, 0.5, 12), (2, 40, 2, 1, 40)], block="bottleneck-preact", se=0.25, activation="silu", head_width=64), DECAY),
    ("split-attention", anynet(CIFAR, [(1, 24, 2, 1, 8), (2, 48, 2, 2, 8)], block="split-attention"), NESTEROV + SMOOTH + NO_DECAY),
    ("split-attention-radix-3", anynet(DEEP, [(1, 24, 1, 1, 6), (2, 48, 2, 1, 12)], block="split-attention", radix=3), DECAY),
    ("split-attention-radix-1", anynet(SIMPLE, [(2, 32, 2, 1, 16)], block="split-attention", radix=1), NESTEROV + DECAY),
    ("MBConv", effnet(SIMPLE, [(1, 16, 1, 1, 3), (2, 24, 2, 6, 3), (2, 40, 2, 6, 5)], head_width=128), NESTEROV + SMOOTH + NO_DECAY),
    ("RegNetX", {"family": "regnet", "stem": CIFAR, "depth": 5, "w0": 24, "wa": 20.0, "wm": 2.0, "bottleneck": 1, "group_width": 8}, NESTEROV + DECAY),
    ("RegNetY", {"family": "regnet", "stem": CIFAR, "depth": 6, "w0": 24, "wa": 14.0, "wm": 2.2, "bottleneck": 1, "group_width": 16, "se": 0.25}, DECAY),
]


def read_idx(path):
    """An array of bytes from an IDX file, plain or gzipped."""
    path = str(path)
    with (gzip.open(path + ".gz") if not os.path.exists(path) else open(path, "rb")) as f:
        data = f.read()
    dims = data[3]
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims)]
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dims).reshape(shape)


class Netspace:
    """Runs of the program on one network."""

    def __init__(self, options, folder, spec, flags):
        self.options, self.flags = options, flags
        self.spec, self.init, self.gradients, self.after = (folder / f for f in ("net.json", "init.safetensors", "gradients.safetensors", "after.safetensors"))
        self.spec.write_text(json.dumps(spec))

    def run(self, *words):
        command = [self.options.netspace, *map(str, words)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def train(self, steps, *words):
        """Returns the resolved start of a training and its lines per step."""
        o = self.options
        by = ["--trainer", "{pytorch: {python: %s, device: cpu}}" % sys.executable] if o.engine == "pytorch" else ["--engine", o.engine]
        lines = self.run(
            "train", self.spec, "--data", o.data, *by, "--json", "--steps", steps, "--batch", o.batch,
            "--lr", o.lr, "--no-augment", "--no-shuffle", "--val-images", 100, "--init", self.init, "--log-steps", *self.flags, *words,
        )
        return lines[0], [line for line in lines if line.get("event") == "step"]


def batches(start, folder, batch, steps):
    """The images and labels of the first steps, normalised as netspace does, in float32."""
    images, labels = read_idx(folder / "train-images-idx3-ubyte"), read_idx(folder / "train-labels-idx1-ubyte")
    mean, std = np.float32(start["normalisation"]["mean"][0]), np.float32(start["normalisation"]["std"][0])
    for k in range(steps):
        part = slice(k * batch, (k + 1) * batch)
        x = (images[part].astype(np.float32) / np.float32(255) - mean) / std
        yield torch.from_numpy(x[:, None]), torch.from_numpy(labels[part].astype(np.int64))


def train(net, data, steps, recipe):
    """Trains; returns the loss per step, and as {name: float64 array} the
    gradients of the first step and the state after AFTER_STEPS."""
    net.train()
    decay = recipe["weight_decay"]
    optimizer = torchnet.sgd(
        net, steps[0]["lr"], recipe["momentum"], recipe["nesterov"],
        decay, recipe.get("bn_weight_decay", decay), recipe.get("bias_weight_decay", decay),
    )
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=recipe["label_smoothing"])
    losses, tensors = [], {}
    for k, (line, (x, y)) in enumerate(zip(steps, data)):
        for group in optimizer.param_groups:
            group["lr"] = line["lr"]
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(net(x), y)
        loss.backward()
        losses.append(loss.item())
        if k == 0:
            tensors.update(("gradient " + name, p.grad.double().numpy().copy()) for name, p in net.named_parameters())
        optimizer.step()
        if k == AFTER_STEPS - 1:
            tensors.update((name, v.double().numpy().copy()) for name, v in net.state_dict().items() if not name.endswith("num_batches_tracked"))
    return np.array(losses), tensors


def tolerances(exact, runs, initial):
    """How far each tensor may be from its value in float64: a few times the
    furthest that PyTorch's float32 runs are, and at least a few times the
    relative error that is usual among the gradients of this network — a small
    tensor may be lucky in all runs. For weights and statistics this is
    relative to how far they have moved, plus the rounding of what they are.
    Gradients that are zero but for rounding, such as that of a shift in front
    of a BN, are known no better than PyTorch's runs say."""
    error = {name: max(np.abs(r[name] - v).max() for r in runs) for name, v in exact.items()}
    moved = {name: np.abs(v - initial.get(name, 0)).max() for name, v in exact.items()}
    usual = np.quantile([error[n] / moved[n] for n in exact if n.startswith("gradient") and moved[n] > 0], 0.75)
    return {n: FEW * (error[n] + usual * moved[n] + (n in initial) * 2.0**-24 * np.abs(v).max()) for n, v in exact.items()}


def compare(name, spec, flags, options):
    """Runs one case; returns a row of the table and a list of what disagrees."""
    spec = {**spec, "channels": 1, "classes": 10, "resolution": 28}
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        program = Netspace(options, pathlib.Path(folder), spec, flags)
        program.run("init", program.spec, "-o", program.init, "--seed", 1, "--json")
        # State after a few steps is that of a training of as many steps.
        program.train(AFTER_STEPS, "--save-gradients", program.gradients, "--save-weights", program.after)
        start, steps = program.train(options.steps)
        ours = {"gradient " + n: v for n, v in torchnet.read_safetensors(program.gradients).items()}
        ours.update(torchnet.read_safetensors(program.after))
        net = torchnet.Net(spec)
        initial = torchnet.read_safetensors(program.init)
        torchnet.load(net, initial)
    data = list(batches(start, options.folder, options.batch, len(steps)))
    recipe = start["recipe"]

    own, tensors = [], []
    for layout, order in ((torch.contiguous_format, 1), (torch.channels_last, 1), (torch.contiguous_format, -1)):
        inputs = [(x, y) if order > 0 else (x.flip(0), y.flip(0)) for x, y in data]
        inputs = [(x.to(memory_format=layout), y) for x, y in inputs]
        losses, t = train(copy.deepcopy(net).to(memory_format=layout), inputs, steps, recipe)
        own.append(losses)
        tensors.append(t)
    _, exact = train(copy.deepcopy(net).double(), [(x.double(), y) for x, y in data[:AFTER_STEPS]], steps, recipe)

    loss = np.array([line["loss"] for line in steps])
    differences = np.abs(loss - own[0])
    relative = (differences / np.abs(own[0]))[:FIRST_STEPS].max()
    own_differences = np.max([np.abs(own[0] - o) for o in own[1:]], axis=0)
    own_relative = (own_differences / np.abs(own[0]))[:FIRST_STEPS].max()
    if not relative <= max(FIRST_TOLERANCE, FEW * own_relative):
        faults.append(f"losses of the first {FIRST_STEPS} steps differ by {relative:.1e}, relative; PyTorch's own by {own_relative:.1e}")
    self_difference = own_differences.max()
    allowed = FEW * self_difference + 1e-5 * np.abs(own[0]).max()
    if not differences.max() <= allowed:
        faults.append(f"losses of {len(steps)} steps differ by {differences.max():.1e}; PyTorch's own by {self_difference:.1e}")
    if set(ours) != set(exact):
        faults.append(f"tensors differ: {sorted(set(ours) ^ set(exact))}")
    worst, worst_name = 0, "-"
    for tensor, tolerance in tolerances(exact, tensors, initial).items():
        if tensor not in ours:
            continue
        difference = np.abs(ours[tensor] - exact[tensor])
        share = difference.max() / tolerance
        if not share <= worst:
            worst, worst_name = share, tensor
        if not share <= 1:
            at = np.unravel_index(difference.argmax(), difference.shape)
            faults.append(f"{tensor}{list(map(int, at))}: {ours[tensor][at]:.9g}, PyTorch in float64 {exact[tensor][at]:.9g}, tolerance {tolerance:.2e}")
    row = (name, f"{relative:.1e}", f"{own_relative:.1e}", f"{differences.max():.1e}", f"{self_difference:.1e}", f"{worst:.2f}", worst_name)
    return row, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netspace", default="bin/netspace", help="the program (default bin/netspace)")
    parser.add_argument("--engine", default="onednn", help="onednn, reference, or pytorch: the trainer of that name (default onednn)")
    parser.add_argument("--data", default="fashion-mnist", help="data set as netspace names it")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"), help="where its IDX files are")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--only", default="", help="run only the cases whose name contains this")
    parser.add_argument("--list", action="store_true", help="list the cases")
    options = parser.parse_args()
    cases = [c for c in CASES if options.only in c[0]]
    if options.list or not cases:
        print("\n".join(c[0] for c in CASES))
        sys.exit(0 if options.list else 2)
    torch.manual_seed(0)
    form = "{:24} {:>10} {:>10} {:>10} {:>10} {:>8}  {}"
    print(f"PyTorch {torch.__version__}, batch {options.batch}, learning rate {options.lr}")
    print(form.format("loss differences:", f"first {FIRST_STEPS},", "PyTorch's", f"all {options.steps},", "PyTorch's", "tensors:", "nearest to its"))
    print(form.format("", "relative", "own", "absolute", "own", "of tol.", "tolerance"))
    failed = 0
    for case in cases:
        row, faults = compare(*case, options)
        print(form.format(*row), flush=True)
        for fault in faults:
            print("    DIFFERS:", fault)
        failed += bool(faults)
    print(f"{len(cases) - failed} of {len(cases)} agree")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
