"""Plain torch modules that `bounds` knows how to bound."""
