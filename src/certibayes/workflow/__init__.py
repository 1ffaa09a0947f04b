"""What the Snakefile needs: the plan of a study and the hooks around its execution; torch-free."""
