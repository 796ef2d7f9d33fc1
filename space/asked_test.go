package space

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAskedKeepsItsOrder(t *testing.T) {
	want := Asked{{"w0", 24}, {"depth", 12}, {"recipe.lr", 1e-05}, {"stages[1].width", 2.5}}
	data, err := json.Marshal(want)
	if err != nil || string(data) != `{"w0":24,"depth":12,"recipe.lr":0.00001,"stages[1].width":2.5}` {
		t.Fatalf("%s, %v", data, err)
	}
	var got Asked
	if err := json.Unmarshal(data, &got); err != nil || !cmp.Equal(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	if v, ok := got.Value("depth"); !ok || v != 12 {
		t.Errorf("depth %v, %v", v, ok)
	}
	for _, bad := range []string{`[1]`, `{"a":"b"}`, `3`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s is read as %v", bad, got)
		}
	}
}
