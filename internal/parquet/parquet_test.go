package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	oracle "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"netspace/internal/seeded"
)

type picture struct {
	Bytes []byte  `parquet:"bytes,optional,plain"`
	Path  *string `parquet:"path,optional"`
}

// row is one as Hugging Face's library writes them.
type row struct {
	Image *picture `parquet:"image,optional"`
	Label *int64   `parquet:"label,optional"`
	Small int32    `parquet:"small,dict"`
	Name  string   `parquet:"name,plain"`
	Word  string   `parquet:"word,dict"`
	Tags  []int64  `parquet:"tags"`
	Short int32    `parquet:"short,delta"`
	Long  int64    `parquet:"long,delta"`
	Text  []byte   `parquet:"text"` // lengths as differences
	Trie  string   `parquet:"trie,delta"`
}

// rows are made up; noise does not compress, and repeats do.
func rows(rng *rand.Rand, n, size int) []row {
	rows := make([]row, n)
	for i := range rows {
		b := make([]byte, rng.IntN(size))
		for k := range b {
			if b[k] = byte(rng.Uint32()); i%3 == 0 {
				b[k] = byte(k / 50)
			}
		}
		label := int64(rng.IntN(1000) - 1)
		rows[i] = row{Image: &picture{Bytes: b}, Label: &label, Small: int32(rng.IntN(5) - 2), Name: fmt.Sprint("n", i), Word: []string{"cat", "dog", ""}[rng.IntN(3)], Tags: []int64{1, 2},
			Short: int32(rng.Uint32()), Long: int64(rng.Uint64()) >> rng.IntN(64), Text: b[:len(b)/2], Trie: "x"}
		switch rng.IntN(12) {
		case 0:
			rows[i].Image.Bytes = nil
		case 1:
			rows[i].Image = nil
		case 2:
			rows[i].Label = nil
		}
	}
	return rows
}

