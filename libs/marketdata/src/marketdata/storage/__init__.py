"""Postgres: the truth. The only package that speaks SQL."""
