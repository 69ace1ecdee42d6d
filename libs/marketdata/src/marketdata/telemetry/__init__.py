"""Logs, metrics and health: they degrade, and never raise into the code that uses them."""
