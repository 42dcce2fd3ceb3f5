"""The vocabulary: frozen values, pure, importing only one another."""
