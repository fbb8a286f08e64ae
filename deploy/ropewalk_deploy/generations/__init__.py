"""Rebuilding a range of the log beside what readers see, comparing the two, and switching over."""
