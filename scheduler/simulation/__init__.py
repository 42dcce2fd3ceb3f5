"""The whole system in memory, under a manual clock."""
