"""Pure decisions: values in, values out; no clock, socket, file, thread or random."""
