"""a RegNet in PyTorch, written by netspace.

    net = load()            # with the weights of net.safetensors
    logits = net(images)    # [N,1,H,W] to [N,3]

Images are scaled to [0, 1] and normalised: (images - MEAN) / STD, per channel.
"""

import json
import os
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

MEAN, STD = [0.5], [0.25]
CLASSES = ["one", "\"two\"", "three"]


def drop_path(x, rate, training):
    """In training leaves out x for an image with probability rate, and scales what is kept."""
    if not training:
        return x
    return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(1 - rate) / (1 - rate)


def stage(*blocks):
    return nn.Sequential(OrderedDict((f"b{i}", block) for i, block in enumerate(blocks, 1)))


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(32)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Block1(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Conv2d(32, 16, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.f = nn.Module()
        self.f.a = nn.Conv2d(32, 16, 1, bias=False)
        self.f.a_bn = nn.BatchNorm2d(16)
        self.f.b = nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=2, bias=False)
        self.f.b_bn = nn.BatchNorm2d(16)
        self.f.se = nn.Module()
        self.f.se.f_ex = nn.ModuleDict()
        self.f.se.f_ex["0"] = nn.Conv2d(16, 8, 1)
        self.f.se.f_ex["2"] = nn.Conv2d(8, 16, 1)
        self.f.c = nn.Conv2d(16, 16, 1, bias=False)
        self.f.c_bn = nn.BatchNorm2d(16)

    def forward(self, x):
        y = F.relu(self.f.a_bn(self.f.a(x)))
        y = F.relu(self.f.b_bn(self.f.b(y)))
        z = F.relu(self.f.se.f_ex["0"](y.mean((2, 3), keepdim=True)))
        y = y * torch.sigmoid(self.f.se.f_ex["2"](z))
        return F.relu(self.bn(self.proj(x)) + self.f.c_bn(self.f.c(y)))


class Block2(nn.Module):
    def __init__(self, width_in, width, groups, se_width, rate):
        super().__init__()
        self.rate = rate
        self.proj = nn.Conv2d(width_in, width, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.f = nn.Module()
        self.f.a = nn.Conv2d(width_in, width, 1, bias=False)
        self.f.a_bn = nn.BatchNorm2d(width)
        self.f.b = nn.Conv2d(width, width, 3, stride=2, padding=1, groups=groups, bias=False)
        self.f.b_bn = nn.BatchNorm2d(width)
        self.f.se = nn.Module()
        self.f.se.f_ex = nn.ModuleDict()
        self.f.se.f_ex["0"] = nn.Conv2d(width, se_width, 1)
        self.f.se.f_ex["2"] = nn.Conv2d(se_width, width, 1)
        self.f.c = nn.Conv2d(width, width, 1, bias=False)
        self.f.c_bn = nn.BatchNorm2d(width)

    def forward(self, x):
        y = F.relu(self.f.a_bn(self.f.a(x)))
        y = F.relu(self.f.b_bn(self.f.b(y)))
        z = F.relu(self.f.se.f_ex["0"](y.mean((2, 3), keepdim=True)))
        y = y * torch.sigmoid(self.f.se.f_ex["2"](z))
        return F.relu(self.bn(self.proj(x)) + drop_path(self.f.c_bn(self.f.c(y)), self.rate, self.training))


class Block3(nn.Module):
    def __init__(self, width, groups, se_width, rate):
        super().__init__()
        self.rate = rate
        self.f = nn.Module()
        self.f.a = nn.Conv2d(width, width, 1, bias=False)
        self.f.a_bn = nn.BatchNorm2d(width)
        self.f.b = nn.Conv2d(width, width, 3, padding=1, groups=groups, bias=False)
        self.f.b_bn = nn.BatchNorm2d(width)
        self.f.se = nn.Module()
        self.f.se.f_ex = nn.ModuleDict()
        self.f.se.f_ex["0"] = nn.Conv2d(width, se_width, 1)
        self.f.se.f_ex["2"] = nn.Conv2d(se_width, width, 1)
        self.f.c = nn.Conv2d(width, width, 1, bias=False)
        self.f.c_bn = nn.BatchNorm2d(width)

    def forward(self, x):
        y = F.relu(self.f.a_bn(self.f.a(x)))
        y = F.relu(self.f.b_bn(self.f.b(y)))
        z = F.relu(self.f.se.f_ex["0"](y.mean((2, 3), keepdim=True)))
        y = y * torch.sigmoid(self.f.se.f_ex["2"](z))
        return F.relu(x + drop_path(self.f.c_bn(self.f.c(y)), self.rate, self.training))


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        return self.fc(F.dropout(x.mean((2, 3), keepdim=True), 0.2, self.training).flatten(1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Stem()
        self.s1 = stage(
            Block1(),
        )
        self.s2 = stage(
            Block2(width_in=16, width=32, groups=4, se_width=4, rate=0.02),
            Block3(width=32, groups=4, se_width=8, rate=0.04),
        )
        self.s3 = stage(
            Block2(width_in=32, width=64, groups=8, se_width=8, rate=0.06000000000000001),
            Block3(width=64, groups=8, se_width=16, rate=0.08),
            Block3(width=64, groups=8, se_width=16, rate=0.1),
        )
        self.head = Head()

    def forward(self, x):
        return self.head(self.s3(self.s2(self.s1(self.stem(x)))))


def load(path=os.path.join(os.path.dirname(os.path.abspath(__file__)), "net.safetensors")):
    """The network with the weights of a safetensors file of 32-bit floats, ready to classify."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = bytearray(f.read())
    header.pop("__metadata__", None)
    state = {}
    for name, t in header.items():
        if t["dtype"] != "F32":
            raise ValueError(f"{path}: {name} has type {t['dtype']}, not F32")
        begin, end = t["data_offsets"]
        state[name] = torch.frombuffer(data, dtype=torch.float32, count=(end - begin) // 4, offset=begin).reshape(t["shape"])
    net = Net()
    net.load_state_dict(state)
    return net.eval()
