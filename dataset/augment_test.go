package dataset

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// identity normalises to the bytes themselves.
func identity(channels, h, w int) (*Info, *[3][256]float32) {
	info := &Info{Channels: channels, Height: h, Width: w, Mean: make([]float32, channels), Std: make([]float32, channels)}
	var table [3][256]float32
	for c := range channels {
		info.Std[c] = 1
		for v := range table[c] {
			table[c][v] = float32(v) / 255
		}
	}
	return info, &table
}

// The rectangles of ResizedCrop: area uniform in 8–100 %, aspect log-uniform in 3/4–4/3,
// anywhere in the image.
func TestResizedCropBoxes(t *testing.T) {
	const n = 20000
	p := picture{h: 300, w: 400}
	rng := newRand(1)
	a := Augment{ResizedCrop: true}
	var area, logAspect, cx, cy float64
	kept := 0
	minArea, minAspect, maxAspect := 1.0, 2.0, 0.0
	for range n {
		b := a.drawBox(p, rng)
		h, w := b.bottom-b.top, b.right-b.left
		if b.top < 0 || b.left < 0 || b.bottom > 300 || b.right > 400 || h < 1 || w < 1 {
			t.Fatalf("box %+v", b)
		}
		share := h * w / 120000
		minArea = min(minArea, share)
		minAspect, maxAspect = min(minAspect, w/h), max(maxAspect, w/h)
		if share < 0.5 { // small ones always fit, so they follow the stated distribution
			kept++
			area += share
			logAspect += math.Log(w / h)
		}
		cx += (b.left + b.right) / 2 / n
		cy += (b.top + b.bottom) / 2 / n
	}
	area, logAspect = area/float64(kept), logAspect/float64(kept)
	if math.Abs(area-0.29) > 0.005 || math.Abs(logAspect) > 0.01 {
		t.Errorf("mean area %v, mean log aspect %v", area, logAspect)
	}
	if minArea < 0.079 || minArea > 0.085 || minAspect < 0.74 || minAspect > 0.76 || maxAspect > 1.35 || maxAspect < 1.32 {
		t.Errorf("area from %v, aspect from %v to %v", minArea, minAspect, maxAspect)
	}
	if math.Abs(cx-200) > 2 || math.Abs(cy-150) > 2 {
		t.Errorf("mean centre %v, %v", cx, cy)
	}
	a.MinArea = 0.9
	for range 100 {
		if b := a.drawBox(p, rng); (b.bottom-b.top)*(b.right-b.left) < 0.89*120000 {
			t.Errorf("box %+v is under 90 %%", b)
		}
	}
	// Nothing of an allowed aspect has 90 % of this strip.
	if b := a.drawBox(picture{h: 30, w: 300}, rng); b != (box{0, 130, 30, 170}) {
		t.Errorf("box %+v of a strip", b)
	}
}

// ResizedCrop hands out the resized rectangle that was drawn.
func TestResizedCropPixels(t *testing.T) {
	p := picture{noise(3*20*30, 1), 20, 30}
	info, table := identity(3, 8, 8)
	a := Augment{ResizedCrop: true, Flip: true}
	mirrored := 0
	for seed := range uint64(40) {
		var tools augmenter
		got := make([]float32, 3*64)
		tools.apply(got, p, &a, info, table, newRand(seed))
		rng := newRand(seed)
		b := a.drawBox(p, rng)
		want := picture{make([]byte, 3*64), 8, 8}
		new(resizer).resize(want, p, 3, b)
		if a.drawFlip(rng) {
			mirrored++
			mirror(want.pix, 8)
		}
		for i, v := range want.pix {
			if got[i] != float32(v)/255 {
				t.Fatalf("seed %d: number %d is %v, not %v", seed, i, got[i], v)
			}
		}
	}
	if mirrored < 8 || mirrored > 32 {
		t.Errorf("%d of 40 are mirrored", mirrored)
	}
}

// What goes through the general path without pixel operations equals the fast path.
func TestPathsAgree(t *testing.T) {
	p := picture{noise(3*12*14, 1), 12, 14}
	info, table := identity(3, 9, 9)
	a := Augment{PadCrop: 4, Flip: true}
	for seed := range uint64(50) {
		var tools augmenter
		slow, fast := make([]float32, 3*81), make([]float32, 3*81)
		tools.apply(slow, p, &a, info, table, newRand(seed))
		top, left, flip := a.draw(p, info, newRand(seed))
		normaliseCrop(fast, p, table, info, top, left, flip)
		for i := range slow {
			if slow[i] != fast[i] {
				t.Fatalf("seed %d: number %d is %v and %v", seed, i, slow[i], fast[i])
			}
		}
	}
}

