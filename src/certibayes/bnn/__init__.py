"""How weights are inferred; one file each."""
