package graph

// Network is a recorded network as a document, for programs that compute it elsewhere.
type Network struct {
	Layers  []Layer  `json:"layers"`  // in an order in which they can be computed; the last one gives the logits
	Tensors []Tensor `json:"tensors"` // parameters, then running statistics, with the names of netspace's weight files
}

// Layer is an op. Convolutions and max-pools pad by (kernel - 1) / 2 on each side.
type Layer struct {
	Op         string   `json:"op"`
	Name       string   `json:"name,omitempty"`
	In         []int    `json:"in"`  // layers that it reads
	Out        [3]int   `json:"out"` // channels, height, width
	Kernel     int      `json:"kernel,omitempty"`
	Stride     int      `json:"stride,omitempty"`
	Groups     int      `json:"groups,omitempty"`
	Pad        int      `json:"pad,omitempty"`   // of an average pooling
	Parts      int      `json:"parts,omitempty"` // of a fold or softmax
	Bias       bool     `json:"bias,omitempty"`
	Activation string   `json:"activation,omitempty"`
	Rate       float64  `json:"rate,omitempty"`
	Epsilon    float64  `json:"epsilon,omitempty"`
	Tensors    []string `json:"tensors,omitempty"` // weight, bias; or gamma, beta, running mean, running variance
}

// Tensor is a parameter, or a statistic.
type Tensor struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
	// Role is conv_weight, linear_weight, bias, gamma, beta or statistic: it decides initialisation and weight decay.
	Role       string `json:"role"`
	EndsBranch bool   `json:"ends_branch,omitempty"` // gamma of the last BN of a residual branch
}

// Network lists the layers and the tensors.
func (g *Graph) Network() Network {
	roles := [...]string{ConvWeight: "conv_weight", LinearWeight: "linear_weight", Bias: "bias", Gamma: "gamma", Beta: "beta"}
	var n Network
	for i := range g.Nodes {
		v := &g.Nodes[i]
		l := Layer{Op: v.Op.String(), Name: v.Name, In: v.In, Out: [3]int{v.C, v.H, v.W}, Kernel: v.Kernel, Stride: v.Stride,
			Groups: v.Groups, Pad: v.Pad, Parts: v.Parts, Bias: v.Bias, Rate: v.Rate, Epsilon: v.Epsilon}
		if v.In == nil {
			l.In = []int{}
		}
		if v.Op == OpActivation {
			l.Activation = v.Act.String()
		}
		for _, p := range v.Params {
			l.Tensors = append(l.Tensors, g.Params[p].Name)
		}
		for _, b := range v.Buffers {
			l.Tensors = append(l.Tensors, g.Buffers[b].Name)
		}
		n.Layers = append(n.Layers, l)
	}
	for _, p := range g.Params {
		n.Tensors = append(n.Tensors, Tensor{p.Name, p.Shape, roles[p.Role], p.EndsBranch})
	}
	for _, b := range g.Buffers {
		n.Tensors = append(n.Tensors, Tensor{Name: b.Name, Shape: b.Shape, Role: "statistic"})
	}
	return n
}
