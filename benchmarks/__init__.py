"""Ratios, each measured in one run; `tox -e bench`."""
