"""Audit of a posterior that was trained elsewhere: attacked, certified, written down."""
