"""explain: why a placement is what it is, in figures. Pure: it asks the solver what would be otherwise.

A rule's price is a difference of two optima, both bought from scratch, so that it says what the rule costs and not what
happens to exist already.
"""