// Lighting adds one number per channel, with the covariance V·diag(λ²)·Vᵀ·std².
func TestLighting(t *testing.T) {
	p := picture{noise(3*4, 1), 2, 2}
	info, table := identity(3, 2, 2)
	info.Std = []float32{0.5, 0.25, 1}
	for c := range table {
		for v := range table[c] {
			table[c][v] /= info.Std[c]
		}
	}
	a := Augment{Lighting: 0.1}
	var tools augmenter
	rng := newRand(7)
	const n = 20000
	var cov [3][3]float64
	got := make([]float32, 12)
	for range n {
		tools.apply(got, p, &a, info, table, rng)
		var shift [3]float64
		for c := range 3 {
			shift[c] = float64((got[4*c] - table[c][p.pix[4*c]]) * info.Std[c])
			for k := 1; k < 4; k++ {
				if d := float64((got[4*c+k] - table[c][p.pix[4*c+k]]) * info.Std[c]); math.Abs(d-shift[c]) > 1e-6 {
					t.Fatalf("pixels of channel %d are shifted by %v and %v", c, shift[c], d)
				}
			}
		}
		for i := range 3 {
			for j := range 3 {
				cov[i][j] += shift[i] * shift[j] / n
			}
		}
	}
	// 0.01 · Σ_k λ_k² v_ik v_jk, from the published eigenvalues 0.2175, 0.0188, 0.0045.
	for _, c := range []struct {
		i, j int
		want float64
	}{{0, 0, 1.5420e-4}, {1, 1, 1.5971e-4}, {2, 2, 1.6286e-4}, {0, 1, 1.5584e-4}, {1, 2, 1.6028e-4}} {
		if math.Abs(cov[c.i][c.j]/c.want-1) > 0.05 {
			t.Errorf("covariance of %d and %d is %v, not %v", c.i, c.j, cov[c.i][c.j], c.want)
		}
	}
}

// Colour jitter stays within its strength, moves both ways, and leaves a grey image's
// saturation alone.
func TestColorJitter(t *testing.T) {
	info, table := identity(3, 1, 2)
	a := Augment{ColorJitter: 0.4}
	var tools augmenter
	rng := newRand(3)
	p := picture{[]byte{100, 100, 100, 100, 100, 100}, 1, 2} // contrast and saturation do nothing
	got := make([]float32, 6)
	var lo, hi, sum float64 = 1, 0, 0
	for range 4000 {
		tools.apply(got, p, &a, info, table, rng)
		v := float64(got[0]) * 255 / 100
		lo, hi, sum = min(lo, v), max(hi, v), sum+v/4000
	}
	if lo < 0.59 || lo > 0.62 || hi > 1.41 || hi < 1.38 || math.Abs(sum-0.995) > 0.015 {
		t.Errorf("brightness from %v to %v, mean %v", lo, hi, sum)
	}
	p = picture{[]byte{90, 110, 90, 110, 90, 110}, 1, 2}
	lo, hi = 100, 0
	for range 4000 {
		tools.apply(got, p, &a, info, table, rng)
		ratio := float64(got[1]-got[0]) / float64(got[1]+got[0]) * 10 // 1 as it is; brightness cancels, but for rounding
		lo, hi = min(lo, ratio), max(hi, ratio)
	}
	if lo < 0.5 || lo > 0.65 || hi > 1.6 || hi < 1.35 {
		t.Errorf("contrast from %v to %v", lo, hi)
	}
	p = picture{[]byte{110, 110, 100, 100, 90, 90}, 1, 2}
	lo, hi = 100, 0
	for range 4000 {
		tools.apply(got, p, &a, info, table, rng)
		ratio := float64(got[0]-got[4]) / float64(got[0]+got[2]+got[4]) * 15
		lo, hi = min(lo, ratio), max(hi, ratio)
	}
	if lo > 0.5 || hi < 1.6 { // saturation and contrast multiply: 0.36 to 1.96
		t.Errorf("saturation from %v to %v", lo, hi)
	}
}

