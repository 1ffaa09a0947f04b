"""Estimators of q(theta | x)."""
