"""Pictures of results: plain arrays in, a PNG out; no torch."""
