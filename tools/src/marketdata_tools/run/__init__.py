"""The launcher behind `make run`: the whole service on one machine that has only Python."""
