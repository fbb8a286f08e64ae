"""The pure core: (state, record) -> (state, outputs). No clock, no I/O, no logging."""
