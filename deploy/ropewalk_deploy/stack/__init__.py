"""Kafka and Postgres on this machine without Docker, kept under one home directory."""
