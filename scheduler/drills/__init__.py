"""Failover drills: the loss of a region, computed or live, with a scored report."""
