//go:build cgo

package onednn

import (
	"testing"

	"pgregory.net/rapid"
)

// Buffers that live at the same time share no memory, and the arena is neither
// smaller than what lives in its fullest loop nor larger than all buffers together.
func TestBuffersDoNotMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := planner{batch: rapid.Int64Range(1, 5).Draw(t, "batch")}
		loops := rapid.IntRange(1, 12).Draw(t, "loops")
		var unused []*buffer
		for range rapid.IntRange(1, 30).Draw(t, "buffers") {
			size := rapid.IntRange(1, 200).Draw(t, "size")
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				p.pin("pinned", int64(size))
			case 1:
				unused = append(unused, p.fixed("unused", int64(size)))
			default:
				b := p.perImage("used", size)
				for range rapid.IntRange(1, 3).Draw(t, "uses") {
					p.loop = rapid.IntRange(0, loops-1).Draw(t, "loop")
					p.use(b)
				}
			}
		}
		arena := p.place()

		var all, fullest int64
		live := make([]int64, loops)
		var placed []*buffer
		for _, b := range p.buffers {
			if b.first > b.last {
				continue
			}
			placed = append(placed, b)
			all += b.size
			if b.size%16 != 0 || b.off%16 != 0 {
				t.Fatalf("%+v does not begin and end on a cache line", *b)
			}
			if b.off < 0 || b.off+b.size > arena {
				t.Fatalf("%+v is outside the arena of %d", *b, arena)
			}
			for loop := max(0, b.first); loop <= min(loops-1, b.last); loop++ {
				live[loop] += b.size
				fullest = max(fullest, live[loop])
			}
		}
		if len(placed)+len(unused) != len(p.buffers) {
			t.Fatalf("%d of %d buffers are placed, %d are never used", len(placed), len(p.buffers), len(unused))
		}
		if a, b := meeting(placed); a != nil {
			t.Fatalf("%+v and %+v share memory", *a, *b)
		}
		if arena < fullest || arena > all {
			t.Fatalf("the arena is %d, its fullest loop needs %d, all buffers %d", arena, fullest, all)
		}
	})
}

// meeting finds two buffers that share memory while both live.
func meeting(placed []*buffer) (a, b *buffer) {
	for i, a := range placed {
		for _, b := range placed[:i] {
			if a.first <= b.last && b.first <= a.last && a.off < b.off+b.size && b.off < a.off+a.size {
				return a, b
			}
		}
	}
	return nil, nil
}

// Plans made wrong are found: a place or a life that is off by the least there is.
func TestMeetingBuffersAreFound(t *testing.T) {
	wrong := map[string]func(first, second, third *buffer){
		"":                            func(_, _, _ *buffer) {},
		"one line too low":            func(_, second, _ *buffer) { second.off -= 16 },
		"one line too long":           func(first, _, _ *buffer) { first.size += 16 },
		"lives a loop longer":         func(first, _, _ *buffer) { first.last++ },
		"lives from a loop before on": func(_, _, third *buffer) { third.first-- },
	}
	for name, change := range wrong {
		p := planner{batch: 1}
		var b [3]*buffer // a chain: the third takes the place of the first
		for i := range b {
			b[i] = p.perImage("map", 160)
			for p.loop = i; p.loop <= i+1; p.loop++ {
				p.use(b[i])
			}
		}
		p.place()
		if b[0].off != 0 || b[2].off != 0 || b[1].off != 160 {
			t.Fatalf("places %d, %d, %d", b[0].off, b[1].off, b[2].off)
		}
		change(b[0], b[1], b[2])
		if a, _ := meeting(p.buffers); (a != nil) != (name != "") {
			t.Errorf("%q: found %v", name, a)
		}
	}
}

// Buffers whose lives do not meet share memory: a chain, in which each lives
// until the next is written, takes the largest two of neighbours.
func TestArenaIsShared(t *testing.T) {
	p := planner{batch: 1}
	for i := range 20 {
		b := p.perImage("map", 160)
		for p.loop = i; p.loop <= i+1; p.loop++ {
			p.use(b)
		}
	}
	if arena := p.place(); arena != 320 {
		t.Errorf("the arena is %d, want 320", arena)
	}
}
