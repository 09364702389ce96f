"""From scores to tables and findings: statistics, groups of networks, interpretability, words."""
