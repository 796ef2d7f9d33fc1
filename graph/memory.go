package graph

const float32Bytes = 4

// PeakMemory is how many bytes the activations of an inference of one image take at least, as float32 values: ops run one after the other in the order of
// the nodes, a value is kept until its last reader is done, and element-wise ops write over what nobody reads after them. What an engine
// takes beyond, for layouts and scratch, is its own.
func (g *Graph) PeakMemory() int64 {
	last := make([]int, len(g.Nodes)) // reader of a node
	for i, n := range g.Nodes {
		last[i] = i
		for _, in := range n.In {
			last[in] = i
		}
	}
	last[len(g.Nodes)-1] = len(g.Nodes)
	bytes := func(i int) int64 {
		n := g.Nodes[i]
		return float32Bytes * int64(n.C) * int64(n.H) * int64(n.W)
	}
	var live, peak int64
	for i, n := range g.Nodes {
		live += bytes(i)
		over := int64(0)
		switch n.Op {
		case OpBatchNorm, OpActivation, OpScale, OpDropPath, OpDropout, OpAdd:
			for _, in := range n.In {
				if last[in] == i && bytes(in) == bytes(i) {
					over = bytes(i)
				}
			}
		}
		peak = max(peak, live-over)
		for k, in := range n.In {
			if last[in] == i && (k == 0 || n.In[0] != in) {
				live -= bytes(in)
			}
		}
	}
	return peak
}

// WeightBytes is how many bytes the tensors of the network take as float32 values: parameters, and the statistics of batch normalisations.
func (g *Graph) WeightBytes() int64 {
	n := int64(0)
	for _, p := range g.Params {
		n += int64(p.Size())
	}
	for _, b := range g.Buffers {
		n += int64(b.Size())
	}
	return float32Bytes * n
}
