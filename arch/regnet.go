package arch

import (
	"math"

	"netspace/internal/portable"
)

// WidthStep is what block widths of a RegNet are multiples of (DDS §3.3).
const WidthStep = 8

// quantize gives for block j of the quantised line s_j of eq. 3 and the level
// ⌊s_j⌉; logWM is log(w_m). The bits are the same on every platform, so that
// a sampled population is.
func (r *RegNet) quantize(j int, logWM float64) (s, level float64) {
	u := r.W0 + float64(r.WA*float64(j))
	s = portable.Log(u/r.W0) / logWM
	return s, math.RoundToEven(s)
}

// width of a quantisation level: w_0·w_m^level rounded to a multiple of 8, at
// least 8 (a w_0 under 4 would round to nothing).
func (r RegNet) width(level float64) int {
	w := r.W0 * portable.Pow(r.WM, level)
	return max(WidthStep, WidthStep*int(math.RoundToEven(w/WidthStep)))
}

// AppendStages appends the adjusted stages that the quantised line gives (DDS
// §3.3, eq. 2–4): a stage is a run of blocks of one width. It allocates
// nothing when dst has room. r must be valid.
func (r RegNet) AppendStages(dst []Stage) []Stage {
	from := len(dst)
	dst = r.appendQuantized(dst)
	has, radix := r.Block.Has(), r.Block.commonOf(r.Common).Radix
	for i := from; i < len(dst); i++ {
		dst[i] = has.adjusted(dst[i], radix)
	}
	return dst
}

// appendQuantized appends the stages before their adjustment to the group width.
func (r RegNet) appendQuantized(dst []Stage) []Stage {
	stride := r.Stride
	if stride == 0 {
		stride = 2
	}
	st := r.Block.Has().only(Stage{Stride: stride, Bottleneck: r.Bottleneck, GroupWidth: r.GroupWidth})
	logWM := portable.Log(r.WM)
	last := math.Inf(-1)
	for j := range r.Depth {
		_, level := r.quantize(j, logWM)
		if level != last {
			last = level
			if w := r.width(level); w != st.Width {
				if st.Depth > 0 {
					dst = append(dst, st)
				}
				st.Width, st.Depth = w, 0
			}
		}
		st.Depth++
	}
	return append(dst, st)
}

// Levels is the number of quantisation levels up to the widest block's,
// whether or not a block is on each of them: a line has as many stages exactly
// if it skips none and no two of them round to one width. r must be valid.
func (r RegNet) Levels() int {
	_, level := r.quantize(r.Depth-1, portable.Log(r.WM))
	return int(level) + 1
}

// SkipsLevel says whether the line jumps over a quantisation level between two
// blocks: DDS samples only networks where it does not.
func (r RegNet) SkipsLevel() bool {
	logWM := portable.Log(r.WM)
	last := 0.0
	for j := range r.Depth {
		_, level := r.quantize(j, logWM)
		if level > last+1 {
			return true
		}
		last = level
	}
	return false
}

// AnyNet expands the RegNet to its adjusted stages. The error is Validate's.
func (r RegNet) AnyNet() (AnyNet, error) {
	if err := r.Validate(); err != nil {
		return AnyNet{}, err
	}
	return r.anyNet(nil), nil
}

// anyNet expands a valid RegNet, appending its stages to dst.
func (r RegNet) anyNet(dst []Stage) AnyNet {
	n := AnyNet{Block: r.Block, Stages: r.AppendStages(dst), Common: r.Common}
	n.Adjust()
	return n
}

// adjusted fills defaults and replaces a group width wider than every stage by
// the widest one in use, which gives the same network.
func (r RegNet) adjusted() RegNet {
	if r.Stride == 0 {
		r.Stride = 2
	}
	r.Block = r.Block.row().same
	r.Common = r.Block.commonOf(r.Common)
	b, g := 0.0, 0
	for _, s := range r.AppendStages(nil) {
		b, g = s.Bottleneck, max(g, s.GroupWidth)
	}
	r.Bottleneck, r.GroupWidth = b, g
	return r
}
