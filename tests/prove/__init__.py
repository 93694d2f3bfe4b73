"""The promises of docs/guarantees.md, each put to the proof: `make prove`."""
