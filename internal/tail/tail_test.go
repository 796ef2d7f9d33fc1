package tail

import (
	"fmt"
	"strings"
	"testing"
)

func TestBeginningAndEndAreKept(t *testing.T) {
	var w Writer
	fmt.Fprintln(&w, "panic: first words")
	for i := range 10_000 {
		fmt.Fprintln(&w, "line", i)
	}
	if s := w.String(); len(s) != 2*most || !strings.HasPrefix(s, "panic: first words\n") || !strings.HasSuffix(s, "line 9999\n") {
		t.Errorf("kept %d bytes, %.30q … %q", len(s), s, s[len(s)-20:])
	}
	if l := strings.Split(w.Lines(), "\n"); len(l) != 20 || l[0] != "line 9980" || l[19] != "line 9999" {
		t.Errorf("last lines %q", l)
	}
	w.Reset()
	fmt.Fprint(&w, "anew")
	if w.String() != "anew" || w.Lines() != "anew" {
		t.Errorf("after a reset %q", w.String())
	}
}
