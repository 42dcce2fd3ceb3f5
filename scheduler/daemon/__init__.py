"""What drives ticks: the daemon's loop, convergence in a command, wiring and logs."""
