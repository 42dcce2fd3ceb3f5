"""The embedded clouds of this computer, and the demo on them."""
