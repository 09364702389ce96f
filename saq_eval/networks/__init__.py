"""Networks as torch modules: architectures by name, and what is done to any network, whoever made it."""
