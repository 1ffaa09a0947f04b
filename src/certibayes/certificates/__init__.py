"""What no perturbation of a given size can do; one file each."""
