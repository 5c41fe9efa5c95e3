"""Programs as their users run them, against real databases."""
