package study

import (
	"context"
	"fmt"

	"netspace/space"
)

// sample draws the population of a space. The first networks of a larger
// sample are those of a smaller one.
func sample(ctx context.Context, name string, c Config, study studyRecord) ([]trialRecord, error) {
	s, err := space.Load(name)
	if err != nil {
		return nil, &RequestError{fmt.Errorf("spaces: %w", err)}
	}
	networks, _, err := s.Sample(ctx, space.Config{Input: study.Input.arch(), Network: c.Network, Regime: c.Regime, Seed: c.Seed}, c.Samples)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, &RequestError{fmt.Errorf("space %s: %w", name, err)}
	}
	trials := make([]trialRecord, len(networks))
	for i, n := range networks {
		id, seed, err := identify(n.Spec, study, c.Settings)
		if err != nil {
			return nil, err
		}
		trials[i] = trialRecord{Space: name, Index: i, ID: id, Seed: seed, Spec: n.Spec, Complexity: n.Complexity}
	}
	return trials, nil
}
