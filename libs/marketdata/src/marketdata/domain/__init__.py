"""The rules of market data: pure functions and values; no IO, no clock, no logging."""
