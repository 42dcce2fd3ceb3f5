"""Machines of one's own: a register of them per site, an agent on each, and the register as a provider."""
