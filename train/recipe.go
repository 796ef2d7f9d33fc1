// Package train trains a network by a recipe: schedule, the loop,
// validation, checkpoints. It drives any engine.Engine with batches of a
// dataset.Loader.
//
// Everything random derives from a seed and a position (the name of a tensor,
// or the epoch and step), never from a generator whose state runs along: a run
// that was stopped at any step and resumed gives the same bits as one that was
// not.
//
//	recipe := train.DefaultRecipe()
//	g, err := spec.TrainingGraph(in, rates)      // an arch.Spec with the recipe's rates
//	res, err := train.Run(ctx, train.Job{Graph: g, Data: data, Recipe: recipe, Engine: e, Dir: "out", Resume: true})
package train

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"netspace/engine"
	"netspace/strict"
)

// Schedule is how the learning rate changes over the epochs.
type Schedule string

// The schedules; t is the time in epochs, T the number of epochs, f the
// factor at the end (Recipe.FinalFactor).
const (
	Cosine      Schedule = "cosine"      // f + (1-f)·½(1 + cos(πt/T)), the half period of DDS
	Linear      Schedule = "linear"      // f + (1-f)·(1 - t/T)
	Exponential Schedule = "exponential" // f^(t/T)
	Step        Schedule = "step"        // Decay to the power of how many of DecayEpochs are past
	Constant    Schedule = "constant"    // 1
)

// Update says how often the learning rate changes.
type Update string

// The granularities of a schedule.
const (
	PerEpoch Update = "epoch" // t is the number of finished epochs, an integer: what DDS and its tool do
	PerStep  Update = "step"  // t is epochs plus the finished fraction of the current one
)

// Optimizer is the rule that applies gradients, with PyTorch's formulas.
type Optimizer string

// The optimizers.
const (
	SGD   Optimizer = "sgd"   // v = momentum·v + (g + decay·p); p -= lr·v
	Adam  Optimizer = "adam"  // weight decay is added to the gradient
	AdamW Optimizer = "adamw" // weight decay shrinks the weights directly
)

// Activations is what a training step keeps the activations in that its backward pass needs (engine.Kept). All is
// computed in float32.
type Activations string

// The kinds of activations.
const (
	Float32  Activations = "" // "float32" in a file, which is what no word means
	BFloat16 Activations = "bf16"
)

// float32Word is what a file may say in the place of nothing.
const float32Word = "float32"

// ActivationsNames lists what a file or a flag may say.
func ActivationsNames() []string { return []string{float32Word, string(BFloat16)} }

// ParseActivations reads one of ActivationsNames.
func ParseActivations(word string) (Activations, error) {
	switch word {
	case float32Word:
		return Float32, nil
	case string(BFloat16):
		return BFloat16, nil
	}
	return "", errors.New(strict.OneOf(word, ActivationsNames()...))
}

// String gives one of ActivationsNames.
func (a Activations) String() string { return cmp.Or(string(a), float32Word) }

// Precision is the engine's word for it.
func (a Activations) Precision() engine.Precision {
	if a == BFloat16 {
		return engine.BF16
	}
	return engine.FP32
}

// Crop is how a training image is cut out.
type Crop string

// The crops.
const (
	AutoCrop    Crop = "auto"    // resized for photographs (images of many sizes), pad for images of one small size
	NoCrop      Crop = "none"    // the image as it is (photographs: the evaluation's centre crop)
	PadCrop     Crop = "pad"     // pad with zeros by Pad on every side, cut out the original size at random
	ResizedCrop Crop = "resized" // random area of 8–100 %, aspect 3/4–4/3, resized
)

