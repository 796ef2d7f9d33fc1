package pymodule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netspace/graph"
)

// quoted makes a text one of Python's between quotes.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func header(b *strings.Builder, g *graph.Graph, o Options) {
	in, out := g.Input(), g.Output()
	fmt.Fprintf(b, `"""%s in PyTorch, written by netspace.

    net = load()            # with the weights of %s
    logits = net(images)    # [N,%d,H,W] to [N,%d]

Images are scaled to [0, 1] and normalised: (images - MEAN) / STD, per channel.
"""

import json
import os
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

`, quoted.Replace(o.Name), quoted.Replace(o.Weights), in.C, out.C)
	fmt.Fprintf(b, "MEAN, STD = %s, %s\n", python(o.Mean), python(o.Std))
	fmt.Fprintf(b, "CLASSES = %s\n", python(o.Classes))
}

// python is a list as Python writes it; None for nil.
func python[T any](list []T) string {
	if list == nil {
		return "None"
	}
	var all []string
	for _, x := range list {
		text, err := json.Marshal(x) // numbers and strings, which JSON and Python write alike
		if err != nil {
			return "None" // infinite
		}
		all = append(all, string(text))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func helpers(b *strings.Builder, g *graph.Graph) {
	if slices.ContainsFunc(g.Nodes, func(n graph.Node) bool { return n.Op == graph.OpDropPath }) {
		b.WriteString(`

def drop_path(x, rate, training):
    """In training leaves out x for an image with probability rate, and scales what is kept."""
    if not training:
        return x
    return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(1 - rate) / (1 - rate)
`)
	}
	b.WriteString(`

def stage(*blocks):
    return nn.Sequential(OrderedDict((f"b{i}", block) for i, block in enumerate(blocks, 1)))
`)
}

// write writes the class.
func (c *class) write(b *strings.Builder) {
	p := c.parts[0]
	fmt.Fprintf(b, "\n\nclass %s(nn.Module):\n", c.name)
	names := []string{"self"}
	for _, a := range c.arguments {
		names = append(names, a.name)
	}
	fmt.Fprintf(b, "    def __init__(%s):\n        super().__init__()\n", strings.Join(names, ", "))
	for _, a := range c.arguments {
		if a.held {
			fmt.Fprintf(b, "        self.%s = %[1]s\n", a.name)
		}
	}
	made := map[string]bool{}
	for i := p.first; i <= p.last; i++ {
		n := &p.g.Nodes[i]
		if n.Name == "" {
			continue
		}
		words := strings.Split(p.local(n), ".")
		for k := 1; k < len(words); k++ {
			if holder := strings.Join(words[:k], "."); !made[holder] {
				made[holder] = true
				kind := "Module"
				if isNumber(words[k]) {
					kind = "ModuleDict"
				}
				fmt.Fprintf(b, "        %s = nn.%s()\n", attribute(words[:k]), kind)
			}
		}
		fmt.Fprintf(b, "        %s = %s\n", attribute(words), c.layer(n, i-p.first))
	}
	b.WriteString("\n    def forward(self, x):\n")
	c.forward(b)
}

func isNumber(word string) bool { return strings.Trim(word, "0123456789") == "" }

// attribute is how Python reaches a module: self.f.se.f_ex["0"].
func attribute(words []string) string {
	text := "self"
	for _, w := range words {
		if isNumber(w) {
			text += fmt.Sprintf("[%q]", w)
		} else {
			text += "." + w
		}
	}
	return text
}

// layer is the module of a node.
func (c *class) layer(n *graph.Node, i int) string {
	say := func(what string) string { return c.say[slot{i, what}] }
	var args []string
	unless := func(common, name, what string) {
		if s := say(what); s != common {
			args = append(args, name+"="+s)
		}
	}
	switch n.Op {
	case graph.OpConv:
		args = []string{say("in"), say("out"), say("kernel")}
		unless("1", "stride", "stride")
		if padding := half(say("kernel")); padding != "0" {
			args = append(args, "padding="+padding)
		}
		unless("1", "groups", "groups")
		if !n.Bias {
			args = append(args, "bias=False")
		}
		return "nn.Conv2d(" + strings.Join(args, ", ") + ")"
	case graph.OpBatchNorm:
		args = []string{say("out")}
		unless("1e-05", "eps", "epsilon")
		return "nn.BatchNorm2d(" + strings.Join(args, ", ") + ")"
	}
	return "nn.Linear(" + say("in") + ", " + say("out") + ")"
}

// half is the padding of a window of an odd size.
func half(size string) string {
	if k, err := strconv.Atoi(size); err == nil {
		return strconv.Itoa(k / 2)
	}
	return size + " // 2"
}

// forward writes the body of the method. Values that are read once are
// computed where they are read, as far as lines stay readable.
func (c *class) forward(b *strings.Builder) {
	p := c.parts[0]
	readers := map[int]int{}
	for i := p.first; i <= p.last; i++ {
		for _, from := range p.g.Nodes[i].In {
			readers[from]++
		}
	}
	var lines []int // the nodes that have a line of their own
	for i := p.first; i <= p.last; i++ {
		n := &p.g.Nodes[i]
		ends := n.Op == graph.OpActivation && n.Act != graph.Sigmoid || n.Op == graph.OpScale || n.Op == graph.OpMaxPool
		if i == p.last || readers[i] > 1 || ends {
			lines = append(lines, i)
		}
	}
	isLine := func(i int) bool { return i < p.first || slices.Contains(lines, i) }
	var reads func(i int) []int // the lines that node i needs
	reads = func(i int) []int {
		var all []int
		for _, from := range p.g.Nodes[i].In {
			if isLine(from) {
				all = append(all, from)
			} else {
				all = append(all, reads(from)...)
			}
		}
		return all
	}
	lastRead := map[int]int{}
	for _, i := range lines {
		for _, from := range reads(i) {
			lastRead[from] = i
		}
	}
	variable := map[int]string{p.first - 1: "x"}
	for _, i := range lines {
		text := c.expression(i, isLine, variable)
		if i == p.last {
			fmt.Fprintf(b, "        return %s\n", text)
			return
		}
		taken := map[string]bool{}
		for from, name := range variable {
			if lastRead[from] > i {
				taken[name] = true
			}
		}
		for _, name := range []string{"y", "z", "u", "v", "w", "t", "s", "r", "q", "p"} {
			if !taken[name] {
				variable[i] = name
				break
			}
		}
		if from := p.g.Nodes[i].In[0]; i != p.last && p.first-1 == from && !taken["x"] {
			variable[i] = "x"
		}
		fmt.Fprintf(b, "        %s = %s\n", variable[i], text)
	}
}

// expression computes a node from the variables of lines.
func (c *class) expression(i int, isLine func(int) bool, variable map[int]string) string {
	p := c.parts[0]
	n := &p.g.Nodes[i]
	in := make([]string, len(n.In))
	for k, from := range n.In {
		if isLine(from) {
			in[k] = variable[from]
		} else {
			in[k] = c.expression(from, isLine, variable)
		}
	}
	say := func(what string) string { return c.say[slot{i - p.first, what}] }
	switch n.Op {
	case graph.OpConv, graph.OpBatchNorm:
		return attribute(strings.Split(p.local(n), ".")) + "(" + in[0] + ")"
	case graph.OpLinear:
		return attribute(strings.Split(p.local(n), ".")) + "(" + in[0] + ".flatten(1))"
	case graph.OpActivation:
		return map[graph.Activation]string{graph.Identity: "", graph.ReLU: "F.relu", graph.SiLU: "F.silu", graph.Sigmoid: "torch.sigmoid"}[n.Act] + "(" + in[0] + ")"
	case graph.OpMaxPool:
		return fmt.Sprintf("F.max_pool2d(%s, %s, stride=%s, padding=%s)", in[0], say("kernel"), say("stride"), half(say("kernel")))
	case graph.OpGlobalPool:
		return in[0] + ".mean((2, 3), keepdim=True)"
	case graph.OpAdd:
		return in[0] + " + " + in[1]
	case graph.OpScale:
		return in[0] + " * " + in[1]
	case graph.OpAvgPool:
		if n.Pad == 0 {
			return fmt.Sprintf("F.avg_pool2d(%s, %s, ceil_mode=True)", in[0], say("kernel"))
		}
		return fmt.Sprintf("F.avg_pool2d(%s, %s, stride=%s, padding=%s)", in[0], say("kernel"), say("stride"), half(say("kernel")))
	case graph.OpFold:
		return fmt.Sprintf("torch.unflatten(%s, 1, (%s, -1)).sum(1)", in[0], say("parts"))
	case graph.OpSoftmax:
		return fmt.Sprintf("torch.unflatten(%s, 1, (%s, %s, -1)).softmax(2).transpose(1, 2).flatten(1, 3)", in[0], say("groups"), say("parts"))
	case graph.OpDropPath:
		return fmt.Sprintf("drop_path(%s, %s, self.training)", in[0], say("rate"))
	}
	return fmt.Sprintf("F.dropout(%s, %s, self.training)", in[0], say("rate"))
}

// network writes the class of the whole.
func network(b *strings.Builder, g *graph.Graph, parts []*part) {
	b.WriteString("\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n")
	whole := "x"
	for len(parts) > 0 {
		stage, _, block := strings.Cut(parts[0].name, ".")
		whole = "self." + stage + "(" + whole + ")"
		if !block {
			fmt.Fprintf(b, "        self.%s = %s\n", stage, parts[0].call())
			parts = parts[1:]
			continue
		}
		var calls []string
		for len(parts) > 0 && strings.HasPrefix(parts[0].name, stage+".") {
			call, times := parts[0].call(), 0
			for len(parts) > 0 && strings.HasPrefix(parts[0].name, stage+".") && parts[0].call() == call {
				times++
				parts = parts[1:]
			}
			if times > 1 {
				call = fmt.Sprintf("*(%s for _ in range(%d))", call, times)
			}
			calls = append(calls, call)
		}
		fmt.Fprintf(b, "        self.%s = stage(\n            %s,\n        )\n", stage, strings.Join(calls, ",\n            "))
	}
	fmt.Fprintf(b, "\n    def forward(self, x):\n        return %s\n", whole)
}

func loading(b *strings.Builder, o Options) {
	fmt.Fprintf(b, `

def load(path=os.path.join(os.path.dirname(os.path.abspath(__file__)), %s)):
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
`, pythonString(o.Weights))
}

func pythonString(s string) string {
	text, _ := json.Marshal(s) // a string has a text
	return string(text)
}
