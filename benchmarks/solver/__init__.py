"""The placement solver at fleet sizes."""
