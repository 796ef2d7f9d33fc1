package dataset

import (
	"bufio"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
)

// testPicture is the image of testdata/pillow.py.
func testPicture(channels int) picture {
	p := picture{make([]byte, channels*9*11), 9, 11}
	for c := range channels {
		for y := range p.h {
			for x := range p.w {
				p.pix[(c*p.h+y)*p.w+x] = byte((x*37 + y*91 + c*53 + x*y*7) % 256)
			}
		}
	}
	return p
}

// TestPillow compares every operation on bytes with Pillow's, bit for bit (see
// testdata/pillow.py).
func TestPillow(t *testing.T) {
	f, err := os.Open("testdata/pillow.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if fields[0] == "#" {
			continue
		}
		lines++
		op, channels := fields[0], map[string]int{"RGB": 3, "L": 1}[fields[1]]
		w, _ := strconv.Atoi(fields[2])
		h, _ := strconv.Atoi(fields[3])
		var args []float64
		for _, a := range fields[4 : len(fields)-1] {
			v, err := strconv.ParseFloat(a, 64)
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, v)
		}
		want, err := hex.DecodeString(fields[len(fields)-1])
		if err != nil {
			t.Fatal(err)
		}
		p := testPicture(channels)
		spare := make([]byte, len(p.pix))
		var rs resizer
		switch op {
		case "resize":
			dst := picture{make([]byte, channels*h*w), h, w}
			rs.resize(dst, p, channels, box{args[1], args[0], args[3], args[2]})
			p = dst
		case "brightness":
			brightness(p.pix, float32(args[0]))
		case "contrast":
			contrast(p.pix, channels, float32(args[0]))
		case "saturation":
			saturation(p.pix, channels, float32(args[0]))
		case "sharpness":
			sharpness(p, channels, float32(args[0]), spare)
		case "autocontrast", "equalize":
			for i, v := range p.pix {
				p.pix[i] = 40 + v/3
			}
			if op == "autocontrast" {
				autocontrast(p.pix, channels)
				break
			}
			dst := picture{make([]byte, channels*h*w), h, w}
			rs.resize(dst, p, channels, whole(p))
			p = dst
			equalize(p.pix, channels)
		case "posterize":
			posterize(p.pix, int(args[0]))
		case "solarize":
			solarize(p.pix, args[0])
		case "rotate":
			affine(p, channels, rotation(args[0], p.h, p.w), spare)
		case "shear-x":
			affine(p, channels, [6]float64{1, args[0], 0, 0, 1, 0}, spare)
		case "shear-y":
			affine(p, channels, [6]float64{1, 0, 0, args[0], 1, 0}, spare)
		case "translate-x":
			affine(p, channels, [6]float64{1, 0, -args[0], 0, 1, 0}, spare)
		case "translate-y":
			affine(p, channels, [6]float64{1, 0, 0, 0, 1, -args[0]}, spare)
		default:
			t.Fatalf("operation %s", op)
		}
		wrong := 0
		slack := 0
		if op == "autocontrast" { // Pillow's floating point turns some 255 into 254
			slack = 1
		}
		for i := range want {
			if d := int(p.pix[i]) - int(want[i]); d < 0 || d > slack {
				wrong++
			}
		}
		if len(p.pix) != len(want) || p.h != h || p.w != w || wrong > 0 {
			t.Errorf("%s %v: %d of %d bytes differ from Pillow's\n got %x\nwant %x", op, fields[1:len(fields)-1], wrong, len(want), p.pix, want)
		}
	}
	if lines < 60 {
		t.Errorf("%d comparisons were read", lines)
	}
}
