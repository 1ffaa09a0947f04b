"""What is measured on models and their samples."""
