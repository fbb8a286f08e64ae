"""The `ropewalk` command and the local stack."""
