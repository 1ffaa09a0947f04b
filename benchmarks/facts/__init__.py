"""Sections of docs/simulator_facts.md, one module each."""
