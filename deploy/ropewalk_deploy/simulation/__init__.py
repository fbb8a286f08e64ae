"""A seeded market world whose agents speak through the recorder, with a ledger of the truth."""
