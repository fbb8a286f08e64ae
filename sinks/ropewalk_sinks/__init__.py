"""From trajectories to Postgres and Parquet."""
