"""Measurements beside the alternatives, in one run: what `make bench` prints."""
