"""Commands that keep a study's tracking in order, one module each."""
