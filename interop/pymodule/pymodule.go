// Package pymodule writes networks as PyTorch modules: Python files to read and to
// change, which need PyTorch alone and load weights from safetensors files.
//
// A file is written from the recorded graph. Its modules are the stem, a class for
// each structure of blocks, and the head; numbers that differ between blocks of one
// structure are the arguments of its class. Tensor names are the network's.
package pymodule

import (
	"fmt"
	"slices"
	"strings"

	"netspace/graph"
)

// Options say what a file states beside the network.
type Options struct {
	Name      string    // of the network
	Weights   string    // file of the weights, beside the module
	Mean, Std []float32 // of the images, per channel: the network takes (x-Mean)/Std, x in [0,1]; nil: not known
	Classes   []string  // names of the classes; nil: not known
}

// Write gives the text of a module that computes g. It is an error where g is no chain
// of a stem, blocks and a head, each of which reads the output of the one before; networks
// of package arch are.
func Write(g *graph.Graph, o Options) ([]byte, error) {
	parts, err := split(g)
	if err != nil {
		return nil, fmt.Errorf("PyTorch module: %w", err)
	}
	classes := classesOf(g, parts)
	var b strings.Builder
	header(&b, g, o)
	helpers(&b, g)
	for _, c := range classes {
		c.write(&b)
	}
	network(&b, g, parts)
	loading(&b, o)
	return []byte(b.String()), nil
}

// part is the stem, a block, what a body ends with, or the head: the nodes from
// first to last of the graph, which read the output of the node before and their own.
type part struct {
	g           *graph.Graph
	name        string // "stem", "s1.b2"
	first, last int
	class       *class
}

// split cuts a network into its parts.
func split(g *graph.Graph) ([]*part, error) {
	var parts []*part
	for i := 1; i < len(g.Nodes); i++ {
		name := partOf(g, i)
		if name == "" && len(parts) > 0 {
			name = parts[len(parts)-1].name
		}
		if len(parts) == 0 || parts[len(parts)-1].name != name {
			parts = append(parts, &part{g: g, name: name, first: i})
		}
		p := parts[len(parts)-1]
		p.last = i
		for _, from := range g.Nodes[i].In {
			if from < p.first-1 {
				return nil, fmt.Errorf("%s reads what is not the output of the part before it", name)
			}
		}
	}
	return parts, nil
}

// partOf is the name of the part that a node begins or is in, "" if that is the part of the node before:
// ops without a name of their own belong to what stands before them, but poolings
// that average to what follows.
func partOf(g *graph.Graph, i int) string {
	n := &g.Nodes[i]
	for (n.Op == graph.OpGlobalPool || n.Op == graph.OpAvgPool || n.Op == graph.OpDropout) && i+1 < len(g.Nodes) {
		i++
		n = &g.Nodes[i]
	}
	words := strings.Split(n.Name, ".")
	if len(words) > 2 && isStage(words[0]) {
		return words[0] + "." + words[1]
	}
	return words[0]
}

func isStage(word string) bool {
	return len(word) > 1 && word[0] == 's' && strings.Trim(word[1:], "0123456789") == ""
}

// local is the name of a layer within its part.
func (p *part) local(n *graph.Node) string { return strings.TrimPrefix(n.Name, p.name+".") }

