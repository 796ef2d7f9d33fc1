package arch

import (
	"os"
	"strings"
	"testing"
)

// TestKeyGolden: a trial's identity is made of its network's key, so that the
// keys of testdata/keys.golden stay.
func TestKeyGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/keys.golden")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		spec, key, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		s, err := Lookup(spec)
		if strings.HasPrefix(spec, "{") {
			s, err = ParseSpec([]byte(spec), "")
		}
		if err != nil {
			t.Errorf("%s: %v", spec, err)
		} else if got := s.Key(); got != key {
			t.Errorf("%s has key\n%s, want\n%s", spec, got, key)
		}
	}
}
