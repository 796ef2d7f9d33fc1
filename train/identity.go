package train

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"netspace/dataset"
	"netspace/graph"
)

// NetworkKey identifies a graph: its ops, shapes, attributes and parameter
// names. The batch-norm epsilon bnEpsilon (0: the default), which a recipe
// states, is left out of it: a key and a recipe together identify what is trained.
//
// Checkpoints state these keys, so the encoding that is hashed is fixed: this
// is its version 1, which has no header. An attribute that is added to graph.Node
// is written behind Buffers and only where it is not at its default, so that
// the networks that there were keep their keys; anything else needs a version 2
// that begins by saying so, and keeps this one to read.
func NetworkKey(g *graph.Graph, bnEpsilon float64) string {
	bnEpsilon = cmp.Or(bnEpsilon, graph.BNEpsilon)
	h := sha256.New()
	for i := range g.Nodes {
		n := &g.Nodes[i]
		fmt.Fprintf(h, "{Op:%v Name:%s In:%v C:%d H:%d W:%d Kernel:%d Stride:%d Groups:%d Bias:%t Act:%v Rate:%v Params:%v Buffers:%v",
			n.Op, n.Name, n.In, n.C, n.H, n.W, n.Kernel, n.Stride, n.Groups, n.Bias, n.Act, n.Rate, n.Params, n.Buffers)
		if n.Op == graph.OpBatchNorm && n.Epsilon != bnEpsilon {
			fmt.Fprintf(h, " Epsilon:%v", n.Epsilon)
		}
		if n.Pad != 0 {
			fmt.Fprintf(h, " Pad:%d", n.Pad)
		}
		if n.Parts != 0 {
			fmt.Fprintf(h, " Parts:%d", n.Parts)
		}
		fmt.Fprintln(h, "}")
	}
	for _, p := range g.Params {
		fmt.Fprintf(h, "{Name:%s Shape:%v Role:%d Node:%d Last:%t}\n", p.Name, p.Shape, p.Role, p.Node, p.EndsBranch)
	}
	for _, b := range g.Buffers {
		fmt.Fprintf(h, "{Name:%s Shape:%v Node:%d}\n", b.Name, b.Shape, b.Node)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// sampledImages is how many images of a split DataKey looks at: enough to tell data
// sets apart, few enough to cost nothing with photographs that are decoded on use.
const sampledImages = 8

// DataKey identifies data by its content, wherever it lies: shapes,
// normalisation, the labels of the training and validation images, and a few of the images.
func DataKey(d *dataset.Data) (string, error) {
	h := sha256.New()
	word := func(x int) { h.Write(binary.LittleEndian.AppendUint64(nil, uint64(x))) }
	info := d.Info
	for _, x := range []int{info.Channels, info.Height, info.Width, info.Classes} {
		word(x)
	}
	for _, x := range append(append([]float32(nil), info.Mean...), info.Std...) {
		word(int(math.Float32bits(x)))
	}
	image := make([]byte, info.Channels*info.Height*info.Width)
	for _, s := range []dataset.Split{d.Train, d.Val} {
		if s == nil {
			word(0)
			continue
		}
		n := s.Len()
		word(n)
		for i := range n {
			word(s.Label(i))
		}
		for k := range min(sampledImages, n) {
			if err := s.Image(k*(n-1)/max(sampledImages-1, 1), image); err != nil {
				return "", fmt.Errorf("identify the data: %w", err)
			}
			h.Write(image)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
