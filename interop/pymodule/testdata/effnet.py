"""net.yaml in PyTorch, written by netspace.

    net = load()            # with the weights of net.safetensors
    logits = net(images)    # [N,3,H,W] to [N,1000]

Images are scaled to [0, 1] and normalised: (images - MEAN) / STD, per channel.
"""

import json
import os
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

MEAN, STD = None, None
CLASSES = None


def stage(*blocks):
    return nn.Sequential(OrderedDict((f"b{i}", block) for i, block in enumerate(blocks, 1)))


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(16)

    def forward(self, x):
        y = F.silu(self.bn(self.conv(x)))
        return F.max_pool2d(y, 3, stride=2, padding=1)


class Block1(nn.Module):
    def __init__(self):
        super().__init__()
        self.dwise = nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16, bias=False)
        self.dwise_bn = nn.BatchNorm2d(16)
        self.se = nn.Module()
        self.se.f_ex = nn.ModuleDict()
        self.se.f_ex["0"] = nn.Conv2d(16, 4, 1)
        self.se.f_ex["2"] = nn.Conv2d(4, 16, 1)
        self.lin_proj = nn.Conv2d(16, 16, 1, bias=False)
        self.lin_proj_bn = nn.BatchNorm2d(16)

    def forward(self, x):
        y = F.silu(self.dwise_bn(self.dwise(x)))
        z = F.silu(self.se.f_ex["0"](y.mean((2, 3), keepdim=True)))
        y = y * torch.sigmoid(self.se.f_ex["2"](z))
        return self.lin_proj_bn(self.lin_proj(y))


class Block2(nn.Module):
    def __init__(self):
        super().__init__()
        self.dwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.dwise_bn = nn.BatchNorm2d(16)
        self.se = nn.Module()
        self.se.f_ex = nn.ModuleDict()
        self.se.f_ex["0"] = nn.Conv2d(16, 4, 1)
        self.se.f_ex["2"] = nn.Conv2d(4, 16, 1)
        self.lin_proj = nn.Conv2d(16, 16, 1, bias=False)
        self.lin_proj_bn = nn.BatchNorm2d(16)

    def forward(self, x):
        y = F.silu(self.dwise_bn(self.dwise(x)))
        z = F.silu(self.se.f_ex["0"](y.mean((2, 3), keepdim=True)))
        y = y * torch.sigmoid(self.se.f_ex["2"](z))
        return x + self.lin_proj_bn(self.lin_proj(y))


class Block3(nn.Module):
    def __init__(self):
        super().__init__()
        self.exp = nn.Conv2d(16, 32, 1, bias=False)
        self.exp_bn = nn.BatchNorm2d(32)
        self.dwise = nn.Conv2d(32, 32, 5, padding=2, groups=32, bias=False)
        self.dwise_bn = nn.BatchNorm2d(32)
        self.se = nn.Module()
        self.se.f_ex = nn.ModuleDict()
        self.se.f_ex["0"] = nn.Conv2d(32, 4, 1)
        self.se.f_ex["2"] = nn.Conv2d(4, 32, 1)
        self.lin_proj = nn.Conv2d(32, 16, 1, bias=False)
        self.lin_proj_bn = nn.BatchNorm2d(16)

    def forward(self, x):
        y = F.silu(self.exp_bn(self.exp(x)))
        y = F.silu(self.dwise_bn(self.dwise(y)))
        z = F.silu(self.se.f_ex["0"](y.mean((2, 3), keepdim=True)))
        y = y * torch.sigmoid(self.se.f_ex["2"](z))
        return x + self.lin_proj_bn(self.lin_proj(y))


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 24, 1, bias=False)
        self.conv_bn = nn.BatchNorm2d(24)
        self.fc = nn.Linear(24, 1000)

    def forward(self, x):
        y = F.silu(self.conv_bn(self.conv(x)))
        return self.fc(y.mean((2, 3), keepdim=True).flatten(1))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Stem()
        self.s1 = stage(
            Block1(),
            Block2(),
        )
        self.s2 = stage(
            *(Block3() for _ in range(2)),
        )
        self.head = Head()

    def forward(self, x):
        return self.head(self.s2(self.s1(self.stem(x))))


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
