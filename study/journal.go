package study

import (
	"bufio"
	"bytes"
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
	crcPrefix      = `{"crc":"`
	crcLength      = len(crcPrefix) + 8 + len(`",`) // up to where the checked bytes begin
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CorruptionError says where a journal is damaged other than at its end.
// A torn end is no error: it is what a crash leaves, and is cut off before
// the next append.
type CorruptionError struct {
	File   string
	Line   int   // from 1
	Offset int64 // bytes before the line
	Reason string
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("%s:%d (byte %d): damaged record: %s; restore the file from a copy, or delete this line: the trial it spoke of is then trained again",
		e.File, e.Line, e.Offset, e.Reason)
}

// record is one line of a journal: the time it was written and exactly one of the others.
type record struct {
	Time    string         `json:"time"` // RFC 3339, UTC
	Journal *headerRecord  `json:"journal,omitempty"`
	Study   *studyRecord   `json:"study,omitempty"`
	Space   *spaceRecord   `json:"space,omitempty"`
	Trial   *trialRecord   `json:"trial,omitempty"`
	Session *sessionRecord `json:"session,omitempty"`
	Claim   *claimRecord   `json:"claim,omitempty"`
	Lease   *leaseRecord   `json:"lease,omitempty"`
	Release *releaseRecord `json:"release,omitempty"`
	Maker   *Maker         `json:"maker,omitempty"`
	Start   *startRecord   `json:"start,omitempty"`
	Epoch   *epochRecord   `json:"epoch,omitempty"`
	Done    *doneRecord    `json:"done,omitempty"`
	Failed  *failedRecord  `json:"failed,omitempty"`
	Lost    *lostRecord    `json:"lost,omitempty"`
	Forgive *forgiveRecord `json:"forgive,omitempty"`
}

// headerRecord is the first line of every journal.
type headerRecord struct {
	Version int    `json:"version"`
	Host    string `json:"host"`
}

// sessionRecord says that a run writes this journal from here on. The sessions before it in the
// same file are over.
type sessionRecord struct {
	ID  string `json:"id"` // of the run, random
	PID int    `json:"pid"`
	// Differs says how the numbers of what trains here may differ from those of the
	// results that were there.
	Differs string `json:"differs,omitempty"`
}

// claimRecord says that the run of a session sees to an attempt at a trial, until the session's
// lease ends or it releases the trial.
type claimRecord struct {
	Session string `json:"session"`
	Trial   string `json:"trial"`
	Attempt int    `json:"attempt"`
	leaseEnd
}

// leaseRecord extends the lease of a session, and so of all its claims.
type leaseRecord struct {
	Session string `json:"session"`
	leaseEnd
}

// leaseEnd is when a claim ends that is not renewed, by the clock of the claimant.
type leaseEnd struct {
	Until time.Time `json:"until"`
}

// releaseRecord gives back a claim, or all of a session.
type releaseRecord struct {
	Session string `json:"session"`
	Trial   string `json:"trial,omitempty"` // "": all
}

// startRecord says that a worker began, or went on with, a trial.
type startRecord struct {
	Trial   string `json:"trial"`
	Attempt int    `json:"attempt"` // from 1; an interruption costs no attempt
	PID     int    `json:"pid"`
}

// epochRecord is a finished epoch of a trial that goes on. It is written for
// viewers alone and not synced; a doneRecord repeats all epochs.
type epochRecord struct {
	Trial string `json:"trial"`
	Epoch
}

// doneRecord is the result of a trial.
type doneRecord struct {
	Trial           string  `json:"trial"`
	Error           float64 `json:"error"`
	Error5          float64 `json:"error5"`
	Seconds         float64 `json:"seconds"`
	ImagesPerSecond float64 `json:"images_per_second"`
	Epochs          []Epoch `json:"epochs"`
}

// failedRecord ends a trial without a result.
type failedRecord struct {
	Trial   string  `json:"trial"`
	Attempt int     `json:"attempt"`
	Reason  string  `json:"reason"`
	Seconds float64 `json:"seconds"`
	Epochs  []Epoch `json:"epochs,omitempty"`
}

// lostRecord is an attempt whose worker died.
type lostRecord struct {
	Trial   string `json:"trial"`
	Attempt int    `json:"attempt"`
	Reason  string `json:"reason"`
}

// forgiveRecord makes a trial's failures and losses up to an attempt count for nothing.
type forgiveRecord struct {
	Trial   string `json:"trial"`
	Attempt int    `json:"attempt"`
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
	if len(line) < crcLength || !bytes.HasPrefix(line, []byte(crcPrefix)) || string(line[crcLength-2:crcLength]) != `",` {
		return "the line does not start with a checksum"
	}
	stated := string(line[len(crcPrefix) : len(crcPrefix)+8])
	if sum := fmt.Sprintf("%08x", crc32.Checksum(line[crcLength:], castagnoli)); sum != stated {
		return fmt.Sprintf("checksum is %s, the line states %s", sum, stated)
	}
	return ""
}

// kindOf names the record that a line with a right checksum holds.
func kindOf(line []byte) string {
	_, rest, _ := bytes.Cut(line[crcLength:], []byte(`","`)) // behind the time
	kind, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(kind)
}

// position is a place in a journal: behind so many whole lines, of so many bytes.
type position struct {
	lines int
	bytes int64
}

// scanJournal reads the rest of a journal from a position on, f being there, and gives to visit every
// whole line without its end, in order. It returns the position behind them; what follows is a
// torn end. A damaged line with a whole one after it is a *CorruptionError.
func scanJournal(f io.Reader, path string, from position, visit func(line []byte) error) (position, error) {
	in := bufio.NewReaderSize(f, 1<<16)
	var damaged *CorruptionError // the first bad line, an error only if a good one follows
	for at := from; ; {
		line, err := in.ReadBytes('\n')
		if err == io.EOF { // no line end: nothing, or torn
			return from, nil
		}
		if err != nil {
			return from, fmt.Errorf("read journal %s: %w", path, err)
		}
		here := at
		at = position{here.lines + 1, here.bytes + int64(len(line))}
		line = line[:len(line)-1]
		switch reason := checkLine(line); {
		case reason != "" && damaged == nil:
			damaged = &CorruptionError{File: path, Line: at.lines, Offset: here.bytes, Reason: reason}
		case reason != "":
		case damaged != nil:
			return from, damaged
		default:
			if err := visit(line); err != nil {
				return from, err
			}
			from = at
		}
	}
}

// readRecords is scanJournal for records. Their first one in the file must be a header.
func readRecords(f io.Reader, path string, from position, visit func(record) error) (position, error) {
	at := from
	return scanJournal(f, path, from, func(line []byte) error {
		var r record
		if err := json.Unmarshal(line, &r); err != nil { // no crash leaves a right checksum
			return &CorruptionError{File: path, Line: at.lines + 1, Offset: at.bytes, Reason: "the checksum is right but " + err.Error()}
		}
		if at.lines == 0 {
			if err := checkHeader(path, r); err != nil {
				return err
			}
		}
		at = position{at.lines + 1, at.bytes + int64(len(line)) + 1}
		return visit(r)
	})
}

func checkHeader(path string, r record) error {
	if r.Journal == nil {
		return &CorruptionError{File: path, Line: 1, Reason: "the header is missing"}
	}
	if r.Journal.Version > journalVersion {
		return fmt.Errorf("%s: format version %d was written by a later netspace; this one reads up to %d", path, r.Journal.Version, journalVersion)
	}
	return nil
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
		if strings.HasSuffix(e.Name(), ".jsonl") {
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
	maker    *Maker // the last one in it, nil if there is none
}

// What locking a journal can run into.
var (
	errLocked  = errors.New("another process writes this journal")
	errNoLocks = errors.New("the file system has no locks")
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
// without locks every writer makes a file of its own.
func openFreeJournal(dir, host string) (*journal, error) {
	for n := 0; ; n++ {
		path := filepath.Join(dir, journalDir, fmt.Sprintf("%s-%d.jsonl", host, n))
		j, err := openJournal(path, host, lockFile)
		switch {
		case errors.Is(err, errNoLocks):
			path = filepath.Join(dir, journalDir, fmt.Sprintf("%s-%d-%d.jsonl", host, time.Now().UnixNano(), os.Getpid()))
			return openJournal(path, host, func(*os.File) error { return nil })
		case errors.Is(err, errLocked):
			continue
		}
		return j, err
	}
}

// openJournal opens or creates a journal for appending, locks it and cuts off
// a torn end. It fails with errLocked if another process has it open so.
func openJournal(path, host string, lock func(*os.File) error) (_ *journal, err error) {
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
	j := &journal{f: f}
	// Few lines are decoded: a worker opens a journal for every trial, and there may be many in it.
	header := true
	whole, err := scanJournal(f, path, position{}, func(line []byte) error {
		if !header && kindOf(line) != "maker" {
			return nil
		}
		var r record
		err := json.Unmarshal(line, &r)
		switch {
		case err != nil:
			return &CorruptionError{File: path, Reason: "the checksum is right but " + err.Error()}
		case header:
			header = false
			return checkHeader(path, r)
		}
		j.maker = r.Maker
		return nil
	})
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	j.size, j.repaired = whole.bytes, size-whole.bytes
	if j.repaired > 0 {
		if err := j.cut(); err != nil {
			return nil, err
		}
	}
	if j.size == 0 {
		if err := j.append(true, record{Journal: &headerRecord{Version: journalVersion, Host: host}}); err != nil {
			return nil, err
		}
		if err := atomicfile.SyncDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// cut shortens the file to its whole records.
func (j *journal) cut() error {
	if err := j.f.Truncate(j.size); err != nil {
		return fmt.Errorf("cut off the torn end of journal %s: %w", j.f.Name(), err)
	}
	return j.f.Sync()
}

// append writes records at the end, in one write. With sync it returns when they are
// on the disk: everything that a result or a decision depends on is synced,
// notes for viewers (starts, epochs) are not. After an error the file is as before,
// if the disk lets it be.
func (j *journal) append(sync bool, records ...record) error {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	var lines []byte
	for _, r := range records {
		r.Time = now
		line, err := encodeRecord(r)
		if err != nil {
			return err
		}
		lines = append(lines, line...)
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
