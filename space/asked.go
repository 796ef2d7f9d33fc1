package space

import (
	"bytes"
	"encoding/json"
	"fmt"
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
	dec := json.NewDecoder(bytes.NewReader(data))
	open, err := dec.Token()
	if err != nil || open == nil {
		return err
	}
	if open != json.Delim('{') {
		return fmt.Errorf("the drawn numbers of a network must be an object, not %s", data)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		d := Drawn{Name: name.(string)} // a key of an object
		if err := dec.Decode(&d.Value); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
		*a = append(*a, d)
	}
	return nil
}
