"""Other simulators for the speed benchmark, each in an environment of its own."""
