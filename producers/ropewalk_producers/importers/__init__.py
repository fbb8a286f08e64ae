"""Logs of other systems, sent as events through the recorder."""
