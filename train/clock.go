package train

import "time"

// clock measures the rate of training steps of a session. The first step,
// which touches all memory for the first time, counts only while it is the only one.
type clock struct {
	first   float64 // images/s of the first step; 0 before it
	images  int     // of the steps after the first
	elapsed time.Duration
	since   time.Time // start of the current spell of stepping; zero between spells
}

func (c *clock) start() { c.since = time.Now() }

func (c *clock) stop() {
	c.elapsed += time.Since(c.since)
	c.since = time.Time{}
}

// tick counts a step of so many images.
func (c *clock) tick(images int) {
	if c.first == 0 {
		now := time.Now()
		c.first = float64(images) / max(now.Sub(c.since), 1).Seconds()
		c.since = now
		return
	}
	c.images += images
}

// rate is in images per second, 0 before the first step.
func (c *clock) rate() float64 {
	if c.images == 0 {
		return c.first
	}
	t := c.elapsed
	if !c.since.IsZero() {
		t += time.Since(c.since)
	}
	return float64(c.images) / max(t, 1).Seconds()
}
