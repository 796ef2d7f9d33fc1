package arch

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestZoo compares every model with its published, rounded complexity.
func TestZoo(t *testing.T) {
	zoo := Zoo()
	if len(zoo) != 40 {
		t.Fatalf("%d models, want 40", len(zoo))
	}
	names := map[string]string{}
	for _, m := range zoo {
		k, err := m.Spec.Complexity(Input{})
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		got := Rounded{oneDecimal(k.Flops, 1e9), oneDecimal(k.Params, 1e6), oneDecimal(k.Acts, 1e6)}
		if got != m.Rounded {
			t.Errorf("%s: counted %+v, published %+v (exactly %+v)", m.Name, got, m.Rounded, k)
		}
		if r := m.Spec.Input().Width; r != m.Resolution {
			t.Errorf("%s: the spec means resolution %d, the model %d", m.Name, r, m.Resolution)
		}
		if m.PublishedError < 15 || m.PublishedError > 35 || m.Training.Batch == 0 {
			t.Errorf("%s: implausible %+v", m.Name, m)
		}
		for _, n := range append([]string{m.Name}, m.Aliases...) {
			if other, taken := names[normal(n)]; taken && other != m.Name {
				t.Errorf("%s is a name of %s and of %s", n, other, m.Name)
			}
			names[normal(n)] = m.Name
		}
	}
}

func oneDecimal(n int64, unit float64) float64 { return math.Round(float64(n)/unit*10) / 10 }

func TestNames(t *testing.T) {
	for alias, want := range map[string]string{
		"RegNetY-3.2GF": "RegNetY-3.2GF", "regnet_y_3_2gf": "RegNetY-3.2GF", "regnety_032": "RegNetY-3.2GF", "REGNETY_032": "RegNetY-3.2GF",
		"regnet_x_400mf": "RegNetX-400MF", "regnetx_004": "RegNetX-400MF", "regnet_x_32gf": "RegNetX-32GF", "regnetx_320": "RegNetX-32GF",
		"regnet_x_8gf": "RegNetX-8.0GF", "RegNetX-8GF": "RegNetX-8.0GF", "regnetx_080": "RegNetX-8.0GF", "regnety_002": "RegNetY-200MF",
		"resnet50": "ResNet-50", "resnext50_32x4d": "ResNeXt-50", "ResNeXt-50-32x4d": "ResNeXt-50", "resnet152": "ResNet-152",
		"efficientnet_b0": "EfficientNet-B0", "EfficientNet-b5": "EfficientNet-B5",
	} {
		m, ok := Published(alias)
		if !ok || m.Name != want {
			t.Errorf("%s is %q, want %s", alias, m.Name, want)
		}
	}
}

func TestUnknownModel(t *testing.T) {
	for model, want := range map[string]string{
		"regnetx_005":   "regnetx_004",
		"RegNetX-450MF": "RegNetX-400MF",
		"resnet51":      "resnet50",
		"zzzzzzzzzzzzz": "see netspace models",
		"missing.yaml":  "there is no such file",
	} {
		_, err := Lookup(model)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", model, err, want)
		}
	}
}

func ExampleLookup() {
	spec, _ := Lookup("regnetx_004")
	k, _ := spec.Complexity(Input{})
	fmt.Println(k.Flops, k.Params, k.Acts)
	// Output: 397678568 5157512 3143272
}
