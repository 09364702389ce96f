"""What every package rests on: errors, names with parameters, registries, plain-data records, paths, randomness, devices."""
