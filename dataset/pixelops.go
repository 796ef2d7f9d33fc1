package dataset

import "math"

// The operations of Pillow and torchvision on bytes [C,H,W] that augmentation is made
// of. A factor of 1 leaves the image as it is, 0 takes all away, above 1 exaggerates.

// blend is a + factor·(b-a), cut off at 0 and 255, rounded towards zero, in the
// precision of Pillow.
func blend(a, b byte, factor float32) byte {
	return byte(min(max(float32(a)+float32(factor*(float32(b)-float32(a))), 0), 255))
}

// brightness blends with black.
func brightness(pix []byte, factor float32) {
	var table [256]byte
	for v := range table {
		table[v] = blend(0, byte(v), factor)
	}
	look(pix, &table)
}

func look(pix []byte, table *[256]byte) {
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// contrast blends with the mean grey.
func contrast(pix []byte, channels int, factor float32) {
	n := len(pix) / channels
	sum := 0
	if channels == 3 {
		r, g, b := pix[:n], pix[n:2*n], pix[2*n:3*n]
		for i, v := range r {
			sum += int(grey(v, g[i], b[i]))
		}
	} else {
		for _, v := range pix {
			sum += int(v)
		}
	}
	mean := byte((2*sum + n) / (2 * n))
	var table [256]byte
	for v := range table {
		table[v] = blend(mean, byte(v), factor)
	}
	look(pix, &table)
}

// saturation blends each pixel with its grey; grey images stay as they are.
func saturation(pix []byte, channels int, factor float32) {
	if channels != 3 {
		return
	}
	n := len(pix) / 3
	r, g, b := pix[:n], pix[n:2*n], pix[2*n:3*n]
	for i := range r {
		y := grey(r[i], g[i], b[i])
		r[i], g[i], b[i] = blend(y, r[i], factor), blend(y, g[i], factor), blend(y, b[i], factor)
	}
}

// grey is Pillow's luma (ITU-R 601-2) in its arithmetic.
func grey(r, g, b byte) byte {
	return byte((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 0x8000) >> 16)
}

// sharpness blends with the image smoothed by a 3×3 filter; the border stays as it is.
// spare has room for a plane.
func sharpness(p picture, channels int, factor float32, spare []byte) {
	w := p.w
	for c := range channels {
		plane := p.pix[c*p.h*w : (c+1)*p.h*w]
		old := spare[:len(plane)]
		copy(old, plane)
		for y := 1; y < p.h-1; y++ {
			for x := 1; x < w-1; x++ {
				i := y*w + x
				sum := 5 * int(old[i])
				for _, j := range [8]int{i - w - 1, i - w, i - w + 1, i - 1, i + 1, i + w - 1, i + w, i + w + 1} {
					sum += int(old[j])
				}
				smooth := (2*sum + 13) / 26 // nearest of sum/13
				plane[i] = blend(byte(smooth), old[i], factor)
			}
		}
	}
}

// posterize keeps the highest bits of each byte.
func posterize(pix []byte, bits int) {
	mask := byte(0xff << (8 - bits))
	for i := range pix {
		pix[i] &= mask
	}
}

// solarize inverts bytes from threshold on.
func solarize(pix []byte, threshold float64) {
	for i, v := range pix {
		if float64(v) >= threshold {
			pix[i] = 255 - v
		}
	}
}

// autocontrast stretches each channel to 0…255.
func autocontrast(pix []byte, channels int) {
	n := len(pix) / channels
	for c := range channels {
		plane := pix[c*n : (c+1)*n]
		lo, hi := plane[0], plane[0]
		for _, v := range plane {
			lo, hi = min(lo, v), max(hi, v)
		}
		if lo == hi {
			continue
		}
		var table [256]byte
		for v := range table {
			table[v] = byte(clampInt((v-int(lo))*255/int(hi-lo), 0, 255))
		}
		look(plane, &table)
	}
}

// equalize makes the histogram of each channel as even as it can be.
func equalize(pix []byte, channels int) {
	n := len(pix) / channels
	for c := range channels {
		plane := pix[c*n : (c+1)*n]
		var histogram [256]int
		for _, v := range plane {
			histogram[v]++
		}
		last := 255
		for histogram[last] == 0 {
			last--
		}
		step := (n - histogram[last]) / 255
		if step == 0 {
			continue
		}
		var table [256]byte
		acc := step / 2
		for v := range table {
			table[v] = byte(min(acc/step, 255))
			acc += histogram[v]
		}
		look(plane, &table)
	}
}

// affine moves each channel: the pixel (x, y) of the result is the pixel of the image in
// which the centre of (x, y), mapped by m, lies; black outside. spare has room for a
// plane.
func affine(p picture, channels int, m [6]float64, spare []byte) {
	w := p.w
	for c := range channels {
		plane := p.pix[c*p.h*w : (c+1)*p.h*w]
		old := spare[:len(plane)]
		copy(old, plane)
		for y := range p.h {
			fy := float64(y) + 0.5
			for x := range w {
				fx := float64(x) + 0.5
				sx := math.Floor(float64(m[0]*fx) + float64(m[1]*fy) + m[2])
				sy := math.Floor(float64(m[3]*fx) + float64(m[4]*fy) + m[5])
				v := byte(0)
				if sx >= 0 && sx < float64(w) && sy >= 0 && sy < float64(p.h) {
					v = old[int(sy)*w+int(sx)]
				}
				plane[y*w+x] = v
			}
		}
	}
}

// rotation turns about the centre of an h×w image, counterclockwise for positive
// degrees.
func rotation(degrees float64, h, w int) [6]float64 {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	cx, cy := float64(w)/2, float64(h)/2
	return [6]float64{
		cos, -sin, cx - float64(cos*cx) + float64(sin*cy),
		sin, cos, cy - float64(sin*cx) - float64(cos*cy),
	}
}
