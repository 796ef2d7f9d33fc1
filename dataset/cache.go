package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"netspace/internal/atomicfile"
	"netspace/internal/infile"
)

// DefaultCache is the folder of decoded images: netspace in $XDG_CACHE_HOME, or in the
// user's cache folder of the system; "" if there is none.
func DefaultCache() string {
	dir := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(dir) {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(dir, "netspace")
}

// origin is what a store is made of: it names the cache file, which is replaced when the
// fingerprint changes, so that stale copies do not pile up.
type origin struct {
	path   string // of the first source file or the folder, absolute
	how    string // what is done to the images, for the name of the cache file
	files  []fileID
	images int // that a cached store must have at least; 0: those that it has are all
}

// fileID identifies a version of a file without reading it.
type fileID struct {
	name  string
	size  int64
	mtime int64 // nanoseconds
}

func identify(name string, st os.FileInfo) fileID {
	return fileID{name, st.Size(), st.ModTime().UnixNano()}
}

// fingerprint changes when a source file does.
func (g origin) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %s\n", g.path, g.how)
	for _, f := range g.files {
		fmt.Fprintf(h, "%q %d %d\n", f.name, f.size, f.mtime)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// file is the name of the cache file.
func (g origin) file() string {
	h := sha256.Sum256([]byte(g.path + "\x00" + g.how))
	base := strings.Map(func(r rune) rune {
		if r < 128 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_.", r)) {
			return r
		}
		return '_'
	}, filepath.Base(g.path))
	if len(base) > 60 {
		base = base[:60]
	}
	return fmt.Sprintf("%s-%s.nsdata", base, hex.EncodeToString(h[:8]))
}

// cacheFolder is where decoded images are kept; "" if nowhere.
func (o Options) cacheFolder() string {
	switch {
	case o.NoCache:
		return ""
	case o.Cache != "":
		return o.Cache
	}
	return DefaultCache()
}

// cached returns the store of g if the cache has it, of the present files and with enough images; else nil.
func (o Options) cached(g origin) *store {
	return cachedBlock(o, g, parseStore)
}

// load returns the store of g: the cached one if it is of the present files, else a new
// one, in the cache where that is possible and in memory where not. Several processes
// may do so at once: each writes the same bytes under a name of its own and renames them
// into place.
func (o Options) load(g origin, build buildFunc) (*store, error) {
	return loadBlock(o, g, build, parseStore)
}

// block is a store or an index.
type block interface {
	comparable
	len() int
	close() error
	mapped(unmap func() error) // says how to give back the memory
}

// parseFunc makes a T of a block of bytes. source, if not empty, must be its fingerprint.
type parseFunc[T block] func(data []byte, source string) (T, error)

func cachedBlock[T block](o Options, g origin, parse parseFunc[T]) (none T) {
	dir := o.cacheFolder()
	if dir == "" {
		return none
	}
	s, err := openBlock(filepath.Join(dir, g.file()), g.fingerprint(), parse)
	if err != nil {
		return none
	}
	if s.len() < g.images {
		s.close()
		return none
	}
	return s
}

func loadBlock[T block](o Options, g origin, build buildFunc, parse parseFunc[T]) (none T, _ error) {
	if s := cachedBlock(o, g, parse); s != none {
		return s, nil
	}
	dir, source := o.cacheFolder(), g.fingerprint()
	if dir == "" {
		return inMemory(source, build, parse)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return inMemory(source, build, parse)
	}
	var fault error // of the data, not of the cache
	err := atomicfile.Write(filepath.Join(dir, g.file()), 0o644, func(w io.Writer) error {
		cw := &checkedWriter{w: w}
		err := build(cw, source, false)
		if err != nil && cw.err == nil {
			fault = err
		}
		return err
	})
	if fault != nil {
		return none, fault
	}
	if err == nil {
		if s := cachedBlock(o, g, parse); s != none {
			return s, nil
		}
	}
	return inMemory(source, build, parse)
}

func inMemory[T block](source string, build buildFunc, parse parseFunc[T]) (none T, _ error) {
	var b bytes.Buffer
	if err := build(&b, source, true); err != nil {
		return none, err
	}
	return parse(b.Bytes(), source)
}

// checkedWriter remembers whether writing failed.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if err != nil {
		c.err = err
	}
	return n, err
}

// openBlock maps a file of the cache.
func openBlock[T block](path, source string, parse parseFunc[T]) (none T, _ error) {
	data, unmap, err := mapFile(path)
	if err != nil {
		return none, err
	}
	s, err := parse(data, source)
	if err != nil {
		return none, errors.Join(err, unmap())
	}
	s.mapped(unmap)
	return s, nil
}

// readWhole is mapFile without mapping.
func readWhole(path string) ([]byte, func() error, error) {
	data, err := infile.Read(path, math.MaxInt64-1)
	if err != nil {
		return nil, nil, err
	}
	return data, func() error { return nil }, nil
}
