"""Redis: never the truth. The only package that speaks to it."""
