package dataset

import (
	"math"
	"math/rand/v2"
)

// Targets fills targets [N,classes] with what the loss compares with: 1 for the class of
// an image and 0 elsewhere, or, with label smoothing ε, 1-ε+ε/classes and ε/classes
// (Szegedy et al. 2016, §7; the formula of PyTorch's cross_entropy).
func Targets(targets []float32, labels []int32, classes int, smoothing float64) {
	off, on := smoothed(classes, smoothing)
	for i, l := range labels {
		row := targets[i*classes : (i+1)*classes]
		fill(row, off)
		row[l] = on
	}
}

func smoothed(classes int, smoothing float64) (off, on float32) {
	o := smoothing / float64(classes)
	return float32(o), float32(1 - smoothing + o)
}

// Mixup blends the N = len(labels) images of a batch in pairs and fills targets
// [N,classes] with the same blend of their smoothed labels (Zhang et al. 2018): x = λ·x
// + (1-λ)·x', with one λ ~ Beta(alpha, alpha) for the batch, which is returned. Image i
// is paired with image N-1-i: of a shuffled batch that is a random pair, and it needs no
// copy. alpha must be positive; images hold N images of equal size, normalised or not.
func Mixup(targets, images []float32, labels []int32, rng *rand.Rand, alpha float64, classes int, smoothing float64) (lambda float64) {
	lambda = beta(rng, alpha)
	n := len(labels)
	if n == 0 {
		return lambda
	}
	size := len(images) / n
	a, b := float32(lambda), float32(1-lambda)
	for i := range n / 2 {
		p := images[i*size : (i+1)*size]
		q := images[(n-1-i)*size:][:len(p)]
		for k, u := range p {
			v := q[k]
			p[k], q[k] = a*u+b*v, a*v+b*u
		}
	}
	mixTargets(targets, labels, classes, smoothing, lambda)
	return lambda
}

// CutMix swaps one rectangle between the N = len(labels) images [C,h,w] of a batch in
// pairs, i with N-1-i, and fills targets [N,classes] with the labels blended by area
// (Yun et al. 2019): the rectangle has the share 1-λ of the image, λ ~ Beta(alpha,
// alpha), around a point drawn uniformly; where it is cut off at the border λ becomes
// the share that was kept, which is returned. alpha must be positive.
func CutMix(targets, images []float32, labels []int32, h, w int, rng *rand.Rand, alpha float64, classes int, smoothing float64) (lambda float64) {
	side := math.Sqrt(1 - beta(rng, alpha))
	ch, cw := int(float64(h)*side), int(float64(w)*side)
	cy, cx := rng.IntN(h), rng.IntN(w)
	top, bottom := clampInt(cy-ch/2, 0, h), clampInt(cy-ch/2+ch, 0, h)
	left, right := clampInt(cx-cw/2, 0, w), clampInt(cx-cw/2+cw, 0, w)
	lambda = 1 - float64((bottom-top)*(right-left))/float64(h*w)
	n := len(labels)
	if n == 0 {
		return lambda
	}
	size := len(images) / n
	for i := range n / 2 {
		p, q := images[i*size:(i+1)*size], images[(n-1-i)*size:(n-i)*size]
		for plane := 0; plane+h*w <= size; plane += h * w {
			for y := top; y < bottom; y++ {
				u, v := p[plane+y*w+left:plane+y*w+right], q[plane+y*w+left:plane+y*w+right]
				for k := range u {
					u[k], v[k] = v[k], u[k]
				}
			}
		}
	}
	mixTargets(targets, labels, classes, smoothing, lambda)
	return lambda
}

// mixTargets blends the targets of the pairs i and N-1-i.
func mixTargets(targets []float32, labels []int32, classes int, smoothing, lambda float64) {
	off, on := smoothed(classes, smoothing)
	n := len(labels)
	for i := range n {
		row := targets[i*classes : (i+1)*classes]
		fill(row, off)
		a, b := labels[i], labels[n-1-i]
		if a == b {
			row[a] = on
			continue
		}
		row[a] = float32(lambda*float64(on) + (1-lambda)*float64(off))
		row[b] = float32(lambda*float64(off) + (1-lambda)*float64(on))
	}
}

// beta draws from Beta(a, a) as G/(G+G') of two gamma variables.
func beta(rng *rand.Rand, a float64) float64 {
	// The logarithms keep the ratio where both variables underflow, as they do for
	// small a.
	x, y := logGamma(rng, a), logGamma(rng, a)
	return 1 / (1 + math.Exp(y-x))
}

// logGamma draws the logarithm of a Gamma(a, 1) variable: Marsaglia and Tsang, A simple
// method for generating gamma variables (2000), with their §6 for a < 1.
func logGamma(rng *rand.Rand, a float64) float64 {
	boost := 0.0
	if a < 1 {
		boost = math.Log(1-rng.Float64()) / a
		a++
	}
	d := a - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + float64(c*x)
		if v <= 0 {
			continue
		}
		v = v * v * v
		u := 1 - rng.Float64()
		if math.Log(u) < 0.5*x*x+d-float64(d*v)+d*math.Log(v) {
			return boost + math.Log(d) + math.Log(v)
		}
	}
}
