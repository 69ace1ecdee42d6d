"""A token bucket: so many writes a second, a short burst allowed."""

from marketdata.clock import Clock


class TokenBucket:
    """Gives `rate` tokens a second and holds at most one second's worth. For one thread."""

    def __init__(self, *, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(1.0, rate)
        self._tokens = self._most
        self._at = clock.monotonic()

    def delay(self) -> float:
        """Return the seconds until a token is there; 0.0 if one can be taken now."""
        now = self._clock.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def take(self) -> None:
        """Use a token; to be called when `delay` said 0.0."""
        self._tokens -= 1.0
