package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// hubRow is a row of a data set of images as Hugging Face's library writes it.
type hubRow struct {
	Image hubImage `parquet:"image,optional"`
	Label int64    `parquet:"label"`
}

type hubImage struct {
	Bytes []byte  `parquet:"bytes,optional,plain"`
	Path  *string `parquet:"path,optional"`
}

// hub is a Parquet file of rows with names of the classes.
func hub[T any](t testing.TB, rows []T, names []string, options ...parquet.WriterOption) []byte {
	t.Helper()
	if names != nil {
		text, err := json.Marshal(map[string]any{"info": map[string]any{"features": map[string]any{
			"image": map[string]any{"_type": "Image"}, "label": map[string]any{"names": names, "_type": "ClassLabel"}}}})
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, parquet.KeyValueMetadata("huggingface", string(text)))
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func hubRows(t testing.TB, n int) []hubRow {
	var rows []hubRow
	for i := range n {
		rows = append(rows, hubRow{hubImage{Bytes: rgb(t, 10+i%4, 12, uint64(i))}, int64(i % 3)})
	}
	return rows
}

// The same rows are the same data set, however they are spread over files, groups and pages, compressed and named; images
// that are damaged are left out.
func TestParquetRowsAreTheDataSet(t *testing.T) {
	rows := hubRows(t, 60)
	for _, i := range []int{3, 17, 18} {
		rows[i].Image.Bytes = rows[i].Image.Bytes[:200]
	}
	names := []string{"tench", "goldfish", "shark"}
	flat := t.TempDir()
	write(t, flat, "x.parquet", hub(t, rows, names))
	for _, o := range []Options{{Val: -1}, {}, {Train: 20, Val: 10}, {CacheLimit: 1}, {NoCache: true}} {
		o.Resolution, o.MaxCorrupt = 8, 0.1
		o.Cache = t.TempDir()
		want := open(t, flat, o)
		if want.Info.Classes != 3 || !slices.Equal(want.Info.Labels, names) {
			t.Errorf("%+v", want.Info)
		}
		if len(want.Corrupt()) > 3 || o.Train == 0 && o.CacheLimit == 0 && len(want.Corrupt()) != 3 {
			t.Errorf("damaged: %v", want.Corrupt())
		}
		for _, e := range want.Corrupt() {
			if !strings.Contains(e.Reason, "row ") || e.Offset < 4 {
				t.Errorf("%v", e)
			}
		}
		for _, c := range []parquet.WriterOption{parquet.Compression(&parquet.Snappy), parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(1)} {
			dir := t.TempDir()
			for i, from := range []int{0, 7, 30} {
				part := rows[from:[]int{7, 30, 60}[i]]
				write(t, dir, fmt.Sprintf("data/train-%05d-of-00003.parquet", i), hub(t, part, names, c, parquet.MaxRowsPerRowGroup(9)))
			}
			hidden := hubRows(t, 5)
			for i := range hidden {
				hidden[i].Label = -1
			}
			write(t, dir, "data/test-00000-of-00001.parquet", hub(t, hidden, names))
			got := open(t, dir, o)
			sameData(t, fmt.Sprintf("%+v, %v", o, c), got, want)
		}
	}
}

// Images of large pages that are decompressed as a whole are copied once, as far as there is room.
func TestImagesOfLargePagesAreCopied(t *testing.T) {
	var rows []hubRow
	for i := range 60 {
		rows = append(rows, hubRow{hubImage{Bytes: rgb(t, 60, 60+i%2, uint64(i))}, int64(i % 3)})
	}
	plain := t.TempDir()
	write(t, plain, "x.parquet", hub(t, rows, nil, parquet.Compression(&parquet.Uncompressed)))
	o := Options{Val: -1, Resolution: 32, Cache: t.TempDir(), CacheLimit: 20 * 10_000}
	want := open(t, plain, o)
	for _, codec := range []parquet.WriterOption{parquet.Compression(&parquet.Zstd), parquet.Compression(&parquet.Gzip)} {
		file := write(t, t.TempDir(), "x.parquet", hub(t, rows, nil, codec, parquet.PageBufferSize(1<<22)))
		o.Cache = t.TempDir()
		sameData(t, "first", open(t, file, o), want)
		sameData(t, "second", open(t, file, o), want)
		memory := o
		memory.NoCache = true
		sameData(t, "memory", open(t, file, memory), want)
		spoil(t, file, 20_000, 100_000)
		d, copied := open(t, file, o), 0
		for i := range d.Train.Len() {
			var format *FormatError
			switch err := d.Train.Image(i, make([]byte, 3*32*32)); {
			case err == nil:
				copied++
			case !errors.As(err, &format):
				t.Error(err)
			}
		}
		if copied < 15 || copied > 20 {
			t.Errorf("%d images are copied", copied)
		}
	}
}

func TestParquetLabels(t *testing.T) {
	type named struct {
		Img   hubImage `parquet:"img"`
		Label string   `parquet:"label"`
	}
	type bare struct {
		Image []byte `parquet:"image,plain"`
		Label int32  `parquet:"label"`
		Other int32  `parquet:"other"`
	}
	img := func(i int) hubImage { return hubImage{Bytes: gray(t, 6, 6, uint64(i))} }
	for what, data := range map[string][]byte{
		"0 cat,1 dog,1 dog": hub(t, []named{{img(1), "dog"}, {img(2), "cat"}, {img(3), "dog"}}, nil),
		"0,2,2":             hub(t, []bare{{img(1).Bytes, 2, 0}, {img(2).Bytes, 0, 0}, {img(3).Bytes, 2, 0}}, nil),
		"0 a,2 c,2 c":       hub(t, []bare{{img(1).Bytes, 2, 0}, {img(2).Bytes, 0, 0}, {img(3).Bytes, 2, 0}}, []string{"a", "b", "c"}),
	} {
		d := open(t, write(t, t.TempDir(), "x.parquet", data), Options{Val: -1})
		var got []string
		for i := range d.Train.Len() {
			text := fmt.Sprint(d.Train.Label(i))
			if d.Info.Labels != nil {
				text += " " + d.Info.Labels[d.Train.Label(i)]
			}
			got = append(got, text)
		}
		slices.Sort(got)
		if strings.Join(got, ",") != what {
			t.Errorf("%q, not %q", got, what)
		}
	}
}

func TestDamagedParquet(t *testing.T) {
	rows := hubRows(t, 9)
	whole := hub(t, rows, nil)
	broken := bytes.Clone(whole)
	for i := range 40 {
		broken[4+i] ^= 0x5a
	}
	with := func(change func(r []hubRow)) []byte {
		r := slices.Clone(rows)
		change(r)
		return hub(t, r, nil)
	}
	type other struct {
		Picture []byte `parquet:"picture"`
		Label   int64  `parquet:"label"`
	}
	type two struct {
		A     hubImage `parquet:"a"`
		B     hubImage `parquet:"b"`
		Label int64    `parquet:"label"`
	}
	type unlabeled struct {
		Image hubImage `parquet:"image"`
		Fine  int64    `parquet:"fine_label"`
	}
	type real struct {
		Image hubImage `parquet:"image"`
		Label float64  `parquet:"label"`
	}
	for _, c := range []struct {
		what string
		data []byte
		want string
	}{
		{"cut", whole[:len(whole)/2], "x.parquet: at byte "},
		{"empty", nil, "x.parquet: not a Parquet file: it has 0 bytes"},
		{"broken page", broken, "x.parquet: at byte 4: "},
		{"brotli", hub(t, rows, nil, parquet.Compression(&parquet.Brotli)), "compressed with Brotli: none, Snappy"},
		{"other columns", hub(t, []other{{}}, nil), "no column of images: there must be image.bytes, or one other column with bytes; there are picture, label"},
		{"two columns", hub(t, []two{{}}, nil), "no column of images"},
		{"no classes", hub(t, []unlabeled{{}}, nil), "no column of classes: there must be label, or another one must be named (labels); there are image.bytes, image.path, fine_label"},
		{"real classes", hub(t, []real{{}}, nil), "column label: a list, or of a type that is not read"},
		{"no bytes", with(func(r []hubRow) { r[4].Image.Bytes = nil }), "row 4: no bytes of an image"},
		{"no class", with(func(r []hubRow) { r[4].Label = -1 }), "row 4: no class"},
		{"no classes at all", with(func(r []hubRow) {
			for i := range r {
				r[i].Label = -1
			}
		}), "none of the images has one"},
		{"negative", with(func(r []hubRow) { r[4].Label = -2 }), "row 4: class -2; classes are numbered"},
		{"large", with(func(r []hubRow) { r[4].Label = 1 << 40 }), "row 4: class 1099511627776"},
		{"fewer names", hub(t, rows, []string{"a", "b"}), "class 2, but there are 2 classes"},
		{"names twice", hub(t, rows, []string{"a", "b", "a"}), `states "a" as the name of a class`},
		{"no rows", hub(t, rows[:0], nil), "there are no JPEG, PNG or WebP images"},
	} {
		dir := t.TempDir()
		write(t, dir, "x.parquet", c.data)
		var format *FormatError
		if _, err := Open(dir, Options{Cache: t.TempDir(), Val: -1}); !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.what, err, c.want)
		}
	}
	dir := t.TempDir()
	write(t, dir, "x.parquet", whole)
	write(t, dir, "x.tar", nil)
	if _, err := Open(dir, Options{NoCache: true}); err == nil || !strings.Contains(err.Error(), "x.tar: is of another kind than "+filepath.Join(dir, "x.parquet")) {
		t.Error(err)
	}
	// Damage after the index was made is that of images.
	dir, cache := t.TempDir(), t.TempDir()
	file := write(t, dir, "x.parquet", hub(t, rows, nil, parquet.Compression(&parquet.Zstd)))
	o := Options{Cache: cache, Val: -1, CacheLimit: 1, Resolution: 8}
	open(t, dir, o)
	spoil(t, file, 2100, 2000)
	d := open(t, dir, o)
	var format *FormatError
	if err := d.Train.Image(0, make([]byte, 3*8*8)); !errors.As(err, &format) || !strings.Contains(err.Error(), "row ") {
		t.Error(err)
	}
}
