"""Faults on purpose: what breaks, what is checked afterwards, and the table of what came of it."""
