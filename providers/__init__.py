"""The clouds, behind one protocol."""
