"""Studies: grids of networks to train and to compare."""
