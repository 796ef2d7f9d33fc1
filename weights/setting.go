package weights

import (
	"encoding/json"
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
	keyClasses   = "classes" // a JSON list
	keySize      = "size"    // height and width
	keySide      = "side"
)

// Setting is what, beside the tensors, a network must be run with to give what
// it was trained for.
type Setting struct {
	Mean, Std []float32 // of the images, per channel: they are normalised to (x-Mean)/Std, x in [0, 1]; nil if not stated
	BNEpsilon float64   // added to the variance in BN; 0 if not stated
	Classes   []string  // their names; nil if not stated
	// Height and Width of the images in pixels; 0 if not stated. With a Side they are the centre of
	// images whose shorter side was resized to that.
	Height, Width, Side int
}

// Put states what of s is known in a file's metadata.
func (s Setting) Put(metadata map[string]string) {
	if s.Mean != nil {
		metadata[keyMean] = fmt.Sprint(s.Mean)
		metadata[keyStd] = fmt.Sprint(s.Std)
	}
	if s.BNEpsilon != 0 {
		metadata[keyBNEpsilon] = fmt.Sprint(s.BNEpsilon)
	}
	if s.Classes != nil {
		names, err := json.Marshal(s.Classes)
		if err == nil { // strings have a text
			metadata[keyClasses] = string(names)
		}
	}
	if s.Height != 0 {
		metadata[keySize] = fmt.Sprint([]int{s.Height, s.Width})
	}
	if s.Side != 0 {
		metadata[keySide] = strconv.Itoa(s.Side)
	}
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
	if text, stated := f.Metadata[keyClasses]; stated {
		if err := json.Unmarshal([]byte(text), &s.Classes); err != nil {
			return Setting{}, fmt.Errorf("its metadata state %s %q, which is no list of names", keyClasses, text)
		}
	}
	size, err := floats(f.Metadata, keySize)
	if err != nil {
		return Setting{}, err
	}
	if size != nil {
		if len(size) != 2 || !isSide(size[0]) || !isSide(size[1]) {
			return Setting{}, fmt.Errorf("its metadata state %s %q, which are no height and width in pixels", keySize, f.Metadata[keySize])
		}
		s.Height, s.Width = int(size[0]), int(size[1])
	}
	if text, stated := f.Metadata[keySide]; stated {
		if s.Side, err = strconv.Atoi(text); err != nil || s.Side < min(s.Height, s.Width) || s.Side > maxSide {
			return Setting{}, fmt.Errorf("its metadata state %s %q, which is no number of pixels that images of %d×%d are cut out of", keySide, text, s.Height, s.Width)
		}
	}
	return s, nil
}

// maxSide bounds the size of images that a file can state.
const maxSide = 1 << 14

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

// isSide says whether x is a number of pixels.
func isSide(x float32) bool { return x >= 1 && x <= maxSide && x == float32(int(x)) }
