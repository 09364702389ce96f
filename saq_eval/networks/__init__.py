"""Networks as torch modules: architectures by name, and functions that work on any network."""
