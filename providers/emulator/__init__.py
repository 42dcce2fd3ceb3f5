"""Emulators of AWS, GCP and Azure on this computer, over HTTP, for demo and tests; needs the `emulator` extra."""
