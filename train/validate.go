package train

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"

	"netspace/strict"
)

// Upper bounds that no sensible recipe reaches: they catch slips (a batch
// where an lr was meant) before hours are spent.
const (
	maxEpochs = 100_000
	maxBatch  = 65_536
	maxLR     = 1000
)

// Validate checks every field and returns a *strict.Error with all faults, or nil.
func (r Recipe) Validate() error {
	var all strict.Faults
	for _, f := range r.faults() {
		f.Path = "recipe." + f.Path
		all.Add(f)
	}
	return all.Err()
}

// faults lists what is wrong; the paths are the keys of the fields.
func (r *Recipe) faults() []strict.Fault {
	var faults []strict.Fault
	fault := func(field string, value any, rule string) {
		text := ""
		if value != nil {
			text = fmt.Sprint(value)
		}
		faults = append(faults, strict.Fault{Path: field, Value: text, Rule: rule})
	}
	whole := func(field string, v, lo, hi int) {
		if v < lo || v > hi {
			fault(field, v, fmt.Sprintf("must be a whole number from %d to %d", lo, hi))
		}
	}
	// within takes an interval as text: "[0, 1)" — square ends are included.
	within := func(field string, v, lo float64, loIn bool, hi float64, hiIn bool) {
		if v > lo && v < hi || loIn && v == lo || hiIn && v == hi {
			return
		}
		fault(field, v, "must be a number in "+interval(lo, loIn, hi, hiIn))
	}
	oneOf := func(field, v string, allowed ...string) {
		if !slices.Contains(allowed, v) {
			fault(field, strconv.Quote(v), strict.OneOf(v, allowed...))
		}
	}
	inf := math.Inf(1)

	whole("epochs", r.Epochs, 1, maxEpochs)
	whole("batch", r.Batch, 1, maxBatch)
	within("lr", r.LR, 0, false, maxLR, true)
	whole("lr_batch", r.LRBatch, 0, maxBatch)

	oneOf("schedule", string(r.Schedule), string(Cosine), string(Linear), string(Exponential), string(Step), string(Constant))
	oneOf("lr_update", string(r.LRUpdate), string(PerEpoch), string(PerStep))
	within("final_factor", r.FinalFactor, 0, true, 1, true)
	if r.Schedule == Exponential && r.FinalFactor == 0 {
		fault("final_factor", r.FinalFactor, "must be in (0, 1] with schedule exponential")
	}
	if r.Schedule == Step && len(r.DecayEpochs) == 0 {
		fault("decay_epochs", nil, "is missing; with schedule step it lists the epochs at which lr is multiplied by decay, such as [3, 6]")
	}
	for i, e := range r.DecayEpochs {
		if !(e > 0 && e < float64(r.Epochs)) || i > 0 && e <= r.DecayEpochs[i-1] {
			fault("decay_epochs", r.DecayEpochs, fmt.Sprintf("must be increasing epochs in (0, %d)", r.Epochs))
			break
		}
	}
	within("decay", r.Decay, 0, false, 1, true)
	within("warmup_epochs", r.WarmupEpochs, 0, true, float64(max(r.Epochs, 0)), true)
	within("warmup_factor", r.WarmupFactor, 0, true, 1, true)

	oneOf("optimizer", string(r.Optimizer), string(SGD), string(Adam), string(AdamW))
	within("momentum", r.Momentum, 0, true, 1, false)
	if r.Nesterov && (r.Optimizer != SGD || r.Momentum == 0) {
		fault("nesterov", true, "works only with optimizer sgd and momentum above 0")
	}
	within("beta1", r.Beta1, 0, true, 1, false)
	within("beta2", r.Beta2, 0, true, 1, false)
	within("epsilon", r.Epsilon, 0, false, 1, true)
	within("clip_norm", r.ClipNorm, 0, true, inf, false)
	within("weight_decay", r.WeightDecay, 0, true, 1, true)
	within("bn_weight_decay", orElse(r.BNWeightDecay, 0), 0, true, 1, true)
	within("bias_weight_decay", orElse(r.BiasWeightDecay, 0), 0, true, 1, true)

	for _, pattern := range r.Freeze {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			fault("freeze", strconv.Quote(pattern), "must be a pattern of names of tensors, such as s1.*")
		}
	}
	for _, text := range r.LayerRates {
		if _, _, err := layerRate(text); err != nil {
			fault("layer_rates", strconv.Quote(text), err.Error())
		}
	}

	within("layer_decay", r.LayerDecay, 0, true, 1, true)

	within("bn_momentum", r.BNMomentum, 0, false, 1, true)
	within("bn_epsilon", r.BNEpsilon, 0, false, 1, true)
	if r.PreciseBN != 0 && (r.PreciseBN < r.Batch || r.PreciseBN > math.MaxInt32) {
		fault("precise_bn", r.PreciseBN, fmt.Sprintf("must be 0 or at least one batch of images, %d", r.Batch))
	}

	within("label_smoothing", r.LabelSmoothing, 0, true, 1, false)
	within("mixup", r.Mixup, 0, true, 100, true)
	within("cutmix", r.CutMix, 0, true, 100, true)
	within("drop_path", r.DropPath, 0, true, 1, false)
	within("dropout", r.Dropout, 0, true, 1, false)
	within("ema", r.EMA, 0, true, 1, false)

	if r.Activations != Float32 {
		oneOf("activations", string(r.Activations), ActivationsNames()...)
	}

	oneOf("crop", string(r.Crop), string(AutoCrop), string(NoCrop), string(PadCrop), string(ResizedCrop))
	if r.Pad != nil {
		whole("pad", *r.Pad, 0, 1024)
	}
	within("color_jitter", r.ColorJitter, 0, true, 1, true)
	within("lighting", orElse(r.Lighting, 0), 0, true, 10, true)
	whole("randaugment", r.RandAugment, 0, 16)
	within("randaugment_magnitude", r.RandAugmentMagnitude, 0, true, 10, true)
	whole("eval_every", r.EvalEvery, 1, maxEpochs)
	return faults
}

// interval writes an interval the mathematical way.
func interval(lo float64, loIn bool, hi float64, hiIn bool) string {
	open, shut := "(", ")"
	if loIn {
		open = "["
	}
	if hiIn {
		shut = "]"
	}
	h := fmt.Sprint(hi)
	if math.IsInf(hi, 1) {
		h = "∞"
	}
	return fmt.Sprintf("%s%v, %s%s", open, lo, h, shut)
}
