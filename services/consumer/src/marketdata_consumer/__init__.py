"""The consumer: turns price events into price points, moving averages and the latest price."""
