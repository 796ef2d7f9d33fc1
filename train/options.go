package train

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Option describes one field of a recipe, for a command line or a page of help.
type Option struct {
	Key     string // as in a file: "weight_decay"
	Help    string // one line
	Default string // of DefaultRecipe, as in a file
	Switch  bool   // takes true or false
}

// Options lists the fields of a recipe in their order.
func Options() []Option {
	d, help := reflect.ValueOf(DefaultRecipe()), optionHelp()
	var out []Option
	for i, key := range recipeKeys() {
		v := d.Field(i)
		out = append(out, Option{Key: key, Help: help[key], Default: defaultText(key, v), Switch: v.Kind() == reflect.Bool})
	}
	return out
}

func defaultText(key string, v reflect.Value) string {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		if key == "lighting" || key == "pad" {
			return "auto"
		}
		return "weight_decay"
	}
	if key == "activations" {
		return float32Word
	}
	switch v.Kind() {
	case reflect.Float64:
		return strings.Replace(strconv.FormatFloat(v.Float(), 'g', -1, 64), "e-0", "e-", 1)
	case reflect.Slice:
		return "[]"
	}
	return fmt.Sprint(v.Interface())
}

func optionHelp() map[string]string {
	return map[string]string{
		"epochs":                "passes over the training images",
		"batch":                 "images per step",
		"lr":                    "reference learning rate",
		"lr_batch":              "batch for which lr is stated: lr·batch/lr_batch is used; 0: lr as it is",
		"schedule":              "cosine, linear, exponential, step or constant",
		"lr_update":             "change the learning rate every epoch or every step",
		"final_factor":          "learning rate at the end of cosine, linear or exponential, over that at the start",
		"decay_epochs":          "schedule step: epochs at which the learning rate decays, such as [30, 60]",
		"decay":                 "schedule step: what it is multiplied with there",
		"warmup_epochs":         "epochs over which the learning rate grows from warmup_factor of its value",
		"warmup_factor":         "where the warm-up begins",
		"optimizer":             "sgd, adam or adamw",
		"momentum":              "of sgd",
		"nesterov":              "of sgd: look ahead along the momentum",
		"beta1":                 "of adam and adamw: decay of the first moment",
		"beta2":                 "of adam and adamw: decay of the second moment",
		"epsilon":               "of adam and adamw: added to the root of the second moment",
		"clip_norm":             "largest joint L2 norm of the gradients; 0: no clipping",
		"weight_decay":          "of convolution and linear weights",
		"bn_weight_decay":       "of BN scale and shift",
		"bias_weight_decay":     "of the biases of convolutions and linear layers",
		"freeze":                "patterns of tensors that stay as they are, such as stem.*,s1.*; with a BN's scale and shift its statistics, too",
		"layer_rates":           "pattern=factor,…: the learning rate of tensors is multiplied by it",
		"layer_decay":           "the learning rate falls by this factor from block to block, from the head down to the stem; 0: off",
		"bn_momentum":           "weight of a batch in the running BN statistics",
		"bn_epsilon":            "added to the variance in BN",
		"precise_bn":            "training images to recompute BN statistics over before each evaluation; 0: running statistics",
		"zero_gamma":            "start the last BN of each residual branch at scale 0",
		"label_smoothing":       "share of each target that is spread evenly over all classes",
		"mixup":                 "alpha of mixup; 0: off",
		"cutmix":                "alpha of cutmix; 0: off; with mixup, each batch gets one of the two",
		"drop_path":             "drop rate of the last block's residual branch, growing linearly with depth",
		"dropout":               "drop rate before the classifier",
		"ema":                   "decay per step of the averaged weights that are evaluated; 0: off",
		"augment":               "augment the training images, as the following say",
		"crop":                  "auto, none, pad or resized",
		"pad":                   "pixels that crop pad adds on every side; auto: an eighth of the side, at most 4",
		"flip":                  "mirror half of the images left to right",
		"color_jitter":          "brightness, contrast and saturation change by up to this share",
		"lighting":              "standard deviation of PCA lighting; auto: 0.1 for photographs in colour",
		"randaugment":           "random operations per image",
		"randaugment_magnitude": "their strength, 0 to 10",
		"activations":           "float32 or bf16: what a step keeps for its backward pass; bf16 takes a third less memory",
		"shuffle":               "a new order of the training images every epoch",
		"eval_every":            "epochs between evaluations on the validation images; the last is always evaluated",
	}
}
