"""Servers that speak as an upstream does, for tests, demonstrations and a first run offline."""
