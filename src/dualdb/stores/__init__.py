"""I/O: each file talks to one thing."""
