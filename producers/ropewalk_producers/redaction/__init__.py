"""What may not leave the process is replaced before anything else happens to it."""
