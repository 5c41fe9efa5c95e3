"""The public names of `sqlite3`, and `connect()`; nothing else."""
