package dataset_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"netspace/dataset"
)

// Train on the first 10,000 images of Fashion-MNIST, with 5,000 others held out.
func ExampleOpen() {
	data, err := dataset.Open("fashion-mnist", dataset.Options{Train: 10000, Val: 5000})
	if err != nil {
		log.Fatal(err)
	}
	defer data.Close()
	loader := dataset.NewLoader(data.Train, data.Info, dataset.LoaderOptions{
		Batch: 128, Seed: 1, Shuffle: true, DropLast: true,
		Augment: dataset.Augment{PadCrop: 4, Flip: true},
	})
	for epoch := range 5 {
		it := loader.Epoch(epoch, 0)
		for {
			batch, err := it.Next(context.Background())
			if err == io.EOF {
				break
			}
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(epoch, batch.Number, batch.N, len(batch.Images))
		}
	}
}
