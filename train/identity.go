package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"netspace/dataset"
	"netspace/graph"
)

// NetworkKey identifies a graph: its ops, shapes, rates and parameter names.
func NetworkKey(g *graph.Graph) string {
	h := sha256.New()
	for i := range g.Nodes {
		fmt.Fprintf(h, "%+v\n", g.Nodes[i])
	}
	for _, p := range g.Params {
		fmt.Fprintf(h, "%+v\n", p)
	}
	for _, b := range g.Buffers {
		fmt.Fprintf(h, "%+v\n", b)
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
