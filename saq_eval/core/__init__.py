"""What every other package uses: errors, names with parameters, registries, plain-data records, paths, randomness, devices."""
