"""How much slower than a free machine this one is at the moment."""

import os


def slowness() -> float:
    """Return how many processes compete for each processor, 1 at least.

    A promise about seconds is made for a machine that is free.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
