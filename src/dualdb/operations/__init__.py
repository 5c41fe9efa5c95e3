"""What an operator does, as lists of resumable steps; never through the driver."""
