"""Measurements of the suite; see README.md in this folder."""
