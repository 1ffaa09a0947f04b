"""Simulators and data sets; one file each."""
