package arch

// Silhouette is what a drawing of a network shows (DDS, fig. 9, 15 and 16): the
// width of every block, in stages, and the continuous line behind them, that of
// a RegNet itself or else that of the best fit.
type Silhouette struct {
	Widths []int `json:"widths"` // of every block, in channels
	Stages []int `json:"stages"` // the stage of every block, from 1
	// The line is u_j = W0 + WA·j for block j, from 0; WM quantises it.
	W0 float64 `json:"w0"`
	WA float64 `json:"wa"`
	WM float64 `json:"wm"`
	// e_fit, the mean over the blocks of |log(ŵ_j / w_j)|; nil for a RegNet, whose line is its own.
	FitError *float64 `json:"e_fit,omitempty"`
}

// Line is u_j of every block.
func (s Silhouette) Line() []float64 {
	u := make([]float64, len(s.Widths))
	for j := range u {
		u[j] = s.W0 + s.WA*float64(j)
	}
	return u
}

// Silhouette is the network as its drawing shows it. The error is Validate's.
func (s Spec) Silhouette() (Silhouette, error) {
	if err := s.Validate(); err != nil {
		return Silhouette{}, err
	}
	n := s.blocks()
	var out Silhouette
	for i, st := range n.Stages {
		for range st.Depth {
			out.Widths, out.Stages = append(out.Widths, st.Width), append(out.Stages, i+1)
		}
	}
	if r, ok := s.Network.(RegNet); ok {
		out.W0, out.WA, out.WM = r.W0, r.WA, r.WM
		return out, nil
	}
	f := n.Fit()
	out.W0, out.WA, out.WM, out.FitError = f.W0, f.WA, f.WM, &f.Error
	return out, nil
}
