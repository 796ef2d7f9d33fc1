"""The networks of netspace's spec files in PyTorch, written from the papers'
definitions and not from the Go code: an oracle for parity.py and the other
side of bench_pytorch.py. Tensor names are the ones of netspace's safetensors
files, so a network loads them as its state dict.

Needs PyTorch 1.13 and numpy only.
"""

import json
import math

import numpy as np
import torch
from torch import nn


def read_safetensors(path):
    """Returns {name: float32 array}."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    tensors = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        if t["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is {t['dtype']}, not F32")
        begin, end = t["data_offsets"]
        tensors[name] = np.frombuffer(data[begin:end], dtype="<f4").reshape(t["shape"])
    return tensors


def load(net, tensors):
    """Sets all parameters and BN statistics of a network from {name: array}."""
    state = {name: torch.tensor(value) for name, value in tensors.items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"the networks differ: PyTorch's has {missing} more and {unexpected} less")


# Widths: compatibility of widths and group widths, and RegNet's quantised line (DDS 3.3).


def compatible(width, bottleneck, group_width):
    """Adjusted (width, width of the 3x3, number of groups) of a bottleneck block."""
    if bottleneck >= 1:
        b = round(bottleneck)
        mid = max(1, width // b)
        g = min(group_width, mid)
        mid = max(g, round(mid / g) * g)
        return mid * b, mid, mid // g
    m = round(1 / bottleneck)  # an inverted bottleneck
    mid = width * m
    g = min(group_width, mid)
    unit = g * m // math.gcd(g, m)
    mid = max(unit, round(mid / unit) * unit)
    return mid // m, mid, mid // g


def regnet_stages(spec):
    """The stages of a regnet, as an anynet states them."""
    widths = []
    for j in range(spec["depth"]):
        u = spec["w0"] + spec["wa"] * j
        s = math.log(u / spec["w0"]) / math.log(spec["wm"])
        widths.append(max(8, 8 * round(spec["w0"] * spec["wm"] ** round(s) / 8)))
    stages = []
    for w in widths:
        if not stages or stages[-1]["width"] != w:
            stages.append({"depth": 0, "width": w, "stride": spec.get("stride", 2)})
            for key in ("bottleneck", "group_width"):
                if key in spec:
                    stages[-1][key] = spec[key]
        stages[-1]["depth"] += 1
    return stages


# Modules.


def conv(w_in, w_out, kernel, stride=1, groups=1, bias=False):
    return nn.Conv2d(w_in, w_out, kernel, stride=stride, padding=(kernel - 1) // 2, groups=groups, bias=bias)


def activation(name):
    return nn.SiLU(inplace=True) if name == "silu" else nn.ReLU(inplace=True)


class SE(nn.Module):
    def __init__(self, width, squeeze, act):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.f_ex = nn.Sequential(conv(width, squeeze, 1, bias=True), activation(act), conv(squeeze, width, 1, bias=True), nn.Sigmoid())

    def forward(self, x):
        return x * self.f_ex(self.avg_pool(x))


class BottleneckBranch(nn.Module):
    def __init__(self, w_in, w_out, stride, mid, groups, se, act):
        super().__init__()
        self.a, self.a_bn, self.a_af = conv(w_in, mid, 1), nn.BatchNorm2d(mid), activation(act)
        self.b, self.b_bn, self.b_af = conv(mid, mid, 3, stride, groups), nn.BatchNorm2d(mid), activation(act)
        squeeze = round(w_in * se)
        self.se = SE(mid, squeeze, act) if squeeze > 0 else nn.Identity()
        self.c, self.c_bn = conv(mid, w_out, 1), nn.BatchNorm2d(w_out)

    def forward(self, x):
        x = self.a_af(self.a_bn(self.a(x)))
        x = self.b_af(self.b_bn(self.b(x)))
        return self.c_bn(self.c(self.se(x)))


class BasicBranch(nn.Module):
    def __init__(self, w_in, w_out, stride, act):
        super().__init__()
        self.a, self.a_bn, self.a_af = conv(w_in, w_out, 3, stride), nn.BatchNorm2d(w_out), activation(act)
        self.b, self.b_bn = conv(w_out, w_out, 3), nn.BatchNorm2d(w_out)

    def forward(self, x):
        return self.b_bn(self.b(self.a_af(self.a_bn(self.a(x)))))


class Vanilla(nn.Module):
    def __init__(self, w_in, w_out, stride, act):
        super().__init__()
        self.a, self.a_bn, self.a_af = conv(w_in, w_out, 3, stride), nn.BatchNorm2d(w_out), activation(act)
        self.b, self.b_bn, self.b_af = conv(w_out, w_out, 3), nn.BatchNorm2d(w_out), activation(act)

    def forward(self, x):
        return self.b_af(self.b_bn(self.b(self.a_af(self.a_bn(self.a(x))))))


class Residual(nn.Module):
    """X, Y and R: a shortcut, by a 1x1 convolution where shapes differ, then the activation."""

    def __init__(self, branch, w_in, w_out, stride, act):
        super().__init__()
        self.proj = self.bn = None
        if w_in != w_out or stride != 1:
            self.proj, self.bn = conv(w_in, w_out, 1, stride), nn.BatchNorm2d(w_out)
        self.f, self.af = branch, activation(act)

    def forward(self, x):
        shortcut = x if self.proj is None else self.bn(self.proj(x))
        return self.af(shortcut + self.f(x))


class Linear(nn.Module):
    """Linear X: an identity shortcut or none, and no activation at the end."""

    def __init__(self, branch, w_in, w_out, stride):
        super().__init__()
        self.f, self.shortcut = branch, w_in == w_out and stride == 1

    def forward(self, x):
        return x + self.f(x) if self.shortcut else self.f(x)


class PreactBranch(nn.Module):
    """BN and activation in front of each convolution; forward takes the value activated for the first one."""

    def __init__(self, w_in, w_out, stride, mid, groups, se, act):
        super().__init__()
        self.a_bn, self.a_af, self.a = nn.BatchNorm2d(w_in), activation(act), conv(w_in, mid, 1)
        self.b_bn, self.b_af, self.b = nn.BatchNorm2d(mid), activation(act), conv(mid, mid, 3, stride, groups)
        self.c_bn, self.c_af, self.c = nn.BatchNorm2d(mid), activation(act), conv(mid, w_out, 1)
        squeeze = round(w_in * se)
        self.se = SE(mid, squeeze, act) if squeeze > 0 else nn.Identity()

    def activated(self, x):
        return self.a_af(self.a_bn(x))

    def forward(self, x):
        x = self.b(self.b_af(self.b_bn(self.a(x))))
        return self.c(self.se(self.c_af(self.c_bn(x))))


class Preact(nn.Module):
    """The pre-activation bottleneck (He et al., 2016)."""

    def __init__(self, branch, w_in, w_out, stride):
        super().__init__()
        self.f = branch
        self.proj = conv(w_in, w_out, 1, stride) if w_in != w_out or stride != 1 else None

    def forward(self, x):
        y = self.f.activated(x)
        return (x if self.proj is None else self.proj(y)) + self.f(y)


class SplitAttention(nn.Module):
    """Weighs the splits of x, channels of [radix][width], against each other (ResNeSt, 3.1 and its appendix on radix-major order)."""

    def __init__(self, width, radix, groups, act):
        super().__init__()
        squeeze = max(width * radix // 4, 32)
        squeeze = -(-squeeze // groups) * groups
        self.radix, self.groups = radix, groups
        self.a, self.a_bn, self.a_af = conv(width, squeeze, 1, groups=groups, bias=True), nn.BatchNorm2d(squeeze), activation(act)
        self.b = conv(squeeze, width * radix, 1, groups=groups, bias=True)

    def forward(self, x):
        n, c, h, w = x.shape
        splits = x.reshape(n, self.radix, c // self.radix, h, w)
        gap = splits.sum(1).mean((2, 3), keepdim=True)
        z = self.b(self.a_af(self.a_bn(self.a(gap))))
        if self.radix == 1:
            return x * torch.sigmoid(z)
        weights = torch.softmax(z.view(n, self.groups, self.radix, -1), dim=2).transpose(1, 2)
        return (splits * weights.reshape(n, self.radix, -1, 1, 1)).sum(1)


class SplitAttentionBranch(nn.Module):
    """A bottleneck whose 3x3 has splits; a stride is that of an average pooling behind it."""

    def __init__(self, w_in, w_out, stride, mid, groups, radix, act):
        super().__init__()
        self.a, self.a_bn, self.a_af = conv(w_in, mid, 1), nn.BatchNorm2d(mid), activation(act)
        self.b, self.b_bn, self.b_af = conv(mid, mid * radix, 3, 1, groups * radix), nn.BatchNorm2d(mid * radix), activation(act)
        self.sa = SplitAttention(mid, radix, groups, act)
        self.pool = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        self.c, self.c_bn = conv(mid, w_out, 1), nn.BatchNorm2d(w_out)

    def forward(self, x):
        x = self.a_af(self.a_bn(self.a(x)))
        x = self.b_af(self.b_bn(self.b(x)))
        return self.c_bn(self.c(self.pool(self.sa(x))))


class SplitAttentionBlock(nn.Module):
    """The block of ResNeSt: a shortcut of average pooling and a 1x1 convolution where shapes differ (ResNet-D)."""

    def __init__(self, branch, w_in, w_out, stride, act):
        super().__init__()
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
        self.proj = self.bn = None
        if w_in != w_out or stride != 1:
            self.proj, self.bn = conv(w_in, w_out, 1), nn.BatchNorm2d(w_out)
        self.f, self.af = branch, activation(act)

    def forward(self, x):
        shortcut = x if self.proj is None else self.bn(self.proj(self.pool(x)))
        return self.af(shortcut + self.f(x))


class End(nn.Module):
    """What a body of pre-activation blocks ends with."""

    def __init__(self, width, act):
        super().__init__()
        self.bn, self.af = nn.BatchNorm2d(width), activation(act)

    def forward(self, x):
        return self.af(self.bn(x))


class MBConv(nn.Module):
    def __init__(self, w_in, w_out, stride, expand, kernel, se, act):
        super().__init__()
        mid = int(w_in * expand)
        self.exp = None
        if mid != w_in:
            self.exp, self.exp_bn, self.exp_af = conv(w_in, mid, 1), nn.BatchNorm2d(mid), activation(act)
        self.dwise, self.dwise_bn, self.dwise_af = conv(mid, mid, kernel, stride, mid), nn.BatchNorm2d(mid), activation(act)
        squeeze = int(w_in * se)
        self.se = SE(mid, squeeze, act) if squeeze > 0 else nn.Identity()
        self.lin_proj, self.lin_proj_bn = conv(mid, w_out, 1), nn.BatchNorm2d(w_out)
        self.shortcut = stride == 1 and w_in == w_out

    def forward(self, x):
        y = x if self.exp is None else self.exp_af(self.exp_bn(self.exp(x)))
        y = self.se(self.dwise_af(self.dwise_bn(self.dwise(y))))
        y = self.lin_proj_bn(self.lin_proj(y))
        return x + y if self.shortcut else y


class Stem(nn.Module):
    def __init__(self, kind, channels, width, act):
        super().__init__()
        kernel, stride = {"simple": (3, 2), "cifar": (3, 1), "resnet": (7, 2)}[kind]
        self.conv, self.bn, self.af = conv(channels, width, kernel, stride), nn.BatchNorm2d(width), activation(act)
        self.pool = nn.MaxPool2d(3, 2, 1) if kind == "resnet" else nn.Identity()

    def forward(self, x):
        return self.pool(self.af(self.bn(self.conv(x))))


class DeepStem(nn.Module):
    """Three 3x3 convolutions, the first two of half the width, and a pooling (ResNet-C)."""

    def __init__(self, channels, width, act):
        super().__init__()
        half = (width + 1) // 2
        self.a, self.a_bn, self.a_af = conv(channels, half, 3, 2), nn.BatchNorm2d(half), activation(act)
        self.b, self.b_bn, self.b_af = conv(half, half, 3), nn.BatchNorm2d(half), activation(act)
        self.c, self.c_bn, self.c_af = conv(half, width, 3), nn.BatchNorm2d(width), activation(act)
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x):
        x = self.a_af(self.a_bn(self.a(x)))
        x = self.b_af(self.b_bn(self.b(x)))
        return self.pool(self.c_af(self.c_bn(self.c(x))))


class Head(nn.Module):
    def __init__(self, w_in, width, bn, act, classes):
        super().__init__()
        self.conv, self.norm = None, bn
        if width > 0:
            self.conv, self.af = conv(w_in, width, 1), activation(act)
            setattr(self, bn, nn.BatchNorm2d(width))
        self.avg_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width or w_in, classes)

    def forward(self, x):
        if self.conv is not None:
            x = self.af(getattr(self, self.norm)(self.conv(x)))
        return self.fc(self.avg_pool(x).flatten(1))


def block(spec, stage, w_in, stride, act):
    """A block and its output width."""
    if spec["family"] == "effnet":
        w = stage["width"]
        return MBConv(w_in, w, stride, stage["expand"], stage["kernel"], spec.get("se", 0.25), act), w
    kind = spec.get("block", "bottleneck")
    if kind in ("bottleneck", "bottleneck-linear", "bottleneck-preact", "split-attention"):
        w, mid, groups = compatible(stage["width"], stage.get("bottleneck", 1), stage["group_width"])
        if kind == "bottleneck-preact":
            return Preact(PreactBranch(w_in, w, stride, mid, groups, spec.get("se", 0), act), w_in, w, stride), w
        if kind == "split-attention":
            return SplitAttentionBlock(SplitAttentionBranch(w_in, w, stride, mid, groups, spec.get("radix", 2), act), w_in, w, stride, act), w
        branch = BottleneckBranch(w_in, w, stride, mid, groups, spec.get("se", 0), act)
        if kind == "bottleneck":
            return Residual(branch, w_in, w, stride, act), w
        return Linear(branch, w_in, w, stride), w
    w = stage["width"]
    if kind == "vanilla":
        return Vanilla(w_in, w, stride, act), w
    return Residual(BasicBranch(w_in, w, stride, act), w_in, w, stride, act), w


class Net(nn.Module):
    """The network of a spec: a dict as read from JSON, with channels and classes."""

    def __init__(self, spec):
        super().__init__()
        effnet = spec["family"] == "effnet"
        act = spec.get("activation", "silu" if effnet else "relu")
        stem = {"type": "simple", "width": 32, **spec.get("stem", {})}
        if stem["type"] == "deep":
            self.stem = DeepStem(spec["channels"], stem["width"], act)
        else:
            self.stem = Stem(stem["type"], spec["channels"], stem["width"], act)
        stages = regnet_stages(spec) if spec["family"] == "regnet" else spec["stages"]
        w, self.parts = stem["width"], []
        for i, stage in enumerate(stages):
            blocks = nn.Sequential()
            for j in range(stage["depth"]):
                b, w_out = block(spec, stage, w, stage.get("stride", 2) if j == 0 else 1, act)
                blocks.add_module(f"b{j + 1}", b)
                w = w_out
            self.add_module(f"s{i + 1}", blocks)
            self.parts.append(f"s{i + 1}")
        if spec.get("block") == "bottleneck-preact":
            self.add_module("body", End(w, act))
            self.parts.append("body")
        self.head = Head(w, spec.get("head_width", 1280 if effnet else 0), "conv_bn" if effnet else "bn", act, spec["classes"])

    def forward(self, x):
        x = self.stem(x)
        for part in self.parts:
            x = getattr(self, part)(x)
        return self.head(x)


def sgd(net, lr, momentum, nesterov, weight_decay, bn_weight_decay, bias_weight_decay):
    """SGD with its own weight decay for weights, BN scale and shift, and biases."""
    groups = {"weight": [], "bn": [], "bias": []}
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            groups["bn"] += [module.weight, module.bias]
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            groups["weight"].append(module.weight)
            if module.bias is not None:
                groups["bias"].append(module.bias)
    decay = {"weight": weight_decay, "bn": bn_weight_decay, "bias": bias_weight_decay}
    return torch.optim.SGD(
        [{"params": params, "weight_decay": decay[key]} for key, params in groups.items() if params],
        lr=lr, momentum=momentum, nesterov=nesterov,
    )
