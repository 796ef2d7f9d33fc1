package dataset

import (
	"image"
	"math"
)

// box is a rectangle of an image in pixels, from (top, left) to (bottom, right).
type box struct{ top, left, bottom, right float64 }

func whole(p picture) box { return box{0, 0, float64(p.h), float64(p.w)} }

// resizer resizes by the triangle filter, widened where it shrinks so that all pixels
// count (antialias): bilinear interpolation as Pillow does it, in the same fixed-point
// arithmetic, hence with the same bits on every machine. The zero value is ready; it
// keeps its buffers.
type resizer struct {
	x, y taps
	mid  []byte // [C,rows,width] after the horizontal pass
	line []byte // [C,width] of an image
}

// taps says which pixels of a line each pixel of the result is made of.
type taps struct {
	start  []int32
	count  []int32
	weight []int32 // width per pixel, in units of 2^-tapBits
	width  int
}

const tapBits = 22 // Pillow's precision: 8 bits of a pixel and 2 of headroom are left

// prepare fills t for a line of in pixels, of which [from, to) becomes out pixels. The
// conversions to float64 keep compilers from fusing multiplications with additions.
func (t *taps) prepare(in, out int, from, to float64) {
	scale := (to - from) / float64(out)
	filter := max(scale, 1)
	t.width = 2*int(math.Ceil(filter)) + 1
	t.start = grow(t.start, out)
	t.count = grow(t.count, out)
	t.weight = grow(t.weight, out*t.width)
	for i := range out {
		centre := from + float64((float64(i)+0.5)*scale)
		lo := max(int(centre-filter+0.5), 0)
		hi := min(int(centre+filter+0.5), in)
		n := max(hi-lo, 1)
		lo = min(lo, in-1)
		var sum float64
		for k := range n {
			sum += triangle((float64(lo+k) - centre + 0.5) / filter)
		}
		w := t.weight[i*t.width : i*t.width+n]
		for k := range w {
			v := 1.0
			if sum != 0 {
				v = triangle((float64(lo+k)-centre+0.5)/filter) / sum
			}
			w[k] = int32(math.Floor(float64(v*(1<<tapBits)) + 0.5))
		}
		t.start[i], t.count[i] = int32(lo), int32(n)
	}
}

func triangle(x float64) float64 { return max(1-math.Abs(x), 0) }

// resize makes dst of the part b of src. b must lie within src.
func (r *resizer) resize(dst, src picture, channels int, b box) {
	first, rows := r.begin(dst, src.h, src.w, channels, b)
	for c := range channels {
		for y := range rows {
			at := (c*src.h + first + y) * src.w
			r.across(c*rows+y, dst.w, src.pix[at:at+src.w])
		}
	}
	r.down(dst, channels, first, rows)
}

// resizeImage is resize of a decoded image whose pixels are copied line by line.
func (r *resizer) resizeImage(dst picture, src image.Image, channels int, b box) {
	size := src.Bounds().Size()
	first, rows := r.begin(dst, size.Y, size.X, channels, b)
	r.line = grow(r.line, channels*size.X)
	for y := range rows {
		planarLine(r.line, src, first+y, channels)
		for c := range channels {
			r.across(c*rows+y, dst.w, r.line[c*size.X:(c+1)*size.X])
		}
	}
	r.down(dst, channels, first, rows)
}

// begin prepares for making dst of the part b of an image of h×w, and tells which of its lines
// that takes.
func (r *resizer) begin(dst picture, h, w, channels int, b box) (first, rows int) {
	r.x.prepare(w, dst.w, b.left, b.right)
	r.y.prepare(h, dst.h, b.top, b.bottom)
	first = int(r.y.start[0])
	rows = int(r.y.start[dst.h-1]+r.y.count[dst.h-1]) - first
	r.mid = grow(r.mid, channels*rows*dst.w)
	return first, rows
}

// across is the horizontal pass of one line.
func (r *resizer) across(row, width int, line []byte) {
	out := r.mid[row*width : (row+1)*width]
	for x := range out {
		n := int(r.x.count[x])
		w := r.x.weight[x*r.x.width : x*r.x.width+n]
		p := line[r.x.start[x]:][:n]
		acc := int32(1 << (tapBits - 1))
		for k, v := range w {
			acc += v * int32(p[k])
		}
		out[x] = clip8(acc >> tapBits)
	}
}

// down is the vertical pass.
func (r *resizer) down(dst picture, channels, first, rows int) {
	for c := range channels {
		for y := range dst.h {
			n := int(r.y.count[y])
			w := r.y.weight[y*r.y.width : y*r.y.width+n]
			mid := r.mid[(c*rows+int(r.y.start[y])-first)*dst.w:]
			out := dst.pix[(c*dst.h+y)*dst.w : (c*dst.h+y+1)*dst.w]
			for x := range out {
				acc := int32(1 << (tapBits - 1))
				for k, v := range w {
					acc += v * int32(mid[k*dst.w+x])
				}
				out[x] = clip8(acc >> tapBits)
			}
		}
	}
}

func clip8(v int32) byte { return byte(min(max(v, 0), 255)) }

// grow returns s with length n; its contents do not matter.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
