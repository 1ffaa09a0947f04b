"""One module per stage of the workflow: config in, files out, no maths."""
