"""Trained models in use: loaded from results or a registry, registered, served."""