// structure is what parts of one class have in common: ops and how they are wired, without numbers.
func (p *part) structure() string {
	var b strings.Builder
	for i := p.first; i <= p.last; i++ {
		n := &p.g.Nodes[i]
		fmt.Fprintf(&b, "%v %s %v %t %t:", n.Op, p.local(n), n.Act, n.Bias, n.Pad > 0)
		for _, from := range n.In {
			fmt.Fprintf(&b, " %d", from-p.first)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// slot is a number of a layer.
type slot struct {
	node int    // of the part, from 0
	what string // "in", "out", "kernel", "stride", "groups", "parts", "epsilon", "rate"
}

// number is the value of a slot in a part, as Python writes it.
func (p *part) number(s slot) string {
	n := &p.g.Nodes[p.first+s.node]
	switch s.what {
	case "in":
		return fmt.Sprint(p.g.Nodes[n.In[0]].C)
	case "out":
		return fmt.Sprint(n.C)
	case "kernel":
		return fmt.Sprint(n.Kernel)
	case "stride":
		return fmt.Sprint(n.Stride)
	case "groups":
		return fmt.Sprint(n.Groups)
	case "parts":
		return fmt.Sprint(n.Parts)
	case "epsilon":
		return fmt.Sprint(n.Epsilon)
	}
	return fmt.Sprint(n.Rate)
}

var slotsOf = map[graph.Op][]string{
	graph.OpConv: {"in", "out", "kernel", "stride", "groups"}, graph.OpLinear: {"in", "out"}, graph.OpBatchNorm: {"out", "epsilon"},
	graph.OpMaxPool: {"kernel", "stride"}, graph.OpAvgPool: {"kernel", "stride"}, graph.OpFold: {"parts"}, graph.OpSoftmax: {"parts", "groups"},
	graph.OpDropPath: {"rate"}, graph.OpDropout: {"rate"},
}

// class is a Python class: all parts of one structure.
type class struct {
	name      string
	parts     []*part
	arguments []argument
	say       map[slot]string // how the class writes a number: as itself, or as an argument
}

// argument is a number that differs between the parts of a class.
type argument struct {
	name, kind string
	values     []string // per part
	held       bool     // forward needs it too
}

// classesOf gives every part its class.
func classesOf(g *graph.Graph, parts []*part) []*class {
	var classes []*class
	known := map[string]*class{}
	blocks := 0
	for _, p := range parts {
		key := p.structure()
		c := known[key]
		if c == nil {
			c = &class{say: map[slot]string{}}
			if stage, _, body := strings.Cut(p.name, "."); body && isStage(stage) {
				blocks++
				c.name = fmt.Sprintf("Block%d", blocks)
			} else {
				c.name = strings.ToUpper(p.name[:1]) + p.name[1:]
			}
			known[key] = c
			classes = append(classes, c)
		}
		c.parts = append(c.parts, p)
		p.class = c
	}
	for _, c := range classes {
		c.number()
	}
	return classes
}

// number decides which numbers of a class are arguments. Numbers of one kind that are equal in all its parts are one argument.
func (c *class) number() {
	p := c.parts[0]
	use := func(s slot, name, kind string) {
		var values []string
		for _, p := range c.parts {
			values = append(values, p.number(s))
		}
		if len(slices.Compact(slices.Clone(values))) == 1 {
			c.say[s] = values[0]
			return
		}
		k := slices.IndexFunc(c.arguments, func(a argument) bool { return a.kind == kind && slices.Equal(a.values, values) })
		if k < 0 {
			k = len(c.arguments)
			c.arguments = append(c.arguments, argument{name: name, kind: kind, values: values})
		}
		c.say[s] = c.arguments[k].name
		if p.g.Nodes[p.first+s.node].Name == "" { // an op without a module
			c.arguments[k].held = true
			c.say[s] = "self." + c.say[s]
		}
	}
	for i := range p.last - p.first + 1 {
		for _, what := range slotsOf[p.g.Nodes[p.first+i].Op] {
			name := p.argument(slot{i, what})
			for slices.ContainsFunc(c.arguments, func(a argument) bool { return a.name == name }) {
				name += "_"
			}
			use(slot{i, what}, name, c.kind(slot{i, what}))
		}
	}
}

// kind is what a number counts: channels, also as the groups of depthwise convolutions; else what it is of a layer.
func (c *class) kind(s slot) string {
	depthwise := func(p *part) bool { n := &p.g.Nodes[p.first+s.node]; return n.Groups == n.C }
	if s.what == "in" || s.what == "out" || s.what == "groups" && !slices.ContainsFunc(c.parts, func(p *part) bool { return !depthwise(p) }) {
		return "channels"
	}
	return s.what
}

// argument is a name for a number: width_in and width are the channels that a part
// reads and gives, a_width and groups those of a convolution f.a and its groups.
func (p *part) argument(s slot) string {
	n := &p.g.Nodes[p.first+s.node]
	layer, _, _ := strings.Cut(strings.TrimPrefix(p.local(n), "f."), ".")
	switch s.what {
	case "in", "out":
		c := n.C
		if s.what == "in" {
			c = p.g.Nodes[n.In[0]].C
		}
		switch {
		case c == p.g.Nodes[p.last].C:
			return "width"
		case s.what == "in" && n.In[0] == p.first-1:
			return "width_in"
		}
		return layer + "_width"
	}
	return s.what
}

// call is how a part is made.
func (p *part) call() string {
	k := slices.Index(p.class.parts, p)
	var values []string
	for _, a := range p.class.arguments {
		values = append(values, a.name+"="+a.values[k])
	}
	return p.class.name + "(" + strings.Join(values, ", ") + ")"
}
