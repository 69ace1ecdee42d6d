"""The wire contract of Kafka: what is sent, under which key, to which topic. Pure."""
