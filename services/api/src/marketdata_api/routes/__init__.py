"""The routes: parse, call, render; nothing else."""
