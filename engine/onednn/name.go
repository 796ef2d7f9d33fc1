package onednn

// Name is what the engine is opened by.
const Name = "onednn"
