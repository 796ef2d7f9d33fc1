package dataset

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// member is one of a tar archive.
type member struct {
	name string
	data []byte
}

// archive is a tar archive of files.
func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pack writes the images of a folder, as tar does it, to shards of n each.
func pack(t testing.TB, from, to, name string, n int) {
	t.Helper()
	list, _, err := listFolders(t.Context(), from, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := slices.Clone(list.files)
	slices.SortFunc(files, func(a, b photoFile) int { return strings.Compare(a.id.name, b.id.name) })
	for shard := 0; len(files) > 0; shard++ {
		var members []member
		for _, f := range files[:min(n, len(files))] {
			data, err := os.ReadFile(filepath.Join(from, f.id.name))
			if err != nil {
				t.Fatal(err)
			}
			members = append(members, member{"./" + f.id.name, data})
		}
		files = files[len(members):]
		write(t, to, fmt.Sprintf("%s-%03d.tar", name, shard), archive(t, members...))
	}
}

// sameData reports how two data sets differ.
func sameData(t *testing.T, what string, got, want *Data) {
	t.Helper()
	g, w := got.Info, want.Info
	g.Name, w.Name = "", ""
	if fmt.Sprint(g) != fmt.Sprint(w) {
		t.Errorf("%s: %+v, not %+v", what, g, w)
	}
	size := w.Channels * w.Height * w.Width
	for _, s := range [][2]Split{{got.Train, want.Train}, {got.Val, want.Val}, {got.Test, want.Test}} {
		if (s[0] == nil) != (s[1] == nil) {
			t.Fatalf("%s: a part is missing", what)
		}
		if s[1] != nil {
			same(t, what, s[0], s[1].Len(), s[1], 0, size)
		}
	}
}

// A folder that is packed into archives is the same data set: the same images in the same order, whatever of them
// are damaged, and whether they are kept decoded or not.
func TestShardsAreTheFolderThatWasPacked(t *testing.T) {
	dir, _ := damagedFolder(t)
	shards, whole := t.TempDir(), t.TempDir()
	pack(t, dir, shards, "images", 7)
	pack(t, dir, whole, "all", 1000)
	for _, o := range []Options{
		{Val: -1}, {}, {Train: 20, Val: 10}, {CacheLimit: 1}, {CacheLimit: 1, Train: 11, Val: 4}, {NoCache: true},
	} {
		o.Resolution, o.MaxCorrupt, o.Cache = 8, 0.2, t.TempDir()
		want := open(t, dir, o)
		for _, path := range []string{shards, whole, filepath.Join(whole, "all-000.tar"), filepath.Join(shards, "images-{000..008}.tar")} {
			for range 2 {
				got := open(t, path, o)
				sameData(t, fmt.Sprintf("%s, %+v", path, o), got, want)
				if g, w := len(got.Corrupt()), len(want.Corrupt()); g != w {
					t.Errorf("%d damaged images, not %d", g, w)
				}
				for _, e := range got.Corrupt() {
					data, err := os.ReadFile(e.File)
					if err != nil || e.Offset < tarBlock || !bytes.HasPrefix(data[e.Offset:], []byte("\x89PNG")) || !strings.Contains(e.Reason, ".png: ") {
						t.Errorf("%v", e)
					}
				}
			}
		}
	}
}

func TestShardParts(t *testing.T) {
	flat, folders, hub := t.TempDir(), t.TempDir(), t.TempDir()
	sample := func(i int) []member {
		return []member{{fmt.Sprintf("%03d.png", i), rgb(t, 6, 6, uint64(i))}, {fmt.Sprintf("%03d.cls", i), fmt.Appendf(nil, "%d\n", i%3)}}
	}
	for i := range 12 {
		data := archive(t, append(sample(2*i), sample(2*i+1)...)...)
		part := []string{"train", "train", "validation", "test"}[i%4]
		write(t, flat, fmt.Sprintf("set-%s-%02d.tar", part, i), data)
		write(t, folders, fmt.Sprintf("%s/%02d.tar", part, i), data)
		write(t, hub, fmt.Sprintf("data/%s-%02d.tar", part, i), data)
	}
	write(t, folders, "classes.txt", []byte("tench\ngold fish\r\nshark\n"))
	write(t, hub, "README.md", nil)
	write(t, hub, ".cache/huggingface/x", nil)
	for _, dir := range []string{flat, folders, hub} {
		d := open(t, dir, Options{})
		if d.Train.Len() != 12 || d.Val.Len() != 6 || d.Test.Len() != 6 || d.Info.Classes != 3 || d.Info.Channels != 3 || d.Info.Photos {
			t.Errorf("%s: %d, %d, %d images, %+v", dir, d.Train.Len(), d.Val.Len(), d.Test.Len(), d.Info)
		}
		if named := []string{"tench", "gold fish", "shark"}; dir == folders && !slices.Equal(d.Info.Labels, named) || dir != folders && d.Info.Labels != nil {
			t.Errorf("%s: classes %q", dir, d.Info.Labels)
		}
		for _, s := range []Split{d.Train, d.Val, d.Test} {
			for i := range s.Len() {
				p, k := pixels(t, s, i, 3*6*6), -1
				for j := range 24 {
					if m := noise(6*6*4, uint64(j)); bytes.Equal([]byte{m[0], m[1], m[2], m[4]}, []byte{p[0], p[36], p[72], p[1]}) {
						k = j
					}
				}
				if k < 0 || s.Label(i) != k%3 {
					t.Fatalf("%s: image %d is of class %d", dir, k, s.Label(i))
				}
			}
		}
	}
	write(t, flat, "more.tar", archive(t, sample(1)...))
	if _, err := Open(flat, Options{NoCache: true}); err == nil || !strings.Contains(err.Error(), "more.tar: its name has none of the words") {
		t.Error(err)
	}
	// Folders of images stay what they were.
	write(t, folders, "train/a/x.png", rgb(t, 6, 6, 1))
	write(t, folders, "train/b/x.png", rgb(t, 6, 6, 2))
	if d := open(t, folders, Options{Val: -1}); d.Train.Len() != 2 {
		t.Errorf("%d images", d.Train.Len())
	}
}

// Where labels come from.
func TestShardLabels(t *testing.T) {
	img := func(i int) []byte { return rgb(t, 6, 6, uint64(i)) }
	for _, c := range []struct {
		what    string
		members []member
		classes []string
		want    []string // name or number of each image's class, sorted
	}{
		{"numbers", []member{{"a.jpg", img(1)}, {"a.cls", []byte("4")}, {"b.cls", []byte(" 0\n")}, {"b.JPEG", img(2)}, {"b.txt", nil}}, nil, []string{"0", "4"}},
		{"the .cls before the .json", []member{{"a.cls", []byte("1")}, {"a.json", []byte(`{"label":"x"}`)}, {"a.png", img(1)}, {"b.png", img(2)}, {"b.cls", []byte("2")}, {"b.seg.png", img(3)}}, nil, []string{"1", "2"}},
		{"numbers in .json", []member{{"a.png", img(1)}, {"a.json", []byte(`{"id":[1],"label":1}`)}, {"b.png", img(2)}, {"b.json", []byte(`{"label":0}`)}}, nil, []string{"0", "1"}},
		{"names in .json", []member{{"info.json", []byte(`{}`)}, {"a.png", img(1)}, {"a.json", []byte(`{"label":"dog"}`)}, {"b.json", []byte(`{"label":"cat"}`)}, {"b.png", img(2)}}, nil, []string{"0 cat", "1 dog"}},
		{"known names", []member{{"a.png", img(1)}, {"a.json", []byte(`{"label":"dog"}`)}, {"b.json", []byte(`{"label":"cat"}`)}, {"b.png", img(2)}}, []string{"dog", "eel", "cat"}, []string{"0 dog", "2 cat"}},
		{"folders", []member{{"cat/1.png", img(1)}, {"cat/1.jpg", img(5)}, {"./dog/x/2.b.png", img(2)}, {"dog/.x/2.png", nil}, {"._dog/2.png", nil}, {"dog/notes", nil}}, nil, []string{"0 cat", "0 cat", "1 dog"}},
	} {
		dir := t.TempDir()
		write(t, dir, "x.tar", archive(t, c.members...))
		if c.classes != nil {
			write(t, dir, "classes.txt", []byte(strings.Join(c.classes, "\n")))
		}
		d := open(t, dir, Options{Val: -1})
		var got []string
		for i := range d.Train.Len() {
			l := d.Train.Label(i)
			text := fmt.Sprint(l)
			if d.Info.Labels != nil {
				text += " " + d.Info.Labels[l]
			}
			got = append(got, text)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.what, got, c.want)
		}
	}
}

