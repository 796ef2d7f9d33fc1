package main

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stripes writes a folder of images by class: each class has a bright third of its own. Sizes differ, as of photographs.
func stripes(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for class, name := range []string{"left", "middle", "right"} {
		for i := range 24 {
			w, h := 40+i%5, 44-i%3
			m := image.NewNRGBA(image.Rect(0, 0, w, h))
			for y := range h {
				for x := range w {
					v := uint8((x*7 + y*13 + i*29) % 80)
					if 3*x/w == class {
						v += 150
					}
					m.Set(x, y, color.NRGBA{v, v / 2, 255 - v, 255})
				}
			}
			writeImage(t, filepath.Join(dir, "train", name, string(rune('a'+i))+".png"), m)
		}
	}
	return dir
}

func writeImage(t *testing.T, path string, m image.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, m); err != nil {
		t.Fatal(err)
	}
}

// predictions reads JSON Lines of predict.
func predictions(t *testing.T, out string) []predictLine {
	t.Helper()
	var all []predictLine
	for line := range strings.Lines(out) {
		var l predictLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// The error that eval says is that of predictions: images are prepared alike.
func TestPredict(t *testing.T) {
	net, data, dir := writeFile(t, "net.yaml", tinyNet), stripes(t), t.TempDir()
	// Training images hold validation images out; a copy is both, with nothing to choose.
	if err := os.CopyFS(filepath.Join(data, "val"), os.DirFS(filepath.Join(data, "train"))); err != nil {
		t.Fatal(err)
	}
	must(t, "train", net, "--data", data, "--engine", "reference", "--resolution", "16", "--epochs", "6", "--out", dir)
	w := filepath.Join(dir, "weights.safetensors")
	var eval struct{ Error float64 }
	if err := json.Unmarshal([]byte(must(t, "eval", net, "--weights", w, "--data", data, "--resolution", "16", "--engine", "reference", "--json")), &eval); err != nil {
		t.Fatal(err)
	}
	all := predictions(t, must(t, "predict", net, "--weights", w, filepath.Join(data, "val"), "--engine", "reference", "--batch", "5", "--top", "9", "--json"))
	wrong, last := 0, ""
	for _, l := range all {
		sum := 0.0
		for _, c := range l.Classes {
			sum += float64(c.Probability)
		}
		if len(l.Classes) != 3 || sum < 0.999 || sum > 1.001 || l.Image <= last {
			t.Fatalf("%+v after %s", l, last)
		}
		last = l.Image
		if l.Classes[0].Name != filepath.Base(filepath.Dir(l.Image)) {
			wrong++
		}
	}
	if len(all) != 72 || 100*float64(wrong)/72 != eval.Error || eval.Error > 60 {
		t.Errorf("%d of %d predictions are wrong, eval says %g %%", wrong, len(all), eval.Error)
	}

	// Damaged images are named, in their place, and the rest done.
	folder := t.TempDir()
	good, err := os.ReadFile(filepath.Join(data, "val", "left", "a.png"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"a.png": good, "b.png": good[:len(good)/2], "c.jpg": []byte("no image"), "d.png": good, "notes.txt": nil, ".hidden.png": nil} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, said, status := netspace(t, "predict", net, "--weights", w, folder, "--engine", "reference", "--json")
	got := predictions(t, out)
	if status != exitFailed || len(got) != 4 || got[0].Error != "" || got[1].Error == "" || got[2].Error == "" || len(got[3].Classes) != 3 || !strings.Contains(said, "b.png: ") {
		t.Errorf("status %d: %s%s", status, out, said)
	}
	out, _, status = netspace(t, "predict", net, "--weights", w, filepath.Join(folder, "a.png"), "--engine", "reference", "--top", "1")
	if status != exitOK || strings.Count(out, "%") != 1 || !strings.HasPrefix(out, filepath.Join(folder, "a.png")+": ") {
		t.Errorf("status %d: %s", status, out)
	}

	for _, c := range []struct{ want, args string }{
		{"there are no JPEG, PNG or WebP images", t.TempDir()},
		{"no such file", filepath.Join(folder, "e.png")},
		{"must be at least 1", folder + " --top 0"},
		{"2 means", folder + " --mean 0.5,0.5"},
	} {
		_, said, status := netspace(t, append([]string{"predict", net, "--weights", w, "--engine", "reference"}, strings.Fields(c.args)...)...)
		if status != exitUsage || !strings.Contains(said, c.want) {
			t.Errorf("predict %s: status %d, %s", c.args, status, said)
		}
	}
	bare := filepath.Join(t.TempDir(), "bare.safetensors")
	must(t, "init", net, "-o", bare, "--classes", "3")
	if _, said, status := netspace(t, "predict", net, "--weights", bare, folder); status != exitUsage || !strings.Contains(said, "--resolution is missing") {
		t.Errorf("status %d, %s", status, said)
	}
	if _, said, status := netspace(t, "predict", net, "--weights", bare, folder, "--resolution", "16"); status != exitUsage || !strings.Contains(said, "--mean and --std") {
		t.Errorf("status %d, %s", status, said)
	}
	must(t, "predict", net, "--weights", bare, filepath.Join(folder, "a.png"), "--resolution", "16", "--engine", "reference", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2")
}
