"""What a study found: one tidy table, invariants that must hold, figures."""
