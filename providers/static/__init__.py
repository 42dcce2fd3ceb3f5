"""Own machines: a register per site, an agent on each machine, and the register as a provider."""
