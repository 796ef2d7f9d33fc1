package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Augment says what is done at random to images for training, each by its own draws. The
// zero value does nothing. The order is: crop, flip, RandAugment, colour jitter,
// lighting, normalisation. All but lighting work on bytes, as Pillow and torchvision do.
type Augment struct {
	// PadCrop pads images with that many black pixels on each side and cuts the
	// original size out of it at a random place (DDS, appendix: 4 for CIFAR). 0: no. Of
	// photographs (Info.Photos) it moves by up to that many pixels the crop that
	// evaluation takes from the centre.
	PadCrop int
	// ResizedCrop takes a random rectangle and resizes it to the size of the images, in
	// place of PadCrop (Szegedy et al. 2015, §6).
	ResizedCrop bool
	// MinArea is the least share of the image's area that ResizedCrop takes, in (0,1];
	// 0 means 0.08. The aspect ratio is log-uniform from 3/4 to 4/3.
	MinArea float64
	// Flip mirrors every other image, left to right.
	Flip bool
	// RandAugment applies that many random operations to each image (Cubuk et al.
	// 2020); 0: none.
	RandAugment int
	// Magnitude is the strength of the operations of RandAugment, on the paper's scale
	// from 0 to 10, the strongest. (torchvision counts to 30.)
	Magnitude float64
	// ColorJitter multiplies brightness, contrast and saturation, in random order, each
	// by a factor uniform in 1 ± ColorJitter, in [0,1]; 0: none.
	ColorJitter float64
	// Lighting is the standard deviation of the shifts along the principal colours of
	// ImageNet (Krizhevsky et al. 2012, §4.1; DDS, appendix: 0.1); 0: none. Colour
	// images only.
	Lighting float64
}

// defaultMinArea is the least share of an image that ResizedCrop takes by default.
const defaultMinArea = 0.08

// maxMagnitude is the strongest Augment.Magnitude.
const maxMagnitude = 10

// random reports whether anything is drawn.
func (a Augment) random() bool {
	return a.PadCrop > 0 || a.ResizedCrop || a.Flip || a.pixelwise()
}

// pixelwise reports whether more than a crop and a flip is asked for.
func (a Augment) pixelwise() bool {
	return a.ResizedCrop || a.RandAugment > 0 || a.ColorJitter > 0 || a.Lighting > 0
}

// Check reports what is impossible for images such as info describes.
func (a Augment) Check(info Info) error {
	switch {
	case a.PadCrop < 0 || a.PadCrop > 0 && (a.PadCrop >= info.Height || a.PadCrop >= info.Width):
		return fmt.Errorf("augmentation: padding of %d pixels; it must be from 0 to less than the size of the images, %d×%d", a.PadCrop, info.Height, info.Width)
	case a.PadCrop > 0 && a.ResizedCrop:
		return fmt.Errorf("augmentation: padding of %d pixels and a resized crop; take one of the two", a.PadCrop)
	case !(a.MinArea >= 0 && a.MinArea <= 1):
		return fmt.Errorf("augmentation: least area %v; it must be a share from 0 to 1", a.MinArea)
	case a.RandAugment < 0:
		return fmt.Errorf("augmentation: %d operations of RandAugment; it takes 0 or more", a.RandAugment)
	case !(a.Magnitude >= 0 && a.Magnitude <= maxMagnitude):
		return fmt.Errorf("augmentation: RandAugment of magnitude %v; it must be from 0 to %d", a.Magnitude, maxMagnitude)
	case !(a.ColorJitter >= 0 && a.ColorJitter <= 1):
		return fmt.Errorf("augmentation: colour jitter %v; it must be from 0 to 1", a.ColorJitter)
	case !(a.Lighting >= 0) || math.IsInf(a.Lighting, 1):
		return fmt.Errorf("augmentation: lighting %v; it must be 0 or a positive standard deviation", a.Lighting)
	case a.Lighting > 0 && info.Channels != 3:
		return fmt.Errorf("augmentation: lighting %v needs colour images; these have %d channel", a.Lighting, info.Channels)
	}
	return nil
}

// draw returns where a crop of the size of info begins in p, and whether it is mirrored.
func (a *Augment) draw(p picture, info *Info, rng *rand.Rand) (top, left int, flip bool) {
	top, left = (p.h-info.Height)/2, (p.w-info.Width)/2
	if a.PadCrop > 0 {
		top += rng.IntN(2*a.PadCrop+1) - a.PadCrop
		left += rng.IntN(2*a.PadCrop+1) - a.PadCrop
	}
	return top, left, a.drawFlip(rng)
}

func (a *Augment) drawFlip(rng *rand.Rand) bool { return a.Flip && rng.Uint64()>>63 == 1 }

