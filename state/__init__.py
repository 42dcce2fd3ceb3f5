"""What is wanted, seen and decided, and where it is kept."""
