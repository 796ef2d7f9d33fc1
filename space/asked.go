package space

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Drawn is one drawn number with its name: "w0", "stages[2].width", "recipe.lr".
type Drawn struct {
	Name  string
	Value float64
}

// Asked are the numbers that were drawn for a network, before they were
// adjusted, in the order in which its space draws them. What all stages share
// is one number. In JSON it is one object, in that order: {"depth":12,"w0":24}.
type Asked []Drawn

// Value is the drawn number of that name; false if nothing of that name was drawn.
func (a Asked) Value(name string) (float64, bool) {
	for _, d := range a {
		if d.Name == name {
			return d.Value, true
		}
	}
	return 0, false
}

// MarshalJSON writes the object.
func (a Asked) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, d := range a {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(d.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(d.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads the object; null is nothing.
func (a *Asked) UnmarshalJSON(data []byte) error {
	*a = nil
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	open, err := dec.ReadToken()
	if err != nil || open.Kind() == 'n' {
		return err
	}
	if open.Kind() != '{' {
		return fmt.Errorf("the drawn numbers of a network must be an object, not %s", data)
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		d := Drawn{Name: name.String()}
		value, err := dec.ReadToken()
		if err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		if value.Kind() != '0' {
			return fmt.Errorf("%s: must be a number, not %s", d.Name, value)
		}
		if d.Value, err = value.Float(); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		*a = append(*a, d)
	}
	_, err = dec.ReadToken()
	return err
}
