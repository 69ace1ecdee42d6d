"""Real servers out of packages: PostgreSQL, a Redis-protocol server, librdkafka's mock broker."""
