"""Polls providers for due jobs and relays what they answered to Kafka."""
