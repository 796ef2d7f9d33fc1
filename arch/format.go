package arch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"netspace/graph"
)

// field is one field of a spec file, in the order in which files have them.
type field struct {
	name  string
	value any // string, int, float64, bool, []field (a mapping), [][]field (a list) or map[string]any
}

// fields is the one definition of how a spec is written; parse.go reads it
// back. Fields at their default are left out where that reads well.
func (s Spec) fields() []field {
	f := []field{{"family", s.Family()}}
	switch n := s.Network.(type) {
	case RegNet:
		f = appendBlock(f, n.Block)
		f = append(f, field{"depth", n.Depth}, field{"w0", n.W0}, field{"wa", n.WA}, field{"wm", n.WM})
		f = appendGroups(f, n.Block.Has(), n.Bottleneck, n.GroupWidth, func() int { return n.adjusted().GroupWidth })
		if n.Stride != 0 && n.Stride != defaultStride {
			f = append(f, field{"stride", n.Stride})
		}
		f = n.append(f, false)
	case AnyNet:
		f = appendBlock(f, n.Block)
		f = n.append(f, false)
		if n.Stride1x1 {
			f = append(f, field{"stride_1x1", true})
		}
		stages := make([][]field, len(n.Stages))
		for i, st := range n.Stages {
			stages[i] = appendGroups([]field{{"depth", st.Depth}, {"width", st.Width}, {"stride", st.Stride}}, n.Block.Has(), st.Bottleneck, st.GroupWidth, func() int { return n.Block.Has().adjusted(st, n.Block.commonOf(n.Common).Radix).GroupWidth })
		}
		f = append(f, field{"stages", stages})
	case EffNet:
		f = n.append(f, true)
		stages := make([][]field, len(n.Stages))
		for i, st := range n.Stages {
			stages[i] = []field{{"depth", st.Depth}, {"width", st.Width}, {"stride", st.Stride}, {"expand", st.Expand}, {"kernel", st.Kernel}}
		}
		f = append(f, field{"stages", stages})
	}
	for _, o := range []field{{"resolution", s.Resolution}, {"channels", s.Channels}, {"classes", s.Classes}} {
		if o.value != 0 {
			f = append(f, o)
		}
	}
	if s.Recipe != nil {
		f = append(f, field{"recipe", s.Recipe})
	}
	return f
}

func appendBlock(f []field, b BlockType) []field {
	if b == Bottleneck {
		return f
	}
	return append(f, field{"block", b.String()})
}

// appendGroups writes the bottleneck ratio and the group width where the blocks
// have them. A group width of 0 (one group) is written as the width that it
// means, which full gives.
func appendGroups(f []field, has Has, b float64, g int, full func() int) []field {
	if has.Bottleneck {
		f = append(f, field{"bottleneck", cmp.Or(b, 1)})
	}
	if has.Groups {
		if g == 0 {
			g = full()
		}
		f = append(f, field{"group_width", g})
	}
	return f
}

// append writes what all families have; all says to write also what is at its default.
func (c Common) append(f []field, all bool) []field {
	f = append(f, field{"stem", []field{{"type", c.Stem.Type.String()}, {"width", c.Stem.Width}}})
	if c.SE != 0 || all {
		f = append(f, field{"se", c.SE})
	}
	if c.Radix != 0 {
		f = append(f, field{"radix", c.Radix})
	}
	if c.Activation != graph.ReLU || all {
		f = append(f, field{"activation", c.Activation.String()})
	}
	if c.HeadWidth != 0 || all {
		f = append(f, field{"head_width", c.HeadWidth})
	}
	if c.DropPath != 0 {
		f = append(f, field{"drop_path", c.DropPath})
	}
	if c.Dropout != 0 {
		f = append(f, field{"dropout", c.Dropout})
	}
	return f
}

// MarshalJSON writes the spec file; a spec without a network is null.
func (s Spec) MarshalJSON() ([]byte, error) {
	if s.Network == nil {
		return []byte("null"), nil
	}
	return appendJSON(nil, s.fields())
}

func appendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case []field:
		for i, f := range v {
			b = append(b, "{,"[min(i, 1)])
			b = strconv.AppendQuote(b, f.name)
			b = append(b, ':')
			var err error
			if b, err = appendJSON(b, f.value); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case [][]field:
		for i, f := range v {
			b = append(b, "[,"[min(i, 1)])
			var err error
			if b, err = appendJSON(b, f); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write spec: %w", err)
	}
	return append(b, data...), nil
}

// UnmarshalJSON reads a spec as ParseSpec does; null leaves it without a network.
func (s *Spec) UnmarshalJSON(data []byte) error { return s.unmarshal(data) }

// UnmarshalYAML reads a spec as ParseSpec does.
func (s *Spec) UnmarshalYAML(data []byte) error { return s.unmarshal(data) }

func (s *Spec) unmarshal(data []byte) error {
	if strings.TrimSpace(string(data)) == "null" {
		*s = Spec{}
		return nil
	}
	spec, err := ParseSpec(data, "")
	if err != nil {
		return err
	}
	*s = spec
	return nil
}

// MarshalYAML writes the spec file, one line per field and stage.
func (s Spec) MarshalYAML() ([]byte, error) {
	if s.Network == nil {
		return []byte("null\n"), nil
	}
	var b strings.Builder
	for _, f := range s.fields() {
		switch v := f.value.(type) {
		case [][]field:
			fmt.Fprintf(&b, "%s:\n", f.name)
			for _, item := range v {
				fmt.Fprintf(&b, "  - %s\n", flow(item))
			}
		case map[string]any:
			text, err := yaml.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("write spec: %s: %w", f.name, err)
			}
			fmt.Fprintf(&b, "%s:\n", f.name)
			for line := range strings.Lines(string(text)) {
				b.WriteString("  " + line)
			}
		default:
			fmt.Fprintf(&b, "%s: %s\n", f.name, flow(v))
		}
	}
	return []byte(b.String()), nil
}

// flow writes a value on one line.
func flow(v any) string {
	switch v := v.(type) {
	case []field:
		parts := make([]string, len(v))
		for i, f := range v {
			parts[i] = f.name + ": " + flow(f.value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case float64:
		return number(v)
	}
	return fmt.Sprint(v)
}