// drawBox returns the rectangle of ResizedCrop, as torchvision draws it: whole pixels;
// after ten that do not fit, the largest centred one of an allowed aspect.
func (a *Augment) drawBox(p picture, rng *rand.Rand) box {
	const minAspect, maxAspect = 3.0 / 4, 4.0 / 3
	least := a.MinArea
	if least == 0 {
		least = defaultMinArea
	}
	for range 10 {
		area := float64(p.h*p.w) * (least + float64(rng.Float64()*(1-least)))
		aspect := math.Exp(math.Log(minAspect) + float64(rng.Float64()*(math.Log(maxAspect)-math.Log(minAspect))))
		w := int(math.RoundToEven(math.Sqrt(area * aspect)))
		h := int(math.RoundToEven(math.Sqrt(area / aspect)))
		if w > 0 && w <= p.w && h > 0 && h <= p.h {
			top, left := rng.IntN(p.h-h+1), rng.IntN(p.w-w+1)
			return box{float64(top), float64(left), float64(top + h), float64(left + w)}
		}
	}
	h, w := p.h, p.w
	switch aspect := float64(w) / float64(h); {
	case aspect < minAspect:
		h = int(math.RoundToEven(float64(w) / minAspect))
	case aspect > maxAspect:
		w = int(math.RoundToEven(float64(h) * maxAspect))
	}
	top, left := (p.h-h)/2, (p.w-w)/2
	return box{float64(top), float64(left), float64(top + h), float64(left + w)}
}

// normaliseCrop writes the H×W pixels of p from (top, left) on as normalised numbers, by
// table; what lies outside p is black.
func normaliseCrop(dst []float32, p picture, table *[3][256]float32, info *Info, top, left int, flip bool) {
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
	copy  []byte // of an image of a foreign Split
	image picture
	spare []byte
	rs    resizer
	table [3][256]float32
}

// apply makes the normalised image dst of p, with all that a asks for.
func (t *augmenter) apply(dst []float32, p picture, a *Augment, info *Info, table *[3][256]float32, rng *rand.Rand) {
	size := info.Channels * info.Height * info.Width
	t.image = picture{grow(t.image.pix, size), info.Height, info.Width}
	t.spare = grow(t.spare, size)
	flip := false
	if a.ResizedCrop {
		t.rs.resize(t.image, p, info.Channels, a.drawBox(p, rng))
		flip = a.drawFlip(rng)
	} else {
		var top, left int
		top, left, flip = a.draw(p, info, rng)
		crop(t.image.pix, p, info.Channels, top, left, info.Height, info.Width)
	}
	if flip {
		mirror(t.image.pix, info.Width)
	}
	for range a.RandAugment {
		t.randomOperation(info.Channels, a.Magnitude/maxMagnitude, rng)
	}
	if a.ColorJitter > 0 {
		t.jitter(info.Channels, a.ColorJitter, rng)
	}
	if a.Lighting > 0 {
		shift := drawLighting(a.Lighting, rng)
		for c := range info.Channels {
			d := float32(shift[c]) / info.Std[c]
			for v := range t.table[c] {
				t.table[c][v] = table[c][v] + d
			}
		}
		table = &t.table
	}
	normaliseCrop(dst, t.image, table, info, 0, 0, false)
}

// mirror reverses every row of w bytes.
func mirror(pix []byte, w int) {
	for ; len(pix) >= w; pix = pix[w:] {
		for i, j := 0, w-1; i < j; i, j = i+1, j-1 {
			pix[i], pix[j] = pix[j], pix[i]
		}
	}
}

// drawLighting returns what is added to red, green and blue in [0,1].
func drawLighting(std float64, rng *rand.Rand) (shift [3]float64) {
	// Eigenvalues and eigenvectors (columns) of the colours of ImageNet, as in the
	// training code of fb.resnet.torch and of the authors of DDS.
	values := [3]float64{0.2175, 0.0188, 0.0045}
	vectors := [3][3]float64{
		{-0.5675, 0.7192, 0.4009},
		{-0.5808, -0.0045, -0.8140},
		{-0.5836, -0.6948, 0.4203},
	}
	for k, v := range values {
		alpha := float64(rng.NormFloat64() * std)
		for c := range shift {
			shift[c] += float64(float64(vectors[c][k]*alpha) * v)
		}
	}
	return shift
}

// jitter is ColorJitter of torchvision without hue.
func (t *augmenter) jitter(channels int, strength float64, rng *rand.Rand) {
	order := [3]int{0, 1, 2}
	for i := 2; i > 0; i-- {
		j := rng.IntN(i + 1)
		order[i], order[j] = order[j], order[i]
	}
	for _, k := range order {
		factor := float32(1 + float64(strength*(2*rng.Float64()-1)))
		switch k {
		case 0:
			brightness(t.image.pix, factor)
		case 1:
			contrast(t.image.pix, channels, factor)
		case 2:
			saturation(t.image.pix, channels, factor)
		}
	}
}
