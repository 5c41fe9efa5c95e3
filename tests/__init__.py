"""The suite; one pytest plugin per resource stands in `plugins`."""
