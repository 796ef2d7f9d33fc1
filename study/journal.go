package study

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"netspace/internal/atomicfile"
)

// A journal is a file of JSON objects, one a line, that only grows. Each line
// starts with the checksum of the rest of it:
//
//	{"crc":"9ae0daaf","time":"2026-03-01T12:00:00.000Z","done":{"trial":"…","error":11.2}}
//
// The checksum is CRC-32C, eight hexadecimal digits, over the bytes after
// `"crc":"xxxxxxxx",` up to the line end, which is not included. A journal has one
// writer at a time, which holds a lock on the file for as long as it lives.
// docs/study.md specifies the format.
const (
	journalVersion = 1
	journalDir     = "journal"
	journalSuffix  = ".jsonl"
	timeFormat     = "2006-01-02T15:04:05.000Z" // of records, UTC
	crcPrefix      = `{"crc":"`
	crcLength      = len(crcPrefix) + 8 + len(`",`) // up to where the checked bytes begin

	// maxLine bounds a line of a journal: a space with all its bases, a curve of many thousand epochs. What is
	// longer is no record, and is not kept in memory.
	maxLine = 16 << 20
	// maxHeader bounds the first line.
	maxHeader = 4 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Damage is a part of a journal that cannot be read: a line, or all of a file. A damaged
// line is set aside: what it said is not known, and all other lines count. A torn end is no damage: it is what a
// crash leaves, and is cut off before the next append.
type Damage struct {
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1; 0: the whole file
	Offset int64  `json:"offset"` // bytes before the line
	Reason string `json:"reason"`
}

func (d Damage) String() string {
	if d.Line == 0 {
		return d.File + ": " + d.Reason
	}
	return fmt.Sprintf("%s:%d (byte %d): %s", d.File, d.Line, d.Offset, d.Reason)
}

// ForeignError says that a file among the journals is none, or is one in another guise
// (compressed, in UTF-16): a study does not go on without it, for its results would be trained again.
type ForeignError struct{ Damage }

func (e *ForeignError) Error() string {
	return e.Damage.String() + "; make it what it was, or move it out of the folder: what only it knows is then trained again"
}

// VersionError says that a journal was written by a later program, in a format that this one may not understand.
type VersionError struct {
	File    string
	Version int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s: format version %d was written by a later netspace; this one reads up to %d", e.File, e.Version, journalVersion)
}

// encodeRecord gives the line of r, with its line end.
func encodeRecord(r record) ([]byte, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode a journal record: %w", err)
	}
	rest := body.Bytes()[1 : body.Len()-1] // without the opening brace and the encoder's line end
	line := make([]byte, 0, crcLength+len(rest)+1)
	line = fmt.Appendf(line, `%s%08x",`, crcPrefix, crc32.Checksum(rest, castagnoli))
	line = append(line, rest...)
	return append(line, '\n'), nil
}

// checkLine gives what is wrong with a line, without its line end, or "".
func checkLine(line []byte) string {
	var stated [4]byte
	if len(line) < crcLength || !bytes.HasPrefix(line, []byte(crcPrefix)) || string(line[crcLength-2:crcLength]) != `",` {
		return "the line does not start with a checksum"
	}
	digits := line[len(crcPrefix) : len(crcPrefix)+8]
	sum := crc32.Checksum(line[crcLength:], castagnoli)
	if _, err := hex.Decode(stated[:], digits); err != nil || stated != [4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)} {
		return fmt.Sprintf("the checksum is %08x, the line states %.8q", sum, digits)
	}
	return ""
}

// position is a place in a journal: behind so many whole lines, of so many bytes.
type position struct {
	lines int
	bytes int64
}

