"""From events to trajectories: the worker and its pure core."""
