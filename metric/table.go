package metric

import "encoding/json"

// Table holds something for each metric, by ID:
//
//	metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}
//
// In JSON it is an object in the order of the metrics, {"flops":…,"params":…},
// without what says that it IsZero.
type Table[T any] [Number]T

// Bounds hold a range for each metric; the zero Range bounds nothing.
type Bounds = Table[Range]

// MarshalJSON writes the object.
func (t Table[T]) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, v := range t {
		if z, ok := any(v).(interface{ IsZero() bool }); ok && z.IsZero() {
			continue
		}
		value, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(b, `"`+table[i].Name+`":`...), value...)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads the object; what it does not name becomes zero, and what is no metric is passed over.
func (t *Table[T]) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	*t = Table[T]{}
	for i := range t {
		if v, ok := fields[table[i].Name]; ok {
			if err := json.Unmarshal(v, &t[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