// scanJournal reads the rest of a journal from a position on, f being there, and gives to visit every
// whole line, without its end, that its checksum vouches for, with where it begins; and to bad the others. The
// line is valid until visit returns. It returns the position behind the whole lines; what follows is a torn
// end. Line ends that an editor made CRLF are as good.
func scanJournal(ctx context.Context, f io.Reader, path string, from position, visit func(at position, line []byte) error, bad func(at position, reason string)) (position, error) {
	buf := make([]byte, 1<<16)
	have := 0        // bytes of buf that are read and not seen to
	tooLong := false // the line that began at from is skipped
	at := from       // where buf begins
	for {
		n, err := f.Read(buf[have:])
		searched := have
		have += n
		rest := buf[:have]
		for {
			end := bytes.IndexByte(rest[searched:], '\n')
			if end < 0 {
				break
			}
			line, next := rest[:searched+end], rest[searched+end+1:]
			searched = 0
			at.bytes += int64(len(line)) + 1
			begin := from
			from = position{from.lines + 1, at.bytes}
			rest = next
			if tooLong {
				tooLong = false
				bad(begin, fmt.Sprintf("the line is longer than %d bytes", maxLine))
				continue
			}
			line = bytes.TrimSuffix(line, []byte("\r"))
			if reason := checkLine(line); reason != "" {
				bad(begin, reason)
			} else if err := visit(begin, line); err != nil {
				return begin, err
			}
		}
		have = copy(buf, rest)
		switch {
		case have == maxLine:
			tooLong = true
			at.bytes += int64(have)
			have = 0
		case have == len(buf):
			buf = append(buf, make([]byte, min(len(buf), maxLine-len(buf)))...)
		}
		switch {
		case err == io.EOF:
			return from, nil
		case err != nil:
			return from, fmt.Errorf("read journal %s: %w", path, err)
		case ctx.Err() != nil:
			return from, ctx.Err()
		case len(buf) < 1<<20 && n > 1<<15: // a long file
			buf = append(buf, make([]byte, 1<<20-len(buf))...)
		}
	}
}

// guise says what a file is that should be a journal and begins with none of its lines.
func guise(start []byte) (what string, disguised bool) {
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		return "is compressed (gzip)", true
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "is compressed (zstd)", true
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}), bytes.HasPrefix(start, []byte{0xfe, 0xff}), bytes.HasPrefix(start, []byte("{\x00\"\x00")), bytes.HasPrefix(start, []byte("\x00{\x00\"")):
		return "is text in UTF-16, not in UTF-8", true
	}
	return "has no line of a journal", false
}

// resembles tells whether a file begins as a line of a journal does, but for a damaged byte or two.
func resembles(start []byte) bool {
	if len(start) < len(crcPrefix) {
		return false
	}
	other := 0
	for i := range crcPrefix {
		if start[i] != crcPrefix[i] {
			other++
		}
	}
	return other <= 2
}

// journalFiles lists the journals of a study folder, sorted by name.
func journalFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, journalDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), journalSuffix) {
			files = append(files, filepath.Join(dir, journalDir, e.Name()))
		}
	}
	sort.Strings(files)
	return files, nil
}

// journal is the writing end. It is not safe for concurrent use.
type journal struct {
	f        *os.File
	size     int64  // of the whole records
	repaired int64  // bytes of a torn end that opening cut off
	maker    *Maker // the last one that was written since it was opened, nil if none was
}

// What opening a journal can run into.
var (
	errLocked  = errors.New("another process writes this journal")
	errNoLocks = errors.New("the file system has no locks")
	errForeign = errors.New("the file does not begin as a journal of this version does")
)

// lockState is what is known of the lock of a journal.
type lockState uint8

const (
	lockUnknown lockState = iota
	lockFree              // its writer is no more
	lockHeld
)

var unsafeName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// hostName is this machine's name as it stands in journal names.
func hostName() string {
	h, err := os.Hostname()
	if err != nil || h == "" {
		return "localhost"
	}
	return unsafeName.ReplaceAllString(h, "_")
}

