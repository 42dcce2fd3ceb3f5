"""Speed is measured here."""
