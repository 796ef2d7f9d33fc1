#!/usr/bin/python3
"""Exports the cases of a folder (internal/exportcases) with netspace, and checks what PyTorch makes of them:

- the ONNX models pass the checker of the format, shapes included;
- the PyTorch modules compute the engine's logits;
- torchvision's networks load the files with its names strictly, and compute them too; all its published networks have
  the names and shapes that netspace gives theirs;
- files under each naming, and what torch.save writes of them, come back with the same bits.

Exit status 0 if all is so. What ONNX Runtime computes is export_onnx.js's part.
"""

import concurrent.futures
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import onnx
import torch
import torchvision

import torchnet

TOLERANCE = 1e-4  # of the largest logit
ONNX = {  # the variants that are exported: flags of each
    "folded": [],
    "kept": ["--fold-bn=false"],
    "whole": ["--softmax", "--normalise"],
}


# torchvision makes widths that are odd multiples of half a group width larger, the paper's authors the even multiple of
# it: in these the last stage has another width there than published.
ROUNDED_UP = {"regnet_x_400mf", "regnet_y_800mf", "regnet_y_8gf"}


def netspace(program, *words):
    done = subprocess.run([program, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


def export(program, folder, case):
    """Writes all that a case is exported as. Returns what went wrong."""
    faults = []

    def write(out, *flags, weights=folder / "weights.safetensors"):
        status, said = netspace(program, "export", case["model"], "--weights", weights, "-o", folder / out, *flags)
        if status:
            faults.append(f"{out}: {said}")

    for variant, flags in ONNX.items():
        write(variant + ".onnx", *flags)
    write("net.pt.py")
    write("pycls.safetensors")
    for naming in ("timm", "torchvision"):
        status, said = netspace(program, "export", case["model"], "--weights", folder / "weights.safetensors", "-o", folder / f"{naming}.safetensors", "--names", naming)
        refused = status == 2 and f"{naming} has no such network" in said
        if status and (not refused or naming == "torchvision" and case["torchvision"]):
            faults.append(f"{naming}: {said}")
        if status == 0:
            write(f"from-{naming}.safetensors", weights=folder / f"{naming}.safetensors")
            if (folder / f"from-{naming}.safetensors").read_bytes() != (folder / "pycls.safetensors").read_bytes():
                faults.append(f"{naming}: the tensors do not come back as they were")
    return faults


def module(path):
    spec = importlib.util.spec_from_file_location("net", path)
    m = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(m)
    return m


def published(name, classes):
    """A network of torchvision."""
    from torchvision.models import resnet

    small = {
        "resnet-basic": (resnet.BasicBlock, {}),
        "resnet-bottleneck": (resnet.Bottleneck, {}),
        "resnext-bottleneck": (resnet.Bottleneck, {"groups": 32, "width_per_group": 4}),
    }
    if name in small:
        block, settings = small[name]
        return resnet.ResNet(block, [1, 1, 1, 1], num_classes=classes, **settings)
    return getattr(torchvision.models, name)(num_classes=classes)


def state(path):
    return {name: torch.tensor(value) for name, value in torchnet.read_safetensors(path).items()}


def differs(net, folder):
    """The worst relative difference of a network from the engine, over numbers and sizes of images."""
    worst = 0.0
    for path in sorted(folder.glob("[01]-[13].safetensors")):
        t = state(path)
        with torch.no_grad():
            logits = net.eval()(t["normalised"])
        worst = max(worst, ((logits - t["logits"]).abs().max() / t["logits"].abs().max()).item())
    return worst


def saved(program, folder, case, net):
    """What torch.save writes of a network, in both of its formats, comes back with the same bits."""
    faults = []
    # As the authors' tool keeps it, the averaged weights beside it; and as several devices train it.
    checkpoint = {"epoch": 1, "test_err": 50.0, "ema_state": {}, "model_state": net.state_dict(), "optimizer_state": torch.optim.SGD(net.parameters(), 0.1).state_dict()}
    parallel = {"module." + name: t for name, t in net.state_dict().items()}
    for name, content, zipped in (("zip", checkpoint, True), ("legacy", parallel, False)):
        torch.save(content, folder / f"{name}.pth", _use_new_zipfile_serialization=zipped)
        status, said = netspace(program, "export", case["model"], "--weights", folder / f"{name}.pth", "-o", folder / f"from-{name}.safetensors")
        if status:
            faults.append(f"{name}.pth: {said}")
            continue
        want, got = state(folder / "pycls.safetensors"), state(folder / f"from-{name}.safetensors")
        if want.keys() != got.keys() or any(not torch.equal(want[k], got[k]) for k in want):
            faults.append(f"{name}.pth: the tensors do not come back as they were")
    return faults


def check(program, folder, case):
    faults = []
    for variant in ONNX:
        try:
            onnx.checker.check_model(onnx.load(str(folder / (variant + ".onnx"))), full_check=True)
        except Exception as error:  # whatever the checker has to say
            faults.append(f"{variant}.onnx: {error}")
    nets = {"net.pt.py": module(folder / "net.pt.py").load()}
    module(folder / "net.pt.py").load().train()(state(folder / "0-3.safetensors")["normalised"])  # with what acts in training alone
    if case["torchvision"]:
        tensors = state(folder / "torchvision.safetensors")
        net = published(case["torchvision"], len(state(folder / "0-1.safetensors")["logits"][0]))
        net.load_state_dict(tensors, strict=True)
        nets["torchvision"] = net
        faults += saved(program, folder, case, net)
    for name, net in nets.items():
        if not differs(net, folder) <= TOLERANCE:
            faults.append(f"{name}: differs from the engine by {differs(net, folder):.1e}")
    return faults


def listings(all_listings):
    """Compares the names and shapes of published networks with torchvision's own."""
    for name in ("kaiming_normal_", "normal_", "uniform_", "zeros_", "ones_", "constant_"):
        setattr(torch.nn.init, name, lambda t, *_, **__: t)  # memory that nobody writes costs nothing
    faults, seen = [], 0
    for listing in all_listings:
        name = listing["model"]
        make = getattr(torchvision.models, name, None)
        if make is None:
            continue  # 200, 600 MF and others are of the paper alone
        seen += 1
        if name in ROUNDED_UP:
            continue
        own = {k: list(v.shape) for k, v in make().state_dict().items() if not k.endswith("num_batches_tracked")}
        if own != listing["tensors"]:
            faults.append(f"{name}: torchvision has {sorted(own.keys() ^ listing['tensors'].keys())[:4]} besides, or other shapes")
    if seen < 15:
        faults.append(f"only {seen} of the published networks are in torchvision")
    return faults


def main():
    program, folder = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2])
    torch.set_num_threads(1)
    listed = json.loads((folder / "cases.json").read_text())
    cases = listed["cases"]
    faults = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for case, found in zip(cases, pool.map(lambda c: export(program, folder / c["name"], c), cases)):
            faults += [f"{case['name']}: {f}" for f in found]
    for case in cases:
        faults += [f"{case['name']}: {f}" for f in check(program, folder / case["name"], case)]
    faults += listings(listed["torchvision"])
    for f in faults:
        print("FAIL", f)
    print(f"PyTorch: {len(cases)} networks, {len(faults)} faults")
    sys.exit(1 if faults else 0)


main()
