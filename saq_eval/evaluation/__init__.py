"""The cells of a comparison: planned, computed by one or more processes, and kept."""
