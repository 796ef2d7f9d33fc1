//go:build cgo

package onednn

import (
	"fmt"
	"strings"
	"testing"

	"netspace/graph"
)

// planes.h: images of every number of channels that stay planes, rows of every length up to two of the largest tiles and beyond,
// kernels with taps left over, strides with tiles of their own and without, an odd number of blocks, pieces of some rows and of one.
func TestPlanes(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		tiles := map[string]bool{}
		for i, w := range mapWidths {
			for j, kernel := range []int{1, 3, 5, 7, 9} {
				for stride := 1; stride <= 3; stride++ {
					n := i + j + stride
					c := convolution{
						in: 1 + n%plainChannels, out: block*(1+(i+2*j+stride)%5) - n%3, h: 1 + (3*i+j)%11, w: w * stride,
						kernel: kernel, stride: stride, groups: 1, chunk: 1 + n%2, planes: true,
					}
					if c.w -= (n / 2) % stride; c.h*c.w == 1 {
						c.h = 2
					}
					c.batch = c.chunk * (1 + n/2%2)
					for vectors := range 3 {
						e.tile = [2]int{vectors, 1}
						for which, k := range c.compare(t, e, block) {
							if which != 1 && !strings.HasPrefix(k, "tile ") {
								t.Errorf("%+v runs on %q", c, k)
							}
							tiles[fmt.Sprint(which, " ", k)] = true
						}
					}
				}
			}
		}
		e.tile = [2]int{}
		for _, c := range []convolution{
			{in: 3, out: 3 * block, h: 100, w: 97, kernel: 3, stride: 1}, // a row to a piece, and pieces that no whole number of rows fills
			{in: 1, out: 2 * block, h: 28, w: 28, kernel: 3, stride: 1},
			{in: 3, out: block, h: 3, w: 250, kernel: 7, stride: 1},
			{in: 2, out: 5 * block, h: 45, w: 41, kernel: 11, stride: 4},
			{in: 1, out: block, h: 2, w: 2, kernel: 31, stride: 1},
		} {
			c.groups, c.batch, c.chunk, c.planes = 1, 2, 1, true
			c.compare(t, e, block)
		}
		want := 3
		if e.wide {
			want = 6
		}
		if len(tiles) < want {
			t.Errorf("only %d tiles: %v", len(tiles), tiles)
		}
	})
}

// What tiles of first convolutions do to their sums when nobody wants gradients.
func TestPlanesEpilogues(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		for i, w := range []int{1, 7, 14, 29} {
			for stride := 1; stride <= 3; stride++ {
				for act := range graph.Sigmoid + 1 {
					for bits := range 4 {
						e.tile = [2]int{1 + (i+bits)%2, 1}
						c := convolution{
							in: 1 + i%3, out: block*(1+(i+bits+stride)%4) - (i+bits)%2, h: 2 + i%2, w: w * stride,
							kernel: 3 + 2*(i%2), stride: stride, groups: 1, batch: 6, chunk: 3, planes: true,
						}
						if act == graph.Sigmoid {
							c.out = block * (1 + (i+bits+stride)%4) // it lifts padding from zero
						}
						c.fused(t, e, block, act, bits&1 != 0, bits&2 != 0)
					}
				}
			}
		}
	})
}

// Weights of first convolutions come back as they went in, and what pads them is zero: compare counts gradients of the padding,
// and outputs would show the rest.
func TestPackedPlanes(t *testing.T) {
	vectors(t, func(t *testing.T, e *Engine, block int) {
		for blocks := 1; blocks <= 4; blocks++ {
			for in := 1; in <= plainChannels; in++ {
				c := convolution{in: in, out: block*blocks - in%2, h: 3, w: 3, kernel: 1 + 2*(blocks%3), stride: 1, groups: 1, batch: 1, chunk: 1, planes: true}
				h := c.schedule(t, e, block)
				h.end()
				if err := h.emit(h.scheduler); err != nil {
					t.Fatal(err)
				}
				h.packed(t, h.g.Params[0], fmt.Sprintf("%+v", c))
				h.Close()
			}
		}
	})
}
