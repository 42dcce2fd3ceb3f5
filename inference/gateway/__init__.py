"""The gateway: HAProxy, kept on the newest routing table."""
