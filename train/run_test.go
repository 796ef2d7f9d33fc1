package train

import (
	"context"
	"testing"
)

func TestRunLearns(t *testing.T) {
	r := testRecipe()
	r.Epochs = 12
	res, err := Run(context.Background(), testJob(t, r))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", res)
	if res.Error > 20 { // chance is 67 %
		t.Errorf("error %.1f %% after %d epochs on bars that a line tells apart", res.Error, r.Epochs)
	}
}
