"""The judge stage: groups of trajectories are ranked by a model, and earn rewards for it."""
