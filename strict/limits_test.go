package strict

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// Nothing of a size that is read costs much, whatever it consists of. Memory is
// counted; time in proportion to it is what the parsers promise, and a parser that
// does not keep to it makes this test run into its limit.
func TestAnythingIsReadOrRefusedCheaply(t *testing.T) {
	pieces := []string{
		"[", "{", "- ", "? ", ": ", ",", "&a ", "*a ", "!t ", "|\n", ">\n", "\"", "'", "#\n", "%\n", "\t", "\n", "\x00", "\xff", "é", "\U0001F600",
		"a: ", "a: 1\n", "- a\n", "{a: 1}, ", "[],", "{},", "-\n", "--- \n", "...\n", "a,", "\"a\",", "a: {b: 1}\n", "- - ", "? a\n", "x", "<<: ",
		"[a: ", "{a: [", "'a' ", "a: |\n b\n", "k: &a [*a]\n", " a: 1\n", "1,", "null,", "{\"a\":", "0", "1e",
	}
	for _, before := range []string{"", "{", "a: ["} {
		for _, piece := range pieces {
			text := before + strings.Repeat(piece, (MaxSize-len(before))/len(piece))
			cheap(t, fmt.Sprintf("%q and then %q", before, piece), text)
		}
	}
	many := func(line func(i int) string) string {
		var b strings.Builder
		for i := 0; b.Len() < MaxSize-100; i++ {
			b.WriteString(line(i))
		}
		return b.String()
	}
	long := strings.Repeat("k", 1000)
	cheap(t, "different keys", many(func(i int) string { return fmt.Sprintf("k%d: 1\n", i) }))
	cheap(t, "long keys within each other", strings.Repeat("{"+long+": ", maxNesting-2)+"["+strings.Repeat("1,", 90_000)+"]"+strings.Repeat("}", maxNesting-2))
	cheap(t, "JSON of one key", `{"a":[`+strings.Repeat(`{"`+long+`":[1]},`, 400)+`1]}`)
	cheap(t, "JSON of the same key", `{"a":1`+strings.Repeat(`,"a":1`, 80_000)+`}`)
	cheap(t, "anchors", many(func(i int) string { return fmt.Sprintf("a%d: &a%d [*a%d]\n", i+1, i+1, i) }))
	if _, err := Parse(make([]byte, MaxSize+1), "f"); err == nil || !strings.Contains(err.Error(), "at most 524288 are read") {
		t.Errorf("a larger file: %v", err)
	}
}

// cheap reads a text and all that a reader may ask for, and looks at what is allocated.
func cheap(t *testing.T, name, text string) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	doc, err := Parse([]byte(text), "f.yaml")
	if err == nil {
		if root := doc.Root(); root != nil {
			root.Float("a", new(float64))
			root.Maps("c")
			root.Require("depth", "width")
			root.Finish()
		}
		err = doc.Err()
	}
	runtime.ReadMemStats(&after)
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 200 {
		t.Errorf("%s: %d MB", name, mb)
	}
	if err == nil {
		return // some of it is a valid file
	}
	message := err.Error()
	if strings.Count(message, "\n") > maxPrinted || len(message) > 50_000 || message == "" {
		t.Errorf("%s: a message of %d bytes and %d lines", name, len(message), strings.Count(message, "\n"))
	}
	if strings.ContainsFunc(message, func(r rune) bool { return r != '\n' && r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		t.Errorf("%s: control characters in %.200q", name, message)
	}
}

func TestFaultsArePrintedUpToTwenty(t *testing.T) {
	doc, err := Parse([]byte(strings.Repeat("field: [\"\\e[31m\"]\n", 30)), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(doc.Err().Error(), "\n")
	if len(lines) != 21 || lines[20] != "and 9 more" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	doc, err = Parse([]byte("a: \"\\e[31m\\0 red\"\nb: "+strings.Repeat("long", 1000)), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc.Root().Int("a", new(int))
	doc.Root().Int("b", new(int))
	want := "f.yaml:1: a: \"\\x1b[31m\\x00 red\": must be a whole number\nf.yaml:2: b: " + strings.Repeat("long", 18) + "lon…" + "glong" + strings.Repeat("long", 5)
	if got := doc.Err().Error(); !strings.HasPrefix(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}