// Recipe is how a network is trained (DDS, appendix). Two networks are
// compared under one recipe, so it is part of the identity of a result: see Hash.
//
// A file or a flag states only what differs from DefaultRecipe; decoding YAML
// or JSON into a Recipe fills in the defaults. An unknown key is an error.
type Recipe struct {
	Epochs int `json:"epochs" yaml:"epochs"` // passes over the training images
	Batch  int `json:"batch" yaml:"batch"`   // images per step; the last, smaller batch of an epoch is left out

	LR      float64 `json:"lr" yaml:"lr"`             // reference learning rate lr₀
	LRBatch int     `json:"lr_batch" yaml:"lr_batch"` // batch for which LR is stated: lr₀ = LR·Batch/LRBatch; 0: LR is used as it is

	Schedule     Schedule  `json:"schedule" yaml:"schedule"`
	LRUpdate     Update    `json:"lr_update" yaml:"lr_update"`
	FinalFactor  float64   `json:"final_factor" yaml:"final_factor"`                     // of cosine, linear and exponential: lr at t = T over lr₀
	DecayEpochs  []float64 `json:"decay_epochs,omitempty" yaml:"decay_epochs,omitempty"` // of step: the epochs at which lr is multiplied by Decay
	Decay        float64   `json:"decay" yaml:"decay"`                                   // of step
	WarmupEpochs float64   `json:"warmup_epochs" yaml:"warmup_epochs"`                   // lr is multiplied by a line from WarmupFactor to 1 over these epochs
	WarmupFactor float64   `json:"warmup_factor" yaml:"warmup_factor"`

	Optimizer Optimizer `json:"optimizer" yaml:"optimizer"`
	Momentum  float64   `json:"momentum" yaml:"momentum"` // of sgd
	Nesterov  bool      `json:"nesterov" yaml:"nesterov"` // of sgd
	Beta1     float64   `json:"beta1" yaml:"beta1"`       // of adam and adamw: decay of the first moment
	Beta2     float64   `json:"beta2" yaml:"beta2"`       // of adam and adamw: decay of the second moment
	Epsilon   float64   `json:"epsilon" yaml:"epsilon"`   // of adam and adamw: added to the root
	ClipNorm  float64   `json:"clip_norm" yaml:"clip_norm"`

	WeightDecay     float64  `json:"weight_decay" yaml:"weight_decay"`                               // of convolution and linear weights
	BNWeightDecay   *float64 `json:"bn_weight_decay,omitempty" yaml:"bn_weight_decay,omitempty"`     // of BN γ and β; nil: as WeightDecay
	BiasWeightDecay *float64 `json:"bias_weight_decay,omitempty" yaml:"bias_weight_decay,omitempty"` // of the biases of convolutions and linear layers; nil: as WeightDecay

	Freeze     []string `json:"freeze,omitempty" yaml:"freeze,omitempty" identity:"omitdefault"`           // patterns of tensors that stay as they are
	LayerRates []string `json:"layer_rates,omitempty" yaml:"layer_rates,omitempty" identity:"omitdefault"` // pattern=factor: of the learning rate of tensors
	LayerDecay float64  `json:"layer_decay,omitempty" yaml:"layer_decay,omitempty" identity:"omitdefault"` // factor of the learning rate from block to block, from the head down; 0: none

	BNMomentum float64 `json:"bn_momentum" yaml:"bn_momentum"` // weight of a batch in the running statistics
	BNEpsilon  float64 `json:"bn_epsilon" yaml:"bn_epsilon"`   // added to the variance
	PreciseBN  int     `json:"precise_bn" yaml:"precise_bn"`   // training images over which BN statistics are recomputed before every evaluation; 0: running statistics
	ZeroGamma  bool    `json:"zero_gamma" yaml:"zero_gamma"`   // γ of the last BN of each residual branch starts at 0

	LabelSmoothing float64 `json:"label_smoothing" yaml:"label_smoothing"` // ε: targets (1-ε)·one-hot + ε/classes
	Mixup          float64 `json:"mixup" yaml:"mixup"`                     // α of Beta(α,α): images and targets are mixed in pairs; 0: off
	CutMix         float64 `json:"cutmix" yaml:"cutmix"`                   // α of Beta(α,α): a box is exchanged in pairs; 0: off; with Mixup, each batch takes one of the two with equal chance
	DropPath       float64 `json:"drop_path" yaml:"drop_path"`             // rate of the last block, growing linearly from 0 with depth
	Dropout        float64 `json:"dropout" yaml:"dropout"`                 // rate before the classifier
	EMA            float64 `json:"ema" yaml:"ema"`                         // decay d per step of the averaged weights, which are then what is evaluated; 0: off

	Augment              bool     `json:"augment" yaml:"augment"` // switch for all of the following
	Crop                 Crop     `json:"crop" yaml:"crop"`
	Pad                  *int     `json:"pad,omitempty" yaml:"pad,omitempty"`           // pixels, of crop: pad; nil: an eighth of the side, at most 4
	Flip                 bool     `json:"flip" yaml:"flip"`                             // mirror left-right with chance ½
	ColorJitter          float64  `json:"color_jitter" yaml:"color_jitter"`             // brightness, contrast and saturation are scaled by a uniform factor of 1±this
	Lighting             *float64 `json:"lighting,omitempty" yaml:"lighting,omitempty"` // std of the PCA lighting of colour images; nil: 0.1 with resized crops, else 0
	RandAugment          int      `json:"randaugment" yaml:"randaugment"`               // random operations per image; 0: off
	RandAugmentMagnitude float64  `json:"randaugment_magnitude" yaml:"randaugment_magnitude"`

	Activations Activations `json:"activations,omitempty" yaml:"activations,omitempty" identity:"omitdefault"` // that a step keeps for its backward pass

	Shuffle   bool `json:"shuffle" yaml:"shuffle"`       // a new order every epoch; false: file order
	EvalEvery int  `json:"eval_every" yaml:"eval_every"` // epochs between evaluations; the last epoch is always evaluated
}

