//go:build cgo

package onednn

// #include "ns.h"
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"unsafe"

	"netspace/engine"
)

var _ engine.Profiler = (*program)(nil)

// kindNames are what a profile calls the ops.
var kindNames = map[C.int32_t]string{
	C.NS_CONV_F: "convolution forward", C.NS_CONV_E: "convolution forward", C.NS_GEMM_F: "convolution forward",
	C.NS_CONV_D: "convolution backward data", C.NS_GEMM_D: "convolution backward data", C.NS_REORDER_D: "convolution backward data",
	C.NS_CONV_W: "convolution backward weights", C.NS_GEMM_W: "convolution backward weights", C.NS_FIN_DW: "convolution backward weights",
	C.NS_APPLY_U: "norm and activation forward", C.NS_APPLY_A: "addition forward",
	C.NS_STATS: "norm statistics", C.NS_FIN_STATS: "norm statistics",
	C.NS_PASS_U: "activation backward", C.NS_PASS_A: "addition backward", C.NS_PASS_B: "norm backward", C.NS_FIN_GRAD: "norm backward",
	C.NS_POOL: "pooling", C.NS_MAX_F: "pooling", C.NS_MAX_B: "pooling",
	C.NS_AVG_F: "pooling", C.NS_AVG_B: "pooling", C.NS_FOLD: "split attention", C.NS_UNFOLD: "split attention", C.NS_SOFTMAX_F: "split attention", C.NS_SOFTMAX_B: "split attention",
	C.NS_NARROW: "rounding of activations", C.NS_WIDEN: "rounding of activations",
	C.NS_DGATE: "gate backward", C.NS_MUL: "dropout", C.NS_LOSS: "loss",
}

// Profile begins or ends timing every op; see engine.Profiler.
func (p *program) Profile(on bool) {
	C.free(unsafe.Pointer(p.c.spent))
	p.c.spent = nil
	if on {
		p.c.spent, _ = structures[C.double](len(p.ops)) // without memory nothing is measured
	}
}

// Costs gives what each op has taken since Profile; see engine.Profiler.
func (p *program) Costs() []engine.Cost {
	if p.c.spent == nil {
		return nil
	}
	var costs []engine.Cost
	count := int(unsafe.Slice(p.c.loops, p.c.nloops)[p.c.steps-1].end) // of a step
	for i, s := range unsafe.Slice(p.c.spent, count) {
		o := &p.ops[i]
		c := engine.Cost{Kind: kindNames[o.kind], Seconds: float64(s)}
		if p.opNode[i] >= 0 {
			c.Layer = p.g.Nodes[p.opNode[i]].Name
		}
		if k := p.opConv[i]; k != nil {
			n := &p.g.Nodes[k.node]
			in := &p.g.Nodes[n.In[0]]
			c.Layer = n.Name
			c.Shape = fmt.Sprintf("%dx%dx%d -> %dx%dx%d, kernel %d, %d groups", in.C, in.H, in.W, n.C, n.H, n.W, max(1, n.Kernel), max(1, n.Groups))
			which := -1
			switch o.kind {
			case C.NS_CONV_F, C.NS_CONV_E, C.NS_GEMM_F:
				which = 0
			case C.NS_CONV_D, C.NS_GEMM_D:
				which = 1
			case C.NS_CONV_W, C.NS_GEMM_W:
				which = 2
			}
			if which >= 0 {
				c.Flops = 2 * float64(p.opt.Batch) * float64(n.C*n.H*n.W) * float64(in.C/max(1, n.Groups)) * float64(max(1, n.Kernel)*max(1, n.Kernel))
				c.Kernel = "sgemm"
				if k.weight.prims != nil {
					c.Kernel = C.GoString(k.weight.prims.info.impl[which])
				}
			}
		}
		costs = append(costs, c)
	}
	return costs
}
