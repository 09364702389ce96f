"""The analysis of scores: statistics, groups of networks, interpretability, tables and findings."""
