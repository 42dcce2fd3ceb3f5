"""Ray Serve behind one protocol, and the gateway in front of it."""