// Each operation of RandAugment at its strongest is the stated one; at strength 0 all
// but autocontrast and equalize leave the image as it is.
func TestRandAugmentOperations(t *testing.T) {
	for op := range operations {
		tools := augmenter{image: testPicture(3), spare: make([]byte, 3*99)}
		tools.operate(op, 3, 0, 1)
		same := bytes.Equal(tools.image.pix, testPicture(3).pix)
		if want := op != opAutoContrast && op != opEqualize; same != want && op != opEqualize {
			t.Errorf("operation %d at strength 0 leaves the image: %v", op, same)
		}
	}
	affinely := func(m ...float64) func(picture) {
		return func(p picture) { affine(p, 3, [6]float64(m), make([]byte, 3*99)) }
	}
	for _, c := range []struct {
		op   operation
		sign float64
		want func(p picture)
	}{
		{opIdentity, 1, func(picture) {}},
		{opShearX, 1, affinely(1, 0.3, 0, 0, 1, 0)},
		{opShearX, -1, affinely(1, -0.3, 0, 0, 1, 0)},
		{opShearY, 1, affinely(1, 0, 0, 0.3, 1, 0)},
		{opTranslateX, 1, affinely(1, 0, -4, 0, 1, 0)}, // 150/331 of 11 pixels
		{opTranslateX, -1, affinely(1, 0, 4, 0, 1, 0)},
		{opTranslateY, 1, affinely(1, 0, 0, 0, 1, -4)}, // of 9 pixels
		{opRotate, 1, affinely(0.8660254037844387, -0.5, 2.986860279185588, 0.5, 0.8660254037844387, -2.1471143170299733)},
		{opBrightness, 1, func(p picture) { brightness(p.pix, 1.9) }},
		{opBrightness, -1, func(p picture) { brightness(p.pix, 0.1) }},
		{opColor, 1, func(p picture) { saturation(p.pix, 3, 1.9) }},
		{opContrast, -1, func(p picture) { contrast(p.pix, 3, 0.1) }},
		{opSharpness, 1, func(p picture) { sharpness(p, 3, 1.9, make([]byte, 99)) }},
		{opPosterize, 1, func(p picture) { posterize(p.pix, 4) }},
		{opSolarize, 1, func(p picture) {
			for i := range p.pix {
				p.pix[i] = 255 - p.pix[i]
			}
		}},
	} {
		tools := augmenter{image: testPicture(3), spare: make([]byte, 3*99)}
		tools.operate(c.op, 3, 1, c.sign)
		want := testPicture(3)
		c.want(want)
		differ := 0
		for i, v := range want.pix {
			if d := int(v) - int(tools.image.pix[i]); d < -1 || d > 1 { // 1+0.9 is not quite 1.9
				differ++
			}
		}
		if differ > 0 {
			t.Errorf("operation %d, sign %v: %d bytes are others", c.op, c.sign, differ)
		}
		if c.op != opIdentity && bytes.Equal(tools.image.pix, testPicture(3).pix) {
			t.Errorf("operation %d does nothing", c.op)
		}
	}
}

// N operations are applied, each kind equally often, in both directions, at the stated
// strength.
func TestRandAugmentDraws(t *testing.T) {
	rng := newRand(9)
	inverted := 0
	const n = 6000
	for range n {
		tools := augmenter{image: picture{[]byte{10, 10, 10, 200}, 2, 2}, spare: make([]byte, 4)}
		tools.randomOperation(1, 1, rng)
		if bytes.Equal(tools.image.pix, []byte{245, 245, 245, 55}) {
			inverted++
		}
	}
	if want := n / int(operations); inverted < want*8/10 || inverted > want*12/10 {
		t.Errorf("solarize was drawn %d times of %d, %d are expected", inverted, n, want)
	}
	// Posterize at magnitude 5 keeps 6 bits: what no other operation makes of this
	// image.
	info, table := identity(1, 1, 1)
	count := func(a Augment) (posterized int) {
		rng := newRand(4)
		for range n {
			var tools augmenter
			got := make([]float32, 1)
			tools.apply(got, picture{[]byte{103}, 1, 1}, &a, info, table, rng)
			if got[0]*255 == 100 {
				posterized++
			}
		}
		return posterized
	}
	one, three := count(Augment{RandAugment: 1, Magnitude: 5}), count(Augment{RandAugment: 3, Magnitude: 5})
	if one < 300 || one > 550 { // n/14 = 429
		t.Errorf("one operation posterized %d of %d", one, n)
	}
	if three < 2*one {
		t.Errorf("three operations posterized %d, one did %d", three, one)
	}
	if none := count(Augment{RandAugment: 1, Magnitude: 0}); none != 0 {
		t.Errorf("magnitude 0 posterized %d", none)
	}
}
