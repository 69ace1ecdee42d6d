"""Turns PollingJob objects into polling jobs, and writes back how they fare.

Off the data path: pollers work from the database, and go on while no operator runs.
"""
