"""Attacks and their objectives; one file each."""
