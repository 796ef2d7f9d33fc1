package study

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// newJournal makes a study folder with a journal of three synced records
// behind its header and gives the file.
func newJournal(t *testing.T) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, journalDir), 0o755); err != nil {
		t.Fatal(err)
	}
	j, err := openFreeJournal(dir, "here")
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i := 1; i <= 3; i++ {
		if err := j.append(true, lostOf("t", i)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, j.f.Name()
}

func lostOf(trial string, attempt int) record {
	return record{Lost: &lostRecord{Trial: trial, Attempt: attempt, Reason: "test"}}
}

// readJournal reads a journal from its beginning.
func readJournal(path string, visit func(record) error) (position, error) {
	f, err := os.Open(path)
	if err != nil {
		return position{}, err
	}
	defer f.Close()
	return readRecords(f, path, position{}, visit)
}

// attempts reads the attempts of the lost records of a journal.
func attempts(path string) ([]int, error) {
	var got []int
	_, err := readJournal(path, func(r record) error {
		if r.Lost != nil {
			got = append(got, r.Lost.Attempt)
		}
		return nil
	})
	return got, err
}

func TestJournalRoundTrip(t *testing.T) {
	dir, path := newJournal(t)
	if got, err := attempts(path); err != nil || !cmp.Equal(got, []int{1, 2, 3}) {
		t.Fatalf("read %v, %v", got, err)
	}
	// A closed journal is free again and goes on in the same file.
	j, err := openFreeJournal(dir, "here")
	if err != nil || j.f.Name() != path {
		t.Fatalf("opened %v, %v; want %s", j, err, path)
	}
	if err := j.append(false, lostOf("t", 4), lostOf("t", 5)); err != nil {
		t.Fatal(err)
	}
	// While it is open the next writer gets another file.
	other, err := openFreeJournal(dir, "here")
	if err != nil || other.f.Name() == path {
		t.Fatalf("second writer got %v, %v; want another file than %s", other, err, path)
	}
	other.Close()
	j.Close()
	if got, err := attempts(path); err != nil || !cmp.Equal(got, []int{1, 2, 3, 4, 5}) {
		t.Fatalf("read %v, %v", got, err)
	}
}

// What can happen to a file, what reading then gives, and what is there after
// the next writer has appended one record (attempt 9).
func TestJournalCorruption(t *testing.T) {
	lines := func(data []byte) [][]byte { return bytes.SplitAfter(data, []byte("\n")) }
	join := func(ls ...[]byte) []byte { return bytes.Join(ls, nil) }
	flip := func(line []byte, at int) []byte {
		line = bytes.Clone(line)
		line[at] ^= 1
		return line
	}
	cases := []struct {
		name    string
		damage  func(data []byte) []byte
		want    []int // attempts read, if readable
		corrupt int   // line of the CorruptionError, 0: none
		after   []int // attempts after crash-then-append, if readable
	}{
		{name: "whole", damage: func(d []byte) []byte { return d }, want: []int{1, 2, 3}, after: []int{1, 2, 3, 9}},
		{name: "empty file", damage: func([]byte) []byte { return nil }, after: []int{9}},
		{name: "torn header", damage: func(d []byte) []byte { return d[:10] }, after: []int{9}},
		{name: "last line end missing", damage: func(d []byte) []byte { return d[:len(d)-1] }, want: []int{1, 2}, after: []int{1, 2, 9}},
		{name: "last line torn", damage: func(d []byte) []byte { return d[:len(d)-30] }, want: []int{1, 2}, after: []int{1, 2, 9}},
		{name: "torn after two bytes", damage: func(d []byte) []byte { return join(d, []byte("{\"")) }, want: []int{1, 2, 3}, after: []int{1, 2, 3, 9}},
		{name: "zeros at the end", damage: func(d []byte) []byte { return join(d, make([]byte, 9000)) }, want: []int{1, 2, 3}, after: []int{1, 2, 3, 9}},
		{name: "garbage lines at the end", damage: func(d []byte) []byte { return join(d, []byte("\n\nxx\n{}\n")) }, want: []int{1, 2, 3}, after: []int{1, 2, 3, 9}},
		{name: "bit flip in the last line", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], l[2], flip(l[3], 60))
		}, want: []int{1, 2}, after: []int{1, 2, 9}},
		{name: "bit flip in the middle", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], flip(l[2], 60), l[3])
		}, corrupt: 3},
		{name: "bit flip in a checksum", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], flip(l[1], len(crcPrefix)), l[2], l[3])
		}, corrupt: 2},
		{name: "line end lost in the middle", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1][:len(l[1])-1], l[2], l[3])
		}, corrupt: 2},
		{name: "append after a torn line, unrepaired", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], l[2][:20], []byte("\n"), l[3])
		}, corrupt: 3},
		{name: "header damaged", damage: func(d []byte) []byte {
			l := lines(d)
			return join(flip(l[0], 40), l[1], l[2], l[3])
		}, corrupt: 1},
		{name: "header missing", damage: func(d []byte) []byte { return join(lines(d)[1:]...) }, corrupt: 1},
		{name: "blank line in the middle", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], []byte("\n"), l[2], l[3])
		}, corrupt: 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, path := newJournal(t)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			damaged := c.damage(data)
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := attempts(path)
			var corrupt *CorruptionError
			if c.corrupt > 0 {
				if !errors.As(err, &corrupt) || corrupt.Line != c.corrupt || corrupt.File != path {
					t.Fatalf("read %v, %v; want damage at line %d", got, err, c.corrupt)
				}
				wantOffset := len(join(lines(damaged)[:c.corrupt-1]...))
				if corrupt.Offset != int64(wantOffset) {
					t.Fatalf("damage at byte %d; want %d", corrupt.Offset, wantOffset)
				}
				if _, err := openFreeJournal(dir, "here"); !errors.As(err, &corrupt) {
					t.Fatalf("opened a damaged journal for appending: %v", err)
				}
				if now, _ := os.ReadFile(path); !bytes.Equal(now, damaged) {
					t.Fatal("a damaged journal was changed")
				}
				return
			}
			if err != nil || !cmp.Equal(got, c.want) {
				t.Fatalf("read %v, %v; want %v", got, err, c.want)
			}
			j, err := openFreeJournal(dir, "here")
			if err != nil {
				t.Fatal(err)
			}
			if err := j.append(true, lostOf("t", 9)); err != nil {
				t.Fatal(err)
			}
			j.Close()
			if got, err := attempts(path); err != nil || !cmp.Equal(got, c.after) {
				t.Fatalf("after the next append read %v, %v; want %v", got, err, c.after)
			}
			whole, err := readJournal(path, func(record) error { return nil })
			if info, statErr := os.Stat(path); err != nil || statErr != nil || info.Size() != whole.bytes {
				t.Fatalf("after the next append %v are whole of %v, %v", whole, info.Size(), errors.Join(err, statErr))
			}
		})
	}
}

