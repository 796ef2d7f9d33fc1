package train

import (
	"context"
	"io"
	"time"

	"netspace/dataset"
)

// BenchData times how fast the batches of a recipe are prepared: read, decoded, augmented and normalised as a training with so many
// threads does it. It returns images per second, over at least the given time after one batch for each goroutine.
func BenchData(ctx context.Context, d *dataset.Data, r Recipe, threads int, least time.Duration) (float64, error) {
	workers := decoders(threads)
	l := dataset.NewLoader(d.Train, d.Info, dataset.LoaderOptions{Batch: r.Batch, Shuffle: r.Shuffle, Augment: r.augmentation(d.Info), Workers: workers})
	var (
		start  time.Time
		images int
	)
	for epoch, batch := 0, 0; ; epoch++ {
		it := l.Epoch(epoch, 0)
		for ; ; batch++ {
			b, err := it.Next(ctx)
			if err == io.EOF {
				break
			}
			if err != nil {
				it.Close()
				return 0, err
			}
			switch passed := time.Since(start); {
			case batch < workers:
				start = time.Now()
				continue
			case passed >= least:
				it.Close()
				return float64(images+b.N) / passed.Seconds(), nil
			}
			images += b.N
		}
	}
}
