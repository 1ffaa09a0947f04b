"""What a study will find on this machine: one small function per check."""
