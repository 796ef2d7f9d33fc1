package graph

// Complexity of a network for one image (DDS §3.1; docs/method.md §3).
type Complexity struct {
	Flops  int64 `json:"flops"`  // multiply-adds of convolutions and linear layers, plus one per output element for a bias
	Params int64 `json:"params"` // weights, biases, and two per BN channel
	Acts   int64 `json:"acts"`   // elements in the outputs of convolutions, linear layers and poolings of windows
}

// Counter is the Sink that adds up a network's complexity. Its zero value is
// ready; it allocates nothing.
type Counter struct{ Complexity }

var _ Sink = (*Counter)(nil)

// Input starts a network.
func (*Counter) Input(c, h, w int) Value { return Value{C: c, H: h, W: w} }

// Conv counts a convolution.
func (k *Counter) Conv(_ Name, x Value, c Conv) Value {
	y := Value{C: c.Out, H: ConvSize(x.H, c.Kernel, c.Stride), W: ConvSize(x.W, c.Kernel, c.Stride)}
	weights := int64(c.Out) * int64(x.C/c.Groups) * int64(c.Kernel*c.Kernel)
	area := int64(y.H) * int64(y.W)
	acts := int64(y.C) * area
	k.Flops += weights * area
	k.Params += weights
	k.Acts += acts
	if c.Bias {
		k.Flops += acts
		k.Params += int64(c.Out)
	}
	return y
}

// BatchNorm counts two parameters per channel.
func (k *Counter) BatchNorm(_ Name, x Value, _ BatchNorm) Value {
	k.Params += 2 * int64(x.C)
	return x
}

// Activation counts nothing.
func (*Counter) Activation(x Value, _ Activation) Value { return x }

// MaxPool counts its activations.
func (k *Counter) MaxPool(x Value, kernel, stride int) Value {
	y := Value{C: x.C, H: ConvSize(x.H, kernel, stride), W: ConvSize(x.W, kernel, stride)}
	k.Acts += int64(y.C) * int64(y.H) * int64(y.W)
	return y
}

// GlobalPool counts nothing.
func (*Counter) GlobalPool(x Value) Value { return Value{C: x.C, H: 1, W: 1} }

// Linear counts a fully connected layer with bias.
func (k *Counter) Linear(n Name, x Value, out int) Value {
	return k.Conv(n, x, Conv{Out: out, Kernel: 1, Stride: 1, Groups: 1, Bias: true})
}

// Add counts nothing.
func (*Counter) Add(a, _ Value) Value { return a }

// Scale counts nothing.
func (*Counter) Scale(x, _ Value) Value { return x }

// AvgPool counts its activations.
func (k *Counter) AvgPool(x Value, _, stride, _ int) Value {
	y := Value{C: x.C, H: AvgSize(x.H, stride), W: AvgSize(x.W, stride)}
	k.Acts += int64(y.C) * int64(y.H) * int64(y.W)
	return y
}

// Fold counts nothing.
func (*Counter) Fold(x Value, parts int) Value { return Value{C: x.C / parts, H: x.H, W: x.W} }

// Softmax counts nothing.
func (*Counter) Softmax(x Value, _, _ int) Value { return x }

// DropPath counts nothing.
func (*Counter) DropPath(x Value, _ float64) Value { return x }

// Dropout counts nothing.
func (*Counter) Dropout(x Value, _ float64) Value { return x }
