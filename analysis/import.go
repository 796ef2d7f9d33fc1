package analysis

// Imported says how populations that were trained elsewhere were read.
type Imported struct {
	Format string `json:"format"`
}
