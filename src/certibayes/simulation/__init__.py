"""Calls of simulators that may fail: in chunks, with seeds of their own, counted and bounded."""
