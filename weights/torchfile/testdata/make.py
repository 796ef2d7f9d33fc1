#!/usr/bin/python3
"""Writes the files beside it, which torchfile_test.go reads, with PyTorch (1.13)."""

import argparse
from collections import OrderedDict

import numpy as np
import torch

values = torch.arange(12, dtype=torch.float32)
state = OrderedDict(
    a=values.view(3, 4),
    transposed=values.view(3, 4).t(),  # a view of the same storage, by strides
    part=values[4:8],
    half=torch.tensor([0.5, -2.0], dtype=torch.float16),
    brain=torch.tensor([1.5], dtype=torch.bfloat16),
    double=torch.tensor([0.1], dtype=torch.float64),
    parameter=torch.nn.Parameter(torch.tensor([7.0])),
    last=torch.ones(2, 3, 2, 2).contiguous(memory_format=torch.channels_last),
    num_batches_tracked=torch.tensor(5),
)
torch.save(state, "zip.pth")
torch.save(state, "legacy.pth", _use_new_zipfile_serialization=False)
checkpoint = {
    "epoch": 3, "test_err": np.float64(12.5), "ema_state": {"w": values + 1}, "model_state": OrderedDict(w=values),
    "optimizer_state": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1, "params": [0], "nesterov": True, "big": 1 << 70, "small": -3, "none": None}]},
    "cfg": "MODEL:\n  TYPE: regnet\n", "args": argparse.Namespace(lr=0.1, data="x"),
}
torch.save(checkpoint, "checkpoint.pth")
net = torch.nn.BatchNorm2d(2)
torch.save(net.state_dict(), "metadata.pth")
torch.save(net, "module.pth")
