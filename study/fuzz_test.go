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

// Whatever is in a journal, it is read, and what is damaged is set aside; what lies
// before the torn end reads the same without it; a line means the same whether it is glanced at or
// decoded; and records are written as they were read.
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
		type lineAt struct {
			at   position
			line string
		}
		read := func(data []byte) (end position, lines []lineAt, bad int) {
			end, err := scanJournal(t.Context(), bytes.NewReader(data), "j", position{}, func(at position, line []byte) error {
				lines = append(lines, lineAt{at, string(line)})
				return nil
			}, func(position, string) { bad++ })
			if err != nil {
				t.Fatal(err)
			}
			return end, lines, bad
		}
		end, lines, bad := read(data)
		before, same, badBefore := read(data[:end.bytes])
		if before != end || len(same) != len(lines) || bad != badBefore || end.lines != len(lines)+bad || end.bytes != int64(bytes.LastIndexByte(data, '\n')+1) {
			t.Fatalf("%d lines up to %+v; without what follows %d up to %+v", len(lines), end, len(same), before)
		}
		glanced, decoded := newHistory(t), newHistory(t)
		for i, l := range lines {
			r := ref{length: int32(len(l.line)), offset: l.at.bytes}
			whole, unreadable := decodeRecord([]byte(l.line))
			err := glanced.add(glanced.order[0], r, []byte(l.line))
			if unreadable != nil {
				continue // what a glance does not see
			}
			_, at, _ := split([]byte(l.line))
			if slow := decoded.addRecord(decoded.order[0], r, at, whole); (slow == nil) != (err == nil) {
				t.Fatalf("line %d: %v, %v", i, err, slow)
			}
			written, err := encodeRecord(whole)
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeRecord(bytes.TrimSuffix(written, []byte("\n")))
			if err != nil {
				t.Fatalf("%s: %v", written, err)
			}
			if a, b := asJSON(t, whole), asJSON(t, again); a != b {
				t.Error(cmp.Diff(a, b))
			}
			for id, o := range decoded.outcomes {
				g := glanced.outcomes[id]
				if g == nil || g.state() != o.state() && g.done == nil || o.done != nil && (g.done == nil || *g.done != *o.done) && g.done.at > o.done.at {
					t.Fatalf("line %d: trial %s is %+v at a glance and %+v", i, id, g, o)
				}
			}
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, journalDir, "j-0.jsonl"), string(data))
		write(t, filepath.Join(dir, fileName), "name: x\ndata: {name: y}\nrecipe: {epochs: 3}\nsamples: 4\nspaces: [anynetx-a, regnetx]\n")
		s, err := Open(t.Context(), dir)
		if err != nil {
			if err.Error() == "" {
				t.Error("no message")
			}
			return
		}
		s.Status()
		if _, err := s.Populations(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, d := range s.Damage() {
			if d.Reason == "" {
				t.Errorf("%+v", d)
			}
		}
	})
}

// newHistory is that of one journal without lines.
func newHistory(t *testing.T) *history {
	t.Helper()
	h, err := readHistory(t.Context(), t.TempDir(), "h")
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{file: "j"}
	h.files["j"], h.order = f, []*follower{f}
	return h
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
