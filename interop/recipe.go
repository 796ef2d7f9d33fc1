package interop

import (
	"math"
	"regexp"
	"strconv"

	"fmt"

	"netspace/strict"
)

// recipe turns OPTIM, BN and the recipe keys of TRAIN into fields of a
// training recipe. A file that states none of them has no recipe; one that
// states any gets the tool's defaults for the rest, where they differ from ours.
func (p *pycls) recipe(train *strict.Fields) map[string]any {
	optim, bn := p.root.Map("OPTIM"), p.root.Map("BN")
	stated := optim != nil || bn != nil
	for _, key := range []string{"BATCH_SIZE", "LABEL_SMOOTHING", "MIXUP_ALPHA", "CUTMIX_ALPHA", "PCA_STD", "AUGMENT"} {
		stated = stated || train.Has(key)
	}
	r := map[string]any{}
	p.optim(optim, r)
	p.batchNorm(bn, r)
	p.training(train, r)
	p.ema(optim, r)
	optim.Finish()
	bn.Finish()
	if !stated {
		return nil
	}
	return r
}

// float reads a number with the tool's default; it goes into the recipe when
// it is stated or when always is set, because our default is another.
func float(f *strict.Fields, key string, def float64, r map[string]any, name string, always bool) float64 {
	v := def
	f.Float(key, &v)
	if always || f.Has(key) {
		r[name] = v
	}
	return v
}

func (p *pycls) optim(f *strict.Fields, r map[string]any) {
	epochs := 200
	f.Int("MAX_EPOCH", &epochs)
	r["epochs"] = epochs
	float(f, "BASE_LR", 0.1, r, "lr", true)
	float(f, "WEIGHT_DECAY", 5e-4, r, "weight_decay", true)
	float(f, "WARMUP_EPOCHS", 0, r, "warmup_epochs", false)
	float(f, "WARMUP_FACTOR", 0.1, r, "warmup_factor", false)
	p.schedule(f, r, epochs)

	f.Word("OPTIMIZER", func(w string) error {
		if w != "sgd" && w != "adam" && w != "adamw" {
			return fmt.Errorf("%s", strict.OneOf(w, "sgd", "adam", "adamw"))
		}
		r["optimizer"] = w
		return nil
	})
	var momentum, dampening = 0.9, 0.0
	nesterov, beta1, beta2 := true, 0.9, 0.999
	f.Float("MOMENTUM", &momentum)
	f.Float("DAMPENING", &dampening)
	f.Bool("NESTEROV", &nesterov)
	f.Float("BETA1", &beta1)
	f.Float("BETA2", &beta2)
	switch r["optimizer"] {
	case "adam", "adamw":
		r["beta1"], r["beta2"] = beta1, beta2
	default:
		r["momentum"], r["nesterov"] = momentum, nesterov
		if dampening != 0 {
			p.doc.Fail("OPTIM.DAMPENING", strconv.FormatFloat(dampening, 'g', -1, 64), "is not supported here: must be 0")
		}
	}
	custom, decay := false, 0.0
	f.Bool("BIAS_USE_CUSTOM_WEIGHT_DECAY", &custom)
	f.Float("BIAS_CUSTOM_WEIGHT_DECAY", &decay)
	if custom {
		r["bias_weight_decay"] = decay
	}
}

