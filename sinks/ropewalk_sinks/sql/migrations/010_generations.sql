-- Output generations: rebuilt trajectories that lie beside what readers see, each in a schema of its
-- own name, until they are promoted or removed. Only the schema that readers use has rows here.
CREATE TABLE generations (
    name text PRIMARY KEY,
    state text NOT NULL
        CHECK (state IN ('building', 'built', 'promoting', 'promoted', 'undoing', 'removing')),
    replaced_by text REFERENCES generations ON DELETE CASCADE,
    ranges jsonb NOT NULL,
    project text,
    limits jsonb,
    engine_version text NOT NULL,
    log jsonb NOT NULL,
    counts jsonb NOT NULL DEFAULT '{}',
    in_postgres boolean NOT NULL DEFAULT false,
    in_parquet boolean NOT NULL DEFAULT false,
    begun_at timestamptz NOT NULL DEFAULT now(),
    built_at timestamptz,
    promoted_at timestamptz
);
COMMENT ON TABLE generations IS 'Rebuilt ranges of the log, beside what readers see or in its place.';
COMMENT ON COLUMN generations.replaced_by IS
    'Of what readers saw before: the generation that took its place.';
COMMENT ON COLUMN generations.log IS 'By partition of agent-events: [first offset, next offset].';
COMMENT ON COLUMN generations.in_postgres IS 'Whether readers of Postgres see it.';

CREATE TABLE generation_trajectories (
    generation text NOT NULL REFERENCES generations ON DELETE CASCADE,
    trajectory_id text NOT NULL,
    PRIMARY KEY (generation, trajectory_id)
);
CREATE INDEX generation_trajectories_id ON generation_trajectories (trajectory_id);
COMMENT ON TABLE generation_trajectories IS
    'What a generation speaks for: these trajectories as it has them, or not at all.';
