package weights

import (
	"fmt"
	"strconv"
	"strings"

	"netspace/weights/safetensors"
)

// The keys of a setting in a file's metadata.
const (
	keyMean      = "mean"
	keyStd       = "std"
	keyBNEpsilon = "bn_epsilon"
)

// Setting is what, beside the tensors, a network must be run with to give what
// it was trained for.
type Setting struct {
	Mean, Std []float32 // of the images, per channel: they are normalised to (x-Mean)/Std, x in [0, 1]; nil if not stated
	BNEpsilon float64   // added to the variance in BN; 0 if not stated
}

// Put states s in a file's metadata.
func (s Setting) Put(metadata map[string]string) {
	metadata[keyMean] = fmt.Sprint(s.Mean)
	metadata[keyStd] = fmt.Sprint(s.Std)
	metadata[keyBNEpsilon] = fmt.Sprint(s.BNEpsilon)
}

// ReadSetting reads what Put stated. It is an error where a file states what is no number.
func ReadSetting(f *safetensors.File) (s Setting, err error) {
	if s.Mean, err = floats(f.Metadata, keyMean); err != nil {
		return Setting{}, err
	}
	if s.Std, err = floats(f.Metadata, keyStd); err != nil {
		return Setting{}, err
	}
	if text, stated := f.Metadata[keyBNEpsilon]; stated {
		if s.BNEpsilon, err = strconv.ParseFloat(text, 64); err != nil {
			return Setting{}, fmt.Errorf("its metadata state %s %q, which is no number", keyBNEpsilon, text)
		}
	}
	return s, nil
}

// floats reads numbers as Put writes them: [0.5 0.25].
func floats(metadata map[string]string, key string) ([]float32, error) {
	text, stated := metadata[key]
	if !stated {
		return nil, nil
	}
	values := []float32{}
	for _, w := range strings.Fields(strings.Trim(text, "[]")) {
		v, err := strconv.ParseFloat(w, 32)
		if err != nil {
			return nil, fmt.Errorf("its metadata state %s %q, which are no numbers", key, text)
		}
		values = append(values, float32(v))
	}
	return values, nil
}