// Of several labels the one that is named counts; another choice is another data set, cached or not, and one that a data
// set does not have is an error that names what there is.
func TestLabelsThatAreNamed(t *testing.T) {
	type row struct {
		Image  hubImage `parquet:"image,optional"`
		Fine   int64    `parquet:"fine_label"`
		Coarse int64    `parquet:"coarse_label"`
	}
	var rows []row
	var members []member
	for i := range 12 {
		img := rgb(t, 6, 6, uint64(i))
		rows = append(rows, row{hubImage{Bytes: img}, int64(i), int64(i % 3)})
		name := fmt.Sprintf("%02d", i)
		members = append(members, member{name + ".png", img}, member{name + ".cls", []byte("0")},
			member{name + ".json", fmt.Appendf(nil, `{"label":%d,"more":{"coarse":%d}}`, i, i%3)})
	}
	shards, folder := t.TempDir(), t.TempDir()
	parquetFile, tarFile := write(t, shards, "x.parquet", hub(t, rows, nil)), write(t, t.TempDir(), "x.tar", archive(t, members...))
	write(t, folder, "a/1.png", rgb(t, 6, 6, 1))
	write(t, folder, "b/1.png", rgb(t, 6, 6, 2))
	cache := t.TempDir()
	for range 2 {
		for _, c := range []struct {
			path, labels string
			classes      int
		}{{parquetFile, "fine_label", 12}, {parquetFile, "coarse_label", 3}, {tarFile, "label", 12}, {tarFile, "more.coarse", 3}} {
			d, err := Open(c.path, Options{Labels: c.labels, Cache: cache, Val: -1})
			if err != nil {
				t.Fatal(err)
			}
			count := make([]int, d.Info.Classes)
			for i := range d.Train.Len() {
				count[d.Train.Label(i)]++
			}
			if len(count) != c.classes || slices.Min(count) != 12/c.classes {
				t.Errorf("%s by %s: classes of %v images", c.path, c.labels, count)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The order of the names of classes decides their numbers, also of images that were kept decoded.
	named := t.TempDir()
	file := write(t, named, "x.tar", archive(t, member{"a/1.png", rgb(t, 6, 6, 1)}, member{"b/2.png", rgb(t, 6, 6, 2)}))
	for _, names := range []string{"a\nb", "b\na"} {
		write(t, named, "classes.txt", []byte(names))
		d, err := Open(file, Options{Cache: cache, Val: -1})
		if err != nil {
			t.Fatal(err)
		}
		image := make([]byte, 3*6*6)
		for i := range d.Train.Len() {
			if err := d.Train.Image(i, image); err != nil {
				t.Fatal(err)
			}
			first := bytes.Equal(image, planes(t, rgb(t, 6, 6, 1)))
			if (d.Info.Labels[d.Train.Label(i)] == "a") != first {
				t.Errorf("with classes %q an image of %q is of class %s", names, map[bool]string{true: "a", false: "b"}[first], d.Info.Labels[d.Train.Label(i)])
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, labels, want string }{
		{parquetFile, "", "there must be label, or another one must be named (labels); there are image.bytes, image.path, fine_label, coarse_label"},
		{parquetFile, "label", `labels are to be "label"; there are image.bytes, image.path, fine_label, coarse_label`},
		{parquetFile, "image.bytes", `labels are to be "image.bytes", which has the images`},
		{tarFile, "more.fine", "00.png: no class: no .json with more.fine belongs to it, and it is in no folder"},
		{tarFile, "more", "00.json: more is neither the number nor the name of a class"},
		{folder, "label", `labels "label": it has no choice of them`},
	} {
		if _, err := Open(c.path, Options{Labels: c.labels, Cache: cache, Val: -1}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s by %q: %v; want %q", c.path, c.labels, err, c.want)
		}
	}
}

// planes is an encoded image as [3,h,w].
func planes(t testing.TB, data []byte) []byte {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	size := img.Bounds().Size()
	dst := picture{make([]byte, 3*size.X*size.Y), size.Y, size.X}
	planarImage(dst, img, 3)
	return dst.pix
}

// What is wrong with a shard is one error that names it and the byte.
func TestDamagedShards(t *testing.T) {
	good := []member{{"a.png", rgb(t, 6, 6, 1)}, {"a.cls", []byte("1")}, {"b.png", rgb(t, 6, 6, 2)}, {"b.cls", []byte("0")}}
	whole := archive(t, good...)
	with := func(more ...member) []byte { return archive(t, append(slices.Clone(good), more...)...) }
	special := func(h tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := errors.Join(w.WriteHeader(&h), w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	huge := bytes.Clone(whole)
	copy(huge[124:], "\x80\x00\x00\x00\x3f\xff\xff\xff\xff\xff\xff\xff") // size, base 256
	sum := 0
	copy(huge[148:156], "        ")
	for _, b := range huge[:tarBlock] {
		sum += int(b)
	}
	copy(huge[148:], fmt.Sprintf("%06o\x00 ", sum))
	for _, c := range []struct {
		what string
		data []byte
		want string
	}{
		{"cut in a member", whole[:560], "x.tar: at byte 512: a.png: truncated: it has"},
		{"cut in a header", whole[:1024+200], "x.tar: at byte 1024: truncated"},
		{"no end", whole[:len(whole)-1024], "truncated: the end of the archive is missing"},
		{"joined", append(bytes.Clone(whole), whole...), "after the end of the archive"},
		{"empty", nil, "truncated: the end"},
		{"no archive", bytes.Repeat([]byte("text "), 300), "x.tar: at byte 0: archive/tar: invalid tar header"},
		{"gzip", append([]byte("\x1f\x8b\x08"), make([]byte, 2000)...), "gunzip"},
		{"size", huge, "truncated: it has 4611686018427387903 bytes"},
		{"absolute", with(member{"/etc/a.png", nil}), "/etc/a.png: a name that leads out"},
		{"above", with(member{"x/../../a.png", nil}), "x/../../a.png: a name that leads out"},
		{"link", special(tar.Header{Typeflag: tar.TypeSymlink, Name: "a.png", Linkname: "/etc/passwd"}), "x.tar: at byte 512: a.png: a link, not a file"},
		{"hard link", special(tar.Header{Typeflag: tar.TypeLink, Name: "a.cls", Linkname: "b.cls"}), "a.cls: a link"},
		{"device", special(tar.Header{Typeflag: tar.TypeChar, Name: "a.png"}), "a.png: something of type '3'"},
		{"long name", with(member{strings.Repeat("n", 5000) + ".png", nil}), "a name of 5004 bytes"},
		{"twice", with(good[0], good[1]), "a.png: is there twice, first at byte 512"},
		{"no label", with(member{"c.png", nil}), "c.png: no class"},
		{"no image", with(member{"c.cls", []byte("1")}), "c: a sample with a class and without an image"},
		{"two images", with(member{"c.cls", []byte("1")}, member{"c.png", nil}, member{"c.jpg", nil}), "c: a sample of several images"},
		{"not a number", with(member{"c.cls", []byte("one\x1b")}), `c.cls: "one\x1b" is not the number`},
		{"negative", with(member{"c.cls", []byte("-1")}), "is not the number"},
		{"large", with(member{"c.cls", []byte("65536")}), "class 65536; classes are numbered from 0 to 65535"},
		{"long number", with(member{"c.cls", bytes.Repeat([]byte("0"), 1000)}), "is not the number"},
		{"not JSON", with(member{"c.json", []byte("{")}), "c.json: unexpected end of JSON"},
		{"a list", with(member{"c.json", []byte(`{"label":[1]}`)}), "c.json: label is neither"},
		{"large JSON", with(member{"c.json", bytes.Repeat([]byte(" "), maxJSONFile+1)}), "c.json: of more than 1024 KiB"},
		{"names and numbers", with(member{"c.png", nil}, member{"c.json", []byte(`{"label":"x"}`)}), "a number or a name"},
		{"one class", archive(t, good[:2]...), ""},
		{"no class 1", archive(t, good[2:]...), "of one class"},
		{"no images", archive(t, member{"readme.txt", []byte("x")}), "there are no JPEG, PNG or WebP images"},
		{"no folder", archive(t, good[0]), "a.png: no class"},
	} {
		dir := t.TempDir()
		write(t, dir, "x.tar", c.data)
		for _, path := range []string{dir, filepath.Join(dir, "x.tar")} {
			d, err := Open(path, Options{Cache: t.TempDir(), Val: -1})
			if c.want == "" {
				if err != nil {
					t.Errorf("%s: %v", c.what, err)
				}
				d.Close()
				continue
			}
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v; want %q", c.what, err, c.want)
			}
		}
	}
	dir := t.TempDir()
	write(t, dir, "x.tar.gz", nil)
	for path, want := range map[string]string{
		dir: "x.tar.gz: a compressed archive", filepath.Join(dir, "x.tar.gz"): "decompress it first",
		filepath.Join(dir, "x-{0..9}.tar"): "x-0.tar: is missing", filepath.Join(dir, "x-{9..0}.tar"): "no range", filepath.Join(dir, "x-{0..99999}.tar"): "no range",
		filepath.Join(dir, "x-{0..9}.gz"): "not a pattern",
	} {
		var format *FormatError
		if _, err := Open(path, Options{NoCache: true}); !errors.As(err, &format) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A changed shard is read anew; an index that is damaged is made anew.
func TestIndexIsKeptUntilShardsChange(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	sample := func(i, class int) []member {
		return []member{{fmt.Sprintf("%d.png", i), gray(t, 6, 6, uint64(i))}, {fmt.Sprintf("%d.cls", i), fmt.Append(nil, class)}}
	}
	file := write(t, dir, "x.tar", archive(t, append(sample(0, 0), sample(1, 1)...)...))
	o := Options{Cache: cache, Val: -1}
	if d := open(t, dir, o); d.Train.Len() != 2 || d.Info.Channels != 1 {
		t.Errorf("%d images, %+v", d.Train.Len(), d.Info)
	}
	before := cacheFiles(t, cache)
	if len(before) != 2 {
		t.Errorf("the cache holds %v", before)
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	// The same size and time: nobody looks into it.
	if err := errors.Join(os.WriteFile(file, make([]byte, st.Size()), 0o644), os.Chtimes(file, st.ModTime(), st.ModTime())); err != nil {
		t.Fatal(err)
	}
	if d := open(t, dir, o); d.Train.Len() != 2 {
		t.Errorf("%d images", d.Train.Len())
	}
	write(t, dir, "x.tar", archive(t, append(append(sample(0, 0), sample(1, 1)...), sample(2, 2)...)...))
	for range 2 {
		if d := open(t, dir, o); d.Train.Len() != 3 || d.Info.Classes != 3 {
			t.Errorf("%d images, %+v", d.Train.Len(), d.Info)
		}
		for _, name := range cacheFiles(t, cache) {
			if err := os.Truncate(filepath.Join(cache, name), 60); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := cacheFiles(t, cache); !slices.Equal(before, after) {
		t.Errorf("the cache holds %v, not %v", after, before)
	}
}

// spoil overwrites n bytes of a file from one on, and leaves its time.
func spoil(t testing.TB, file string, at int64, n int) {
	t.Helper()
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(make([]byte, n), at)
	if err := errors.Join(err, f.Close(), os.Chtimes(file, st.ModTime(), st.ModTime())); err != nil {
		t.Fatal(err)
	}
}
