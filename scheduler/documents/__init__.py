"""Files that people write: the capacity spec, settings, prices, latencies and machines, to checked values."""
