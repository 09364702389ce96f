"""The cells of a comparison: planning, computing by one or more processes, and storing them."""