// schedule reads LR_POLICY and what belongs to it.
func (p *pycls) schedule(f *strict.Fields, r map[string]any, epochs int) {
	policy, minLR, gamma, mult := "cos", 0.0, 0.1, 0.1
	var steps []float64
	f.Float("MIN_LR", &minLR)
	f.Float("GAMMA", &gamma)
	f.Floats("STEPS", &steps)
	f.Float("LR_MULT", &mult)
	f.Word("LR_POLICY", func(w string) error {
		switch w {
		case "cos", "exp", "lin", "steps":
			policy = w
			return nil
		}
		return fmt.Errorf("%s", strict.OneOf(w, "cos", "exp", "lin", "steps"))
	})
	switch policy {
	case "cos", "lin":
		r["schedule"] = map[string]string{"cos": "cosine", "lin": "linear"}[policy]
		if minLR != 0 {
			r["final_factor"] = minLR
		}
	case "exp":
		r["schedule"] = "exponential"
		if f.Has("GAMMA") { // releases before MIN_LR: lr·gamma^epoch
			minLR = math.Pow(gamma, float64(epochs))
		}
		if minLR <= 0 {
			p.doc.Fail("OPTIM.MIN_LR", strconv.FormatFloat(minLR, 'g', -1, 64), "must be more than 0 with LR_POLICY exp")
		}
		r["final_factor"] = minLR
	case "steps":
		if len(steps) < 1 || steps[0] != 0 {
			p.doc.Fail("OPTIM.STEPS", fmt.Sprint(steps), "must begin with 0 and list the epochs of the steps with LR_POLICY steps")
			return
		}
		r["schedule"], r["decay_epochs"], r["decay"] = "step", toAny(steps[1:]), mult
	}
}

func toAny(list []float64) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

func (p *pycls) batchNorm(f *strict.Fields, r map[string]any) {
	float(f, "EPS", 1e-5, r, "bn_epsilon", false)
	float(f, "MOM", 0.1, r, "bn_momentum", false)
	precise, samples, zero, custom, decay := true, 8192, false, false, 0.0
	f.Bool("USE_PRECISE_STATS", &precise)
	f.Int("NUM_SAMPLES_PRECISE", &samples)
	f.Bool("ZERO_INIT_FINAL_GAMMA", &zero)
	f.Bool("USE_CUSTOM_WEIGHT_DECAY", &custom)
	f.Float("CUSTOM_WEIGHT_DECAY", &decay)
	if precise {
		r["precise_bn"] = samples
	}
	if zero {
		r["zero_gamma"] = true
	}
	if custom {
		r["bn_weight_decay"] = decay
	}
}

var randAugment = regexp.MustCompile(`^RandAugment(?:_N(\d+))?(?:_M([0-9.]+))?$`)

func (p *pycls) training(f *strict.Fields, r map[string]any) {
	batch := 128
	f.Int("BATCH_SIZE", &batch)
	r["batch"] = batch
	float(f, "LABEL_SMOOTHING", 0, r, "label_smoothing", false)
	float(f, "MIXUP_ALPHA", 0, r, "mixup", false)
	float(f, "CUTMIX_ALPHA", 0, r, "cutmix", false)
	float(f, "PCA_STD", 0.1, r, "lighting", false)
	f.Word("AUGMENT", func(w string) error {
		if w == "" {
			return nil
		}
		m := randAugment.FindStringSubmatch(w)
		if m == nil {
			return fmt.Errorf("is not supported here: must be empty or RandAugment_N<operations>_M<magnitude from 0 to 1>")
		}
		operations, magnitude := 2, 0.5 // the tool's defaults
		if m[1] != "" {
			operations, _ = strconv.Atoi(m[1]) // digits by the pattern
		}
		if m[2] != "" {
			v, err := strconv.ParseFloat(m[2], 64)
			if err != nil || v > 1 {
				return fmt.Errorf("must have a magnitude from 0 to 1")
			}
			magnitude = v
		}
		r["randaugment"], r["randaugment_magnitude"] = operations, magnitude*10 // ours goes to 10
		return nil
	})
}

// ema turns the tool's average, taken every PERIOD steps with a weight alpha
// that it scales by batch size and epochs, into a decay per step. It is read
// only where stated: the tool reports the averaged weights beside the others,
// here they replace them.
func (p *pycls) ema(f *strict.Fields, r map[string]any) {
	alpha, period := 1e-5, 32
	f.Float("EMA_ALPHA", &alpha)
	f.Int("EMA_UPDATE_PERIOD", &period)
	if !f.Has("EMA_ALPHA") && !f.Has("EMA_UPDATE_PERIOD") || period <= 0 {
		return
	}
	epochs, _ := r["epochs"].(int)
	batch, _ := r["batch"].(int)
	if epochs < 1 {
		return // a fault of its own
	}
	weight := min(1, alpha*float64(batch)/float64(epochs)*float64(period))
	r["ema"] = math.Pow(1-weight, 1/float64(period))
}
