"""Settlement: what claims on outcomes turn out to be worth, as reward events."""
