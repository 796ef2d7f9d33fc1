package study

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/strict"
)

// Whatever is in a study file, it is refused with its faults, or its settings
// are kept in journals as they are.
func FuzzParseConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range append(files, "../examples/demo.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig(data, "study.yaml")
		if err != nil {
			var faults *strict.Error
			if !errors.As(err, &faults) || err.Error() == "" {
				t.Fatalf("%q is a %T", err, err)
			}
			return
		}
		text, err := json.Marshal(c.Settings)
		if err != nil {
			t.Fatal(err)
		}
		var kept Settings
		if err := json.Unmarshal(text, &kept); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := json.Marshal(kept)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(again)); diff != "" {
			t.Error(diff)
		}
	})
}

// Whatever is in a journal, it is read up to a position or refused; what lies
// before the position reads the same without the rest, which a crash may have
// torn, and its records are written as they were read.
func FuzzJournal(f *testing.F) {
	files, err := filepath.Glob("testdata/v1/kept/journal/*.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		lines := bytes.SplitAfter(data, []byte("\n"))
		f.Add(bytes.Join(lines[:min(4, len(lines))], nil), false)
		for _, line := range lines {
			if len(line) > crcLength && len(line) < 4096 {
				f.Add(append([]byte(`"journal":{"version":1,"host":"h"}}`+"\n"), line[crcLength:]...), true)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, sums bool) {
		if sums { // checksums that no mutation finds
			var with []byte
			for line := range bytes.Lines(data) {
				body := bytes.TrimSuffix(line, []byte("\n"))
				with = fmt.Appendf(with, `%s%08x",%s`, crcPrefix, crc32.Checksum(body, castagnoli), line)
			}
			data = with
		}
		read := func(data []byte) (position, []record, error) {
			var records []record
			at, err := readRecords(bytes.NewReader(data), "j", position{}, func(r record) error {
				records = append(records, r)
				return nil
			})
			return at, records, err
		}
		at, records, err := read(data)
		if err != nil {
			if err.Error() == "" {
				t.Error("no message")
			}
			return
		}
		before, same, err := read(data[:at.bytes])
		if err != nil || before != at || len(same) != len(records) || at.lines < len(records) {
			t.Fatalf("%d records up to %+v; without what follows %d up to %+v, %v", len(records), at, len(same), before, err)
		}
		var written []byte
		h, err := readHistory(t.TempDir(), "h")
		if err != nil {
			t.Fatal(err)
		}
		follow := &follower{file: "j"}
		for _, r := range records {
			line, err := encodeRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			written = append(written, line...)
			if err := h.add(follow, r); err != nil && err.Error() == "" {
				t.Error("no message")
			}
		}
		_, again, err := read(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if a, b := asJSON(t, records), asJSON(t, again); a != b {
			t.Error(cmp.Diff(a, b))
		}
		if h.study != nil {
			for _, trials := range h.found {
				for _, r := range trials {
					h.trial(r)
				}
			}
		}
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
