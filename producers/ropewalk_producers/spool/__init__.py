"""The spool: events on disk until Kafka has acknowledged them (docs/spool.md)."""
