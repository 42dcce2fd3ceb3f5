"""explain: why a placement is what it is, in figures. Pure: it solves again with something changed.

A rule's price is a difference of two optima, both bought from scratch, so that it is what the rule costs, whatever
exists already.
"""
