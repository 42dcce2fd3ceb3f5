"""Values to text and to JSON: the one place where words are made. Pure."""
