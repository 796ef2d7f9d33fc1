package dataset

import (
	"math"
	"math/rand/v2"
)

// operation is one of the transformations of RandAugment (Cubuk et al. 2020, §3.1) with
// the ranges of torchvision.
type operation uint8

const (
	opIdentity operation = iota
	opShearX
	opShearY
	opTranslateX
	opTranslateY
	opRotate
	opBrightness
	opColor
	opContrast
	opSharpness
	opPosterize
	opSolarize
	opAutoContrast
	opEqualize
	operations
)

// randomOperation applies one operation, drawn uniformly, at strength in [0,1].
func (t *augmenter) randomOperation(channels int, strength float64, rng *rand.Rand) {
	op := operation(rng.IntN(int(operations)))
	sign := 1.0
	if rng.Uint64()>>63 == 1 {
		sign = -1
	}
	t.operate(op, channels, strength, sign)
}

// operate applies op at strength in [0,1]. Where it has two directions sign chooses one.
func (t *augmenter) operate(op operation, channels int, strength, sign float64) {
	p := t.image
	s := sign * strength
	factor := 1 + float32(0.9*s)
	switch op {
	case opShearX:
		affine(p, channels, [6]float64{1, float64(0.3 * s), 0, 0, 1, 0}, t.spare)
	case opShearY:
		affine(p, channels, [6]float64{1, 0, 0, float64(0.3 * s), 1, 0}, t.spare)
	case opTranslateX: // up to 150 pixels of the 331 of AutoAugment's ImageNet policy
		affine(p, channels, [6]float64{1, 0, -math.Trunc(150.0 / 331 * float64(p.w) * s), 0, 1, 0}, t.spare)
	case opTranslateY:
		affine(p, channels, [6]float64{1, 0, 0, 0, 1, -math.Trunc(150.0 / 331 * float64(p.h) * s)}, t.spare)
	case opRotate:
		affine(p, channels, rotation(30*s, p.h, p.w), t.spare)
	case opBrightness:
		brightness(p.pix, factor)
	case opColor:
		saturation(p.pix, channels, factor)
	case opContrast:
		contrast(p.pix, channels, factor)
	case opSharpness:
		sharpness(p, channels, factor, t.spare)
	case opPosterize:
		posterize(p.pix, 8-int(math.RoundToEven(4*strength)))
	case opSolarize:
		solarize(p.pix, 255*(1-strength))
	case opAutoContrast:
		autocontrast(p.pix, channels)
	case opEqualize:
		equalize(p.pix, channels)
	}
}
