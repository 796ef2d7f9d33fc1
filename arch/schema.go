package arch

import (
	"encoding/json"
	"strings"
)

// SchemaID is the name of the JSON Schema of spec files.
const SchemaID = "urn:netspace:spec"

// Schema is the JSON Schema (draft 2020-12) of spec files, for editors. It is
// made from the limits and words that ParseSpec checks. What only the numbers
// together decide, such as whether widths stay in range, it does not say.
func Schema() ([]byte, error) {
	type m = map[string]any
	whole := func(lo, hi int, about string) m {
		return m{"type": "integer", "minimum": lo, "maximum": hi, "description": about}
	}
	word := func(words []string, def, about string) m {
		return m{"enum": words, "default": def, "description": about}
	}
	object := func(required []string, properties m) m {
		return m{"type": "object", "required": required, "properties": properties, "additionalProperties": false}
	}
	ratio := m{"type": "number", "minimum": 1.0 / 64, "maximum": 64, "default": 1,
		"description": "b: width / width of the 3×3; a whole number, or 1 over one for an inverted bottleneck"}
	group := whole(1, maxWidth, "g: channels of one group of the 3×3; cut to the width of the 3×3")
	radix := whole(1, MaxRadix, "splits of the 3×3, which attention weighs; group widths become multiples of it")
	radix["default"] = DefaultRadix
	stride := whole(1, maxStride, "of the first block of a stage")
	strideOr := func(def int) m {
		s := whole(1, maxStride, stride["description"].(string))
		s["default"] = def
		return s
	}
	rate := func(about string) m {
		return m{"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0, "description": about}
	}
	blocks := whole(1, maxDepth, "blocks of the stage")
	width := whole(1, maxWidth, "output channels of each block")

	// What all families share; se, activation and head_width differ in their defaults.
	common := func(family, act string, se float64, head int) m {
		h := whole(0, maxWidth, "channels of the 1×1 convolution before the pooling; 0: none")
		h["default"] = head
		return m{
			"family": m{"const": family},
			"stem": object([]string{}, m{
				"type":  word(stemNames[:], stemNames[SimpleStem], "simple: 3×3, stride 2; cifar: 3×3, stride 1; resnet: 7×7, stride 2, and max-pool; deep: three 3×3, the first of stride 2 and the first two of half the width, and max-pool"),
				"width": m{"type": "integer", "minimum": 1, "maximum": maxWidth, "default": defaultStemWidth, "description": "output channels"},
			}),
			"se":         m{"type": "number", "minimum": 0, "maximum": 1, "default": se, "description": "squeeze ratio to the block's input width; 0: none"},
			"activation": word([]string{"relu", "silu", "swish"}, act, "silu and swish are the same"),
			"head_width": h,
			"drop_path":  rate("of the last block, growing linearly from 0 with depth"),
			"dropout":    rate("before the classifier"),
			"resolution": whole(1, maxResolution, "pixels of the images' sides"),
			"channels":   whole(1, maxChannels, "of the images"),
			"classes":    whole(1, maxClasses, "outputs"),
			"recipe":     m{"type": "object", "description": "how to train it: fields of a training recipe"},
		}
	}
	with := func(base m, more m) m {
		for k, v := range more {
			base[k] = v
		}
		return base
	}
	var about []string
	for _, b := range Blocks() {
		about = append(about, b.String()+": "+b.About())
	}
	block := word(blockWords(nil), Bottleneck.String(), strings.Join(about, "; "))
	// when gives the rules of a fact: of the blocks that have it, also by default, and of the others.
	when := func(fact func(Has) bool, then, otherwise m) m {
		rule := m{"if": m{"properties": m{"block": m{"enum": blockWords(fact)}}}, "else": m{"properties": otherwise}}
		if then != nil {
			rule["then"] = then
		}
		return rule
	}
	shared := []m{
		when(func(h Has) bool { return h.SE }, nil, m{"se": m{"const": 0}}),
		when(func(h Has) bool { return h.Radix }, nil, m{"radix": false}),
		when(func(h Has) bool { return h.Branch }, nil, m{"drop_path": m{"const": 0}}),
	}
	stagesWith := func(items m) m { return m{"stages": m{"items": items}} }

	regnet := object([]string{"family", "depth", "w0", "wa", "wm"}, with(common("regnet", "relu", 0, 0), m{
		"block":       block,
		"depth":       whole(1, maxDepth, "blocks of the network"),
		"w0":          m{"type": "number", "exclusiveMinimum": 0, "maximum": maxWidth, "description": "initial width"},
		"wa":          m{"type": "number", "minimum": 0, "maximum": maxWidth, "description": "slope of the widths"},
		"wm":          m{"type": "number", "exclusiveMinimum": 1, "maximum": maxWidth, "description": "ratio of neighbouring widths"},
		"stride":      strideOr(defaultStride),
		"group_width": group, "bottleneck": ratio, "radix": radix,
	}))
	regnet["allOf"] = append([]m{
		when(func(h Has) bool { return h.Groups }, m{"required": []string{"group_width"}}, m{"group_width": false}),
		when(func(h Has) bool { return h.Bottleneck }, nil, m{"bottleneck": false}),
	}, shared...)

	stage := object([]string{"depth", "width"}, m{"depth": blocks, "width": width, "stride": strideOr(defaultStride), "group_width": group, "bottleneck": ratio})
	anynet := object([]string{"family", "stages"}, with(common("anynet", "relu", 0, 0), m{
		"block":      block,
		"radix":      radix,
		"stride_1x1": m{"type": "boolean", "default": false, "description": "blocks stride in their first 1×1, not in the 3×3"},
		"stages":     m{"type": "array", "minItems": 1, "items": stage},
	}))
	anynet["allOf"] = append([]m{
		when(func(h Has) bool { return h.Groups }, m{"properties": stagesWith(m{"required": []string{"group_width"}})}, stagesWith(m{"properties": m{"group_width": false}})),
		when(func(h Has) bool { return h.Bottleneck }, nil, stagesWith(m{"properties": m{"bottleneck": false}})),
		when(func(h Has) bool { return h.Stride1x1 }, nil, m{"stride_1x1": m{"const": false}}),
	}, shared...)

	effnet := object([]string{"family", "stages"}, with(common("effnet", "silu", defaultEffSE, defaultEffHead), m{
		"stages": m{"type": "array", "minItems": 1, "items": object([]string{"depth", "width", "stride", "expand", "kernel"}, m{
			"depth": blocks, "width": width, "stride": stride,
			"expand": m{"type": "number", "minimum": 1, "maximum": 64, "description": "channels of the depthwise convolution over those of the block's input"},
			"kernel": m{"type": "integer", "minimum": 1, "maximum": maxKernel, "not": m{"multipleOf": 2}, "description": "of the depthwise convolution"},
		})},
	}))

	is := func(family string) m {
		return m{"properties": m{"family": m{"const": family}}, "required": []string{"family"}}
	}
	schema := m{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SchemaID,
		"title": "netspace network spec", "type": "object", "required": []string{"family"},
		"properties": m{"family": m{"enum": families[:]}},
		// One after the other rather than oneOf, so that editors complain about the family that is meant.
		"allOf": []m{{"if": is("regnet"), "then": regnet}, {"if": is("anynet"), "then": anynet}, {"if": is("effnet"), "then": effnet}},
	}
	return json.MarshalIndent(schema, "", "  ")
}