// openFreeJournal opens the first journal of this host in a study folder that
// no living process writes, making a new one if need be. So there are as many
// files as there ever were writers at once, and a name never needs to be
// agreed on: the lock goes with the process, however it ends. On a file system
// without locks every writer makes a file of its own. Files that are no journals are left as they are.
func openFreeJournal(dir, host string) (*journal, error) {
	for n := 0; ; n++ {
		path := filepath.Join(dir, journalDir, fmt.Sprintf("%s-%d%s", host, n, journalSuffix))
		j, err := openJournal(path, host, lockFile)
		switch {
		case errors.Is(err, errNoLocks):
			path = filepath.Join(dir, journalDir, fmt.Sprintf("%s-%d-%d%s", host, time.Now().UnixNano(), os.Getpid(), journalSuffix))
			return openJournal(path, host, func(*os.File) error { return nil })
		case errors.Is(err, errLocked), errors.Is(err, errForeign):
			continue
		}
		return j, err
	}
}

// openJournal opens or creates a journal for appending, locks it and cuts off a torn end. It takes
// the same time however long the file is. It fails with errLocked if another process has it open so, and with
// errForeign if it is something else.
func openJournal(path, host string, lock func(*os.File) error) (_ *journal, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, errForeign)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := lock(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	j := &journal{f: f}
	if j.size, err = wholeLines(f, size); err != nil {
		return nil, err
	}
	if !beginsAsJournal(f, j.size, size) {
		return nil, fmt.Errorf("%s: %w", path, errForeign)
	}
	if j.repaired = size - j.size; j.repaired > 0 {
		if err := j.cut(); err != nil {
			return nil, err
		}
	}
	if j.size == 0 {
		if err := j.append(true, headerOf(host)); err != nil {
			return nil, err
		}
		if err := atomicfile.SyncDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	return j, nil
}

func headerOf(host string) record {
	return record{Journal: &headerRecord{Version: journalVersion, Host: host}}
}

// wholeLines is the size of a file up to its last line end.
func wholeLines(f io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 1<<14)
	for end := size; end > 0; {
		begin := max(0, end-int64(len(buf)))
		part := buf[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return begin + int64(i) + 1, nil
		}
		end = begin
	}
	return 0, nil
}

// beginsAsJournal tells whether one may append to a file: its first line is a
// journal's, or is what a crash left of one.
func beginsAsJournal(f io.ReaderAt, whole, size int64) bool {
	start := make([]byte, min(size, maxHeader))
	if _, err := f.ReadAt(start, 0); err != nil && err != io.EOF {
		return false
	}
	if whole == 0 {
		n := min(len(start), len(crcPrefix))
		return size < maxHeader && (string(start[:n]) == crcPrefix[:n] || len(bytes.Trim(start, "\x00")) == 0)
	}
	line, _, _ := bytes.Cut(start, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if checkLine(line) != "" {
		return false
	}
	var r record
	return json.Unmarshal(line, &r) == nil && r.Journal != nil && r.Journal.Version <= journalVersion
}

// cut shortens the file to its whole records.
func (j *journal) cut() error {
	if err := j.f.Truncate(j.size); err != nil {
		return fmt.Errorf("cut off the torn end of journal %s: %w", j.f.Name(), err)
	}
	return j.f.Sync()
}

// encodeRecords gives the lines of records that are written now.
func encodeRecords(records ...record) ([]byte, error) {
	now := time.Now().UTC().Format(timeFormat)
	var lines []byte
	for _, r := range records {
		r.Time = now
		line, err := encodeRecord(r)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line...)
	}
	return lines, nil
}

// append writes records at the end, in one write. With sync it returns when they are
// on the disk: everything that a result or a decision depends on is synced,
// notes for viewers (starts, epochs) are not. After an error the file is as before,
// if the disk lets it be.
func (j *journal) append(sync bool, records ...record) error {
	lines, err := encodeRecords(records...)
	if err != nil {
		return err
	}
	n, err := j.f.WriteAt(lines, j.size)
	if err == nil && sync {
		err = j.f.Sync()
	}
	if err != nil {
		if n > 0 {
			err = errors.Join(err, j.cut())
		}
		return fmt.Errorf("write journal: %w", err)
	}
	j.size += int64(len(lines))
	return nil
}

// Close gives the journal back; the lock goes with it.
func (j *journal) Close() error { return j.f.Close() }
