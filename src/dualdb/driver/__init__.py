"""The face of `sqlite3`: connections, cursors, rows."""
