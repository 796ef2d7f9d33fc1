package strict

// Strings reads a list of texts.
func (f *Fields) Strings(name string, to *[]string) {
	f.list(name, "a list of texts", func(items []*node) bool {
		out := make([]string, len(items))
		for i, n := range items {
			if n.kind != scalar {
				f.wrong(n, "a text")
			}
			out[i] = n.text
		}
		*to = out
		return true
	})
}