// The defaults, which are those of DDS where it states one.
const (
	defaultEpochs               = 10  // what DDS trains a population for (§3.1): enough to rank spaces
	defaultBatch                = 128 // per GPU in DDS, and the batch of its reference lr
	defaultLR                   = 0.1 // DDS, appendix: for batch 128 and RegNet
	defaultDecay                = 0.1 // step schedules of ResNet divide by ten
	defaultWarmupFactor         = 0.1 // DDS, appendix; without effect while WarmupEpochs is 0
	defaultMomentum             = 0.9 // DDS, appendix
	defaultBeta1, defaultBeta2  = 0.9, 0.999
	defaultEpsilon              = 1e-8 // PyTorch's
	defaultWeightDecay          = 5e-5 // DDS, appendix, for RegNet and ResNe(X)t
	defaultBNMomentum           = 0.1  // PyTorch's and the authors' tool's
	defaultBNEpsilon            = 1e-5
	mostPad, padShare           = 4, 8 // CIFAR practice: 4 pixels at a side of 32; as much for 28 costs networks that train for five epochs more than a percent
	defaultLighting             = 0.1  // DDS, appendix
	defaultRandAugmentMagnitude = 9    // Cubuk et al. 2020, ImageNet with ResNet-50
)

// DefaultRecipe is the recipe of DDS's appendix for a population: 10 epochs of
// SGD with momentum under a cosine per epoch, pad-crop-flip, no warm-up (which
// is for large batches).
func DefaultRecipe() Recipe {
	return Recipe{
		Epochs: defaultEpochs, Batch: defaultBatch, LR: defaultLR,
		Schedule: Cosine, LRUpdate: PerEpoch, Decay: defaultDecay, WarmupFactor: defaultWarmupFactor,
		Optimizer: SGD, Momentum: defaultMomentum, Beta1: defaultBeta1, Beta2: defaultBeta2, Epsilon: defaultEpsilon,
		WeightDecay: defaultWeightDecay, BNMomentum: defaultBNMomentum, BNEpsilon: defaultBNEpsilon,
		Augment: true, Crop: AutoCrop, Flip: true,
		RandAugmentMagnitude: defaultRandAugmentMagnitude,
		Shuffle:              true, EvalEvery: 1,
	}
}

// bnDecay is the weight decay of BN γ and β.
func (r Recipe) bnDecay() float64 { return orElse(r.BNWeightDecay, r.WeightDecay) }

// biasDecay is the weight decay of biases.
func (r Recipe) biasDecay() float64 { return orElse(r.BiasWeightDecay, r.WeightDecay) }

func orElse(p *float64, v float64) float64 {
	if p == nil {
		return v
	}
	return *p
}

// Hash identifies the recipe: results with different hashes are not
// comparable. It is stable across machines and versions: see Identity.
func (r Recipe) Hash() string {
	sum := sha256.Sum256(r.Identity())
	return hex.EncodeToString(sum[:8])
}

// Identity is the canonical encoding of what the recipe says, equal for equal
// recipes: a JSON object of the fields in their order. The fields of version 1
// are always stated. A field that came later carries the tag
// `identity:"omitdefault"` and is stated only where it differs from
// DefaultRecipe, so that it leaves the identities of all recipes without it as they were.
//
// A recipe that freezes tensors says besides how frozen BNs normalise, since they did it by the batch before.
func (r Recipe) Identity() []byte {
	b := canonical(reflect.ValueOf(r), reflect.ValueOf(DefaultRecipe()))
	if r.freezes() {
		b = append(b[:len(b)-1], `,"frozen_bn":"running"}`...)
	}
	return b
}

// canonical encodes a struct as Identity says; def holds its defaults.
func canonical(v, def reflect.Value) []byte {
	b := []byte{'{'}
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		if field.Tag.Get("identity") == "omitdefault" && reflect.DeepEqual(value.Interface(), def.Field(i).Interface()) {
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if strings.Contains(options, "omitempty") && (value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0) {
			continue
		}
		data, err := json.Marshal(value.Interface())
		if err != nil { // a NaN, which Validate refuses
			data = fmt.Appendf(nil, "%q", fmt.Sprint(value.Interface()))
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, name), ':')
		b = append(b, data...)
	}
	return append(b, '}')
}