func encode(t testing.TB, rows []row, options ...oracle.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := oracle.NewGenericWriter[row](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpacker(t testing.TB) *Unpacker {
	t.Helper()
	u, err := NewUnpacker()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func column(t testing.TB, f *File, path string) int {
	t.Helper()
	for i, c := range f.Columns {
		if c.Path == path {
			return i
		}
	}
	t.Fatalf("no column %s in %+v", path, f.Columns)
	return 0
}

// What the library writes is read as it was, and every byte string can be had from its place alone.
func TestReadsWhatTheLibraryWrites(t *testing.T) {
	rng := seeded.Rand(t)
	u := unpacker(t)
	for _, codec := range []compress.Codec{&oracle.Uncompressed, &oracle.Snappy, &oracle.Gzip, &oracle.Zstd} {
		for version := 1; version <= 2; version++ {
			for _, page := range []int{1 << 12, 1 << 22} {
				want := rows(rng, 35, 20_000)
				data := encode(t, want, oracle.Compression(codec), oracle.DataPageVersion(version), oracle.PageBufferSize(page), oracle.MaxRowsPerRowGroup(15), oracle.KeyValueMetadata("about", "cats"))
				what := fmt.Sprintf("%v, version %d, pages of %d", codec, version, page)
				in := bytes.NewReader(data)
				f, err := Open(in, in.Size())
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if f.Metadata["about"] != "cats" || len(f.Groups) != 3 {
					t.Errorf("%s: %v, %d groups", what, f.Metadata, len(f.Groups))
				}
				next, noisy, more := 0, 0, 0
				for g, group := range f.Groups {
					rows := want[next : next+int(group.Rows)]
					next += len(rows)
					i := 0
					err := f.ByteStrings(t.Context(), g, column(t, f, "image.bytes"), u, func(at Place, value []byte) error {
						var b []byte
						if m := rows[i].Image; m != nil {
							b = m.Bytes
						}
						if (value == nil) != (b == nil) || !bytes.Equal(value, b) {
							t.Fatalf("%s: row %d has %d bytes, not %d", what, i, len(value), len(b))
						}
						if b != nil {
							if alone, err := u.Read(in, at); err != nil || !bytes.Equal(alone, b) {
								t.Fatalf("%s: row %d at %+v: %d bytes, %v", what, i, at, len(alone), err)
							}
							if (next-len(rows)+i)%3 != 0 {
								noisy++
								if at.Packed > uint32(len(b)) {
									more++
								}
							}
						}
						i++
						return nil
					})
					if err != nil || i != len(rows) {
						t.Fatalf("%s: %d rows, %v", what, i, err)
					}
					i = 0
					err = f.Integers(t.Context(), g, column(t, f, "label"), u, func(value int64, ok bool) error {
						if l := rows[i].Label; ok != (l != nil) || ok && value != *l {
							t.Fatalf("%s: label %d of row %d, %v", what, value, i, ok)
						}
						i++
						return nil
					})
					if err != nil || i != len(rows) {
						t.Fatalf("%s: %d labels, %v", what, i, err)
					}
					for path, of := range map[string]func(row) int64{
						"small": func(r row) int64 { return int64(r.Small) }, "short": func(r row) int64 { return int64(r.Short) }, "long": func(r row) int64 { return r.Long },
					} {
						i = 0
						err = f.Integers(t.Context(), g, column(t, f, path), u, func(value int64, ok bool) error {
							if !ok || value != of(rows[i]) {
								t.Fatalf("%s, %s: %d in row %d, not %d", what, path, value, i, of(rows[i]))
							}
							i++
							return nil
						})
						if err != nil || i != len(rows) {
							t.Fatalf("%s, %s: %d numbers, %v", what, path, i, err)
						}
					}
					for path, of := range map[string]func(row) string{"name": func(r row) string { return r.Name }, "word": func(r row) string { return r.Word }, "text": func(r row) string { return string(r.Text) }} {
						i = 0
						err = f.ByteStrings(t.Context(), g, column(t, f, path), u, func(at Place, value []byte) error {
							alone, err := u.Read(in, at)
							if string(value) != of(rows[i]) || err != nil || !bytes.Equal(alone, value) {
								t.Fatalf("%s: %q in row %d, alone %q, %v", what, value, i, alone, err)
							}
							i++
							return nil
						})
						if err != nil || i != len(rows) {
							t.Fatalf("%s: %d words, %v", what, i, err)
						}
					}
					for path, reason := range map[string]string{"tags": "a list, or of a type that is not read", "trie": "column trie: encoding 7 is not read"} {
						err := f.ByteStrings(t.Context(), g, column(t, f, path), u, func(Place, []byte) error { return nil })
						var bad *Error
						if !errors.As(err, &bad) || !strings.Contains(err.Error(), reason) {
							t.Errorf("%s, %s: %v", what, path, err)
						}
					}
				}
				// Noise is found to match by chance, and what is short between repeats is no run of its own: few are, of 23.
				if codec == &oracle.Snappy && 4*more > noisy {
					t.Errorf("%s: of %d strings that do not compress, %d cannot be read alone", what, noisy, more)
				}
			}
		}
	}
}

func TestStopsWithTheContext(t *testing.T) {
	in := bytes.NewReader(encode(t, rows(seeded.Rand(t), 10, 100)))
	f, err := Open(in, in.Size())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Integers(ctx, 0, column(t, f, "label"), unpacker(t), func(int64, bool) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A block of Snappy is what its pieces are, one after the other.
func TestSnappyPiecesDecompressAlone(t *testing.T) {
	rng := seeded.Rand(t)
	for _, repeat := range []int{1, 3, 1000, 1 << 20} {
		data := make([]byte, 5*snappyPiece+77)
		for i := range data {
			if data[i] = byte(rng.Uint32()); i >= repeat {
				data[i] = data[i-repeat]
			}
		}
		packed := snappy.Encode(nil, data)
		if repeat != 1<<20 { // as other encoders do it, each piece by itself
			packed = binary.AppendUvarint(nil, uint64(len(data)))
			for piece := range slices.Chunk(data, snappyPiece) {
				b := snappy.Encode(nil, piece)
				_, n := binary.Uvarint(b)
				packed = append(packed, b[n:]...)
			}
		}
		splits, runs := snappyPieces(packed)
		if repeat != 1<<20 && len(splits) != 6 || repeat == 1<<20 && len(runs) == 0 {
			t.Errorf("%d pieces, %d runs", len(splits), len(runs))
		}
		p := &page{data: data, packed: len(packed), codec: Snappy, splits: splits, runs: runs}
		u := unpacker(t)
		for range 200 {
			i := rng.IntN(len(data) + 1)
			size := rng.IntN(len(data) - i + 1)
			if got, err := u.Read(bytes.NewReader(packed), p.place(i, size)); err != nil || !bytes.Equal(got, data[i:i+size]) {
				t.Fatalf("%d bytes at %d: %v", size, i, err)
			}
		}
	}
}

// What is not a whole file of Parquet is refused, wherever it ends.
func TestRefuses(t *testing.T) {
	data := encode(t, rows(seeded.Rand(t), 5, 100))
	for _, c := range []struct {
		what string
		data []byte
		want string
	}{
		{"nothing", nil, "it has 0 bytes"},
		{"text", []byte(strings.Repeat("text", 10)), "does not end with PAR1"},
		{"cut", data[:len(data)-100], "does not end with PAR1"},
		{"encrypted", append(bytes.Clone(data[:len(data)-4]), "PARE"...), "encrypted"},
		{"long footer", append(bytes.Clone(data[:len(data)-8]), "\xff\xff\xff\x7fPAR1"...), "a footer of 2147483647 bytes"},
		{"no footer", []byte("PAR1\x00\x00\x00\x00PAR1"), "footer: cut short"},
		{"deep footer", append(append([]byte("PAR1"), bytes.Repeat([]byte{0xfc}, 1<<20)...), "\x00\x00\x10\x00PAR1"...), "not Thrift's"},
	} {
		in := bytes.NewReader(c.data)
		_, err := Open(in, in.Size())
		var bad *Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.what, err, c.want)
		}
	}
}

// A file is refused, or what it says it has is there; either way nobody waits, and memory does not run out.
func FuzzFile(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, codec := range []compress.Codec{&oracle.Uncompressed, &oracle.Snappy, &oracle.Gzip, &oracle.Zstd} {
		for version := 1; version <= 2; version++ {
			f.Add(encode(f, rows(rng, 9, 100), oracle.Compression(codec), oracle.DataPageVersion(version)))
		}
	}
	u := unpacker(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		file, err := Open(in, in.Size())
		if err != nil {
			return
		}
		for g, group := range file.Groups {
			for c := range file.Columns {
				n := int64(0)
				err := errors.Join(
					file.ByteStrings(t.Context(), g, c, u, func(at Place, value []byte) error {
						n++
						if value == nil || n%64 != 1 {
							return nil
						}
						alone, err := u.Read(in, at)
						if err != nil || !bytes.Equal(alone, value) {
							t.Fatalf("%+v: %d bytes, %v; not %d", at, len(alone), err, len(value))
						}
						return nil
					}),
					file.Integers(t.Context(), g, c, u, func(int64, bool) error { n++; return nil }))
				if n > group.Rows || errors.Is(err, io.EOF) {
					t.Fatalf("%d of %d rows, %v", n, group.Rows, err)
				}
			}
		}
	})
}
