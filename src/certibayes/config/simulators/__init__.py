"""Specifications of simulators, one module per origin."""
