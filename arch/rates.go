package arch

// WithDropRates returns the spec with these drop-path and dropout rates in
// place of its own; a rate of 0 leaves what the spec states. A training recipe
// may state rates, but they are part of the network that is built.
func (s Spec) WithDropRates(dropPath, dropout float64) Spec {
	set := func(path, out *float64) {
		if dropPath > 0 {
			*path = dropPath
		}
		if dropout > 0 {
			*out = dropout
		}
	}
	switch n := s.Network.(type) {
	case AnyNet:
		set(&n.DropPath, &n.Dropout)
		s.Network = n
	case RegNet:
		set(&n.DropPath, &n.Dropout)
		s.Network = n
	case EffNet:
		set(&n.DropPath, &n.Dropout)
		s.Network = n
	}
	return s
}
