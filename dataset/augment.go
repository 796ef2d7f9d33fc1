package dataset

import (
	"fmt"
	"math/rand/v2"
)

// Augment says what is done at random to images for training. The zero value does
// nothing. The order is: crop, flip.
type Augment struct {
	// PadCrop pads images with that many black pixels on each side and cuts the
	// original size out of it at random. 0: no. For photographs (Info.Photos) it moves the crop
	// that evaluation takes from the centre.
	PadCrop int
	// Flip mirrors every other image, left to right.
	Flip bool
}

// random reports whether anything is drawn.
func (a Augment) random() bool { return a != Augment{} }

// pixelwise reports whether more than a crop and a flip is asked for.
func (a Augment) pixelwise() bool { return false }

func (a Augment) geometry() geometry { return geometry{a.PadCrop, a.Flip} }

// Check reports what is impossible for images such as info describes.
func (a Augment) Check(info Info) error {
	if a.PadCrop < 0 || a.PadCrop >= info.Height || a.PadCrop >= info.Width {
		return fmt.Errorf("augmentation: padding of %d pixels; it must be from 0 to less than the size of the images, %d×%d", a.PadCrop, info.Height, info.Width)
	}
	return nil
}

// geometry is a crop and a flip.
type geometry struct {
	pad  int
	flip bool
}

// draw returns where the crop begins in p, and whether it is mirrored.
func (g geometry) draw(p picture, info Info, rng *rand.Rand) (top, left int, flip bool) {
	top, left = (p.h-info.Height)/2, (p.w-info.Width)/2
	if g.pad > 0 {
		top += rng.IntN(2*g.pad+1) - g.pad
		left += rng.IntN(2*g.pad+1) - g.pad
	}
	if g.flip {
		flip = rng.Uint64()>>63 == 1
	}
	return top, left, flip
}

// normaliseCrop writes the H×W pixels of p from (top, left) on as normalised
// numbers; what lies outside p is black.
func normaliseCrop(dst []float32, p picture, table *[3][256]float32, info Info, top, left int, flip bool) {
	h, w := info.Height, info.Width
	from, to := clampInt(-left, 0, w), clampInt(p.w-left, 0, w)
	to = max(to, from)
	for c := range info.Channels {
		t := &table[c]
		for y := range h {
			row := dst[(c*h+y)*w : (c*h+y+1)*w]
			sy := y + top
			if sy < 0 || sy >= p.h || from == to {
				fill(row, t[0])
				continue
			}
			at := (c*p.h+sy)*p.w + left
			src := p.pix[at+from : at+to]
			if flip {
				fill(row[:w-to], t[0])
				fill(row[w-from:], t[0])
				out := row[w-to : w-from]
				for x, v := range src {
					out[len(src)-1-x] = t[v]
				}
				continue
			}
			fill(row[:from], t[0])
			fill(row[to:], t[0])
			out := row[from:to]
			out = out[:len(src)]
			for x, v := range src {
				out[x] = t[v]
			}
		}
	}
}

func fill(s []float32, v float32) {
	for i := range s {
		s[i] = v
	}
}

// augmenter is the memory of one goroutine for augmentation.
type augmenter struct {
	rng  *rand.Rand
	copy []byte
}

func (a *augmenter) init(info Info, rng *rand.Rand) { a.rng = rng }

func (a *augmenter) apply(dst []float32, p picture, l *Loader) {}
