package study

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"netspace/trial"
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
		if err := j.append(true, lostOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, j.f.Name()
}

func lostOf(attempt int) record {
	return record{Lost: &lostRecord{Trial: 7, Attempt: attempt, Death: trial.Death{Reason: "test"}}}
}

// attempts reads the attempts of the lost records of the journals in a folder, and what is damaged.
func attempts(t *testing.T, dir string) (got []int, damage []Damage) {
	t.Helper()
	h, err := readHistory(t.Context(), dir, "here")
	if err != nil {
		t.Fatal(err)
	}
	if o := h.outcomes[7]; o != nil {
		for _, l := range o.lost {
			got = append(got, l.Attempt)
		}
	}
	return got, h.damage
}

func TestJournalRoundTrip(t *testing.T) {
	dir, path := newJournal(t)
	if got, damage := attempts(t, dir); damage != nil || !cmp.Equal(got, []int{1, 2, 3}) {
		t.Fatalf("read %v, %v", got, damage)
	}
	// A closed journal is free again and goes on in the same file.
	j, err := openFreeJournal(dir, "here")
	if err != nil || j.f.Name() != path {
		t.Fatalf("opened %v, %v; want %s", j, err, path)
	}
	if err := j.append(false, lostOf(4), lostOf(5)); err != nil {
		t.Fatal(err)
	}
	// While it is open the next writer gets another file.
	other, err := openFreeJournal(dir, "here")
	if err != nil || other.f.Name() == path {
		t.Fatalf("second writer got %v, %v; want another file than %s", other, err, path)
	}
	other.Close()
	j.Close()
	if got, damage := attempts(t, dir); damage != nil || !cmp.Equal(got, []int{1, 2, 3, 4, 5}) {
		t.Fatalf("read %v, %v", got, damage)
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
		want    []int // attempts read
		damaged []int // lines that are set aside; 0: the whole file is no journal
		lost    bool  // the file is left as it is, and the next append goes into another
	}{
		{name: "whole", damage: func(d []byte) []byte { return d }, want: []int{1, 2, 3}},
		{name: "empty file", damage: func([]byte) []byte { return nil }},
		{name: "torn header", damage: func(d []byte) []byte { return d[:10] }},
		{name: "last line end missing", damage: func(d []byte) []byte { return d[:len(d)-1] }, want: []int{1, 2}},
		{name: "last line torn", damage: func(d []byte) []byte { return d[:len(d)-30] }, want: []int{1, 2}},
		{name: "torn after two bytes", damage: func(d []byte) []byte { return join(d, []byte("{\"")) }, want: []int{1, 2, 3}},
		{name: "zeros at the end", damage: func(d []byte) []byte { return join(d, make([]byte, 9000)) }, want: []int{1, 2, 3}},
		{name: "zeros alone", damage: func(d []byte) []byte { return make([]byte, 600) }},
		{name: "garbage lines at the end", damage: func(d []byte) []byte { return join(d, []byte("\n\nxx\n{}\n")) }, want: []int{1, 2, 3}, damaged: []int{5, 6, 7, 8}},
		{name: "bit flip in the last line", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], l[2], flip(l[3], 60))
		}, want: []int{1, 2}, damaged: []int{4}},
		{name: "bit flip in the middle", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], flip(l[2], 60), l[3])
		}, want: []int{1, 3}, damaged: []int{3}},
		{name: "bit flip in a checksum", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], flip(l[1], len(crcPrefix)), l[2], l[3])
		}, want: []int{2, 3}, damaged: []int{2}},
		{name: "line end lost in the middle", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1][:len(l[1])-1], l[2], l[3])
		}, want: []int{3}, damaged: []int{2}},
		{name: "append after a torn line, unrepaired", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], l[2][:20], []byte("\n"), l[3])
		}, want: []int{1, 3}, damaged: []int{3}},
		{name: "header damaged", damage: func(d []byte) []byte {
			l := lines(d)
			return join(flip(l[0], 40), l[1], l[2], l[3])
		}, want: []int{1, 2, 3}, damaged: []int{1}, lost: true},
		{name: "header damaged, and nothing else", damage: func(d []byte) []byte { return flip(lines(d)[0], 3) }, damaged: []int{1}, lost: true},
		{name: "header missing", damage: func(d []byte) []byte { return join(lines(d)[1:]...) }, want: []int{1, 2, 3}, damaged: []int{1}, lost: true},
		{name: "blank line in the middle", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], []byte("\n"), l[2], l[3])
		}, want: []int{1, 2, 3}, damaged: []int{3}},
		{name: "a line without an end, longer than any record", damage: func(d []byte) []byte {
			l := lines(d)
			return join(l[0], l[1], bytes.Repeat([]byte("x"), maxLine+maxLine/2), []byte("\n"), l[2], l[3])
		}, want: []int{1, 2, 3}, damaged: []int{3}},
		{name: "line ends of an editor", damage: func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("\n"), []byte("\r\n")) }, want: []int{1, 2, 3}},
		{name: "UTF-16", damage: func(d []byte) []byte {
			wide := []byte{0xff, 0xfe}
			for _, c := range d {
				wide = append(wide, c, 0)
			}
			return wide
		}, damaged: []int{0}, lost: true},
		{name: "compressed", damage: func(d []byte) []byte {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write(d)
			_ = w.Close()
			return b.Bytes()
		}, damaged: []int{0}, lost: true},
		{name: "another text", damage: func([]byte) []byte { return []byte("name: x\nspaces: []\n") }, damaged: []int{0}, lost: true},
		{name: "another text without a line end", damage: func([]byte) []byte { return []byte("{}") }, damaged: []int{0}, lost: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, path := newJournal(t)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data = c.damage(data)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			check := func(want []int) {
				t.Helper()
				got, damage := attempts(t, dir)
				var damaged []int
				for _, d := range damage {
					if damaged = append(damaged, d.Line); d.File != path || d.Reason == "" {
						t.Errorf("%+v", d)
					}
					if d.Line > 0 && d.Offset != int64(len(join(lines(data)[:d.Line-1]...))) {
						t.Errorf("line %d is said to be at byte %d", d.Line, d.Offset)
					}
				}
				if !cmp.Equal(got, want) || !cmp.Equal(damaged, c.damaged) {
					t.Fatalf("read %v, set lines %v aside; want %v, %v", got, damaged, want, c.damaged)
				}
			}
			check(c.want)
			j, err := openFreeJournal(dir, "here")
			if err != nil {
				t.Fatal(err)
			}
			if (j.f.Name() != path) != c.lost {
				t.Fatalf("the next record goes into %s", j.f.Name())
			}
			if err := j.append(true, lostOf(9)); err != nil {
				t.Fatal(err)
			}
			j.Close()
			check(append(slices.Clone(c.want), 9))
			now, err := os.ReadFile(path)
			if whole := data[:bytes.LastIndexByte(data, '\n')+1]; err != nil || !bytes.HasPrefix(now, whole) || c.lost && !bytes.Equal(now, data) {
				t.Fatalf("what was in the file has changed: %v", err)
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
		if err := j.append(false, lostOf(9)); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if got, damage := attempts(t, dir); damage != nil || !cmp.Equal(got, append(want, 9)) {
			t.Fatalf("cut at %d: read %v, %v; want %v and 9", cut, got, damage, want)
		}
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := record{Time: "2026-03-01T12:00:00.000Z", Failed: &failedRecord{
			Trial:   trialID(rapid.Uint64().Draw(t, "trial")),
			Attempt: rapid.IntRange(1, 9).Draw(t, "attempt"),
			Death:   trial.Death{Reason: strings.ToValidUTF8(rapid.String().Draw(t, "reason"), "")},
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
		kind, at, object := split(line)
		if reason := checkLine(line); reason != "" || kind != "failed" || at != 20260301120000000 || !json.Valid(object) {
			t.Fatalf("%q: %s, %s at %d", line, reason, kind, at)
		}
		got, err := decodeRecord(line)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLaterVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalDir, "here-0.jsonl")
	line, err := encodeRecord(record{Time: "2026-03-01T12:00:00.000Z", Journal: &headerRecord{Version: journalVersion + 1}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(line))
	var later *VersionError
	if _, err := readHistory(t.Context(), dir, "here"); !errors.As(err, &later) || later.Version != journalVersion+1 || later.File != path {
		t.Fatalf("error %v; want one that names the version", err)
	}
	j, err := openFreeJournal(dir, "here")
	if err != nil || j.f.Name() == path {
		t.Fatalf("%v, %v: wrote into a journal of a later version", j, err)
	}
	j.Close()
}
