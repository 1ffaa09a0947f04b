"""Downloaded data sets: found, checked against their published checksums, parsed; no torch."""
