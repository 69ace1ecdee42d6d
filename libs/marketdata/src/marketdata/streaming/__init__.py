"""Kafka: the carrier. The only package that speaks to it."""