// A crash may cut a file anywhere: whole records before the cut survive, and what is
// appended afterwards is read back.
func TestJournalSurvivesEveryCut(t *testing.T) {
	dir, path := newJournal(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(data) + 1 {
		if err := os.WriteFile(path, data[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		var want []int
		for i := range max(0, bytes.Count(data[:cut], []byte("\n"))-1) {
			want = append(want, i+1)
		}
		j, err := openFreeJournal(dir, "here")
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if err := j.append(false, lostOf("t", 9)); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if got, err := attempts(path); err != nil || !cmp.Equal(got, append(want, 9)) {
			t.Fatalf("cut at %d: read %v, %v; want %v and 9", cut, got, err, want)
		}
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := record{Time: "2026-03-01T12:00:00.000Z", Failed: &failedRecord{
			Trial:   rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "trial"),
			Attempt: rapid.IntRange(1, 9).Draw(t, "attempt"),
			Reason:  strings.ToValidUTF8(rapid.String().Draw(t, "reason"), ""),
			Seconds: rapid.Float64Range(0, 1e9).Draw(t, "seconds"),
		}}
		line, err := encodeRecord(want)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(line, []byte("\n")); n != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("%q is not one line", line)
		}
		line = line[:len(line)-1]
		if reason := checkLine(line); reason != "" || kindOf(line) != "failed" {
			t.Fatalf("%q: %s", line, reason)
		}
		var got record
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLaterVersionIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	line, err := encodeRecord(record{Journal: &headerRecord{Version: journalVersion + 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, line, 0o644); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("version %d", journalVersion+1)
	if _, err := attempts(path); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %v; want one that says %q", err, want)
	}
}
