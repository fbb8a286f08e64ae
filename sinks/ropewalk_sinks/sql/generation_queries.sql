-- try_lock_generations --
SELECT pg_try_advisory_lock(hashtext('ropewalk generations'))

-- generations --
SELECT name, state, replaced_by, ranges, project, limits, engine_version, log, counts, in_postgres,
       in_parquet, begun_at, built_at, promoted_at
FROM generations ORDER BY begun_at, name COLLATE "C"

-- begin_generation --
INSERT INTO generations (name, state, replaced_by, ranges, project, limits, engine_version, log)
VALUES (%(name)s, %(state)s, %(replaced_by)s, %(ranges)s::jsonb, %(project)s, %(limits)s::jsonb,
        %(engine_version)s, %(log)s::jsonb)

-- add_members --
INSERT INTO generation_trajectories (generation, trajectory_id)
SELECT %(name)s, unnest(%(ids)s::text[])

-- members --
SELECT trajectory_id FROM generation_trajectories WHERE generation = %(name)s

-- generation_built --
UPDATE generations SET state = 'built', counts = %(counts)s::jsonb, built_at = now()
WHERE name = %(name)s

-- generation_state --
UPDATE generations SET state = %(state)s WHERE name = %(name)s

-- forget_generation --
DELETE FROM generations WHERE name = %(name)s

-- schema_exists --
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %(name)s)

-- chosen_now --
-- What readers see of every trajectory with a part whose window meets one of the ranges.
SELECT t.trajectory_id, bool_or(t.last), min(t.source_partition), min(t.first_offset)
FROM trajectories t
WHERE t.trajectory_id IN (
    SELECT c.trajectory_id
    FROM trajectories c
    JOIN unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS meant ("begin", "end")
        ON c.window_start < meant."end"
        AND c.window_start + c.window_s * interval '1 second' > meant."begin"
    WHERE c.project = coalesce(%(project)s, c.project)
)
GROUP BY t.trajectory_id

-- held_now --
SELECT trajectory_id, bool_or(last), min(source_partition), min(first_offset)
FROM trajectories WHERE trajectory_id = ANY (%(ids)s) GROUP BY trajectory_id

-- keep_sinks_out --
-- A sink's first statement in a transaction writes here; so none is between its look and its insert.
LOCK TABLE sink_offsets IN SHARE ROW EXCLUSIVE MODE

-- keep_scoring_out --
SELECT pg_advisory_xact_lock(hashtext('ropewalk scores'))

-- note_members --
CREATE TEMP TABLE switching ON COMMIT DROP AS
SELECT trajectory_id FROM generation_trajectories WHERE generation = %(name)s

-- analyze_members --
ANALYZE switching

-- months_of_switch --
SELECT DISTINCT date_trunc('month', window_start AT TIME ZONE 'UTC')::date FROM switching_parts

-- search_path --
SELECT current_setting('search_path')

-- set_search_path --
SELECT set_config('search_path', %(path)s, true)

-- current_schema --
SELECT current_schema()

-- generation_switched --
UPDATE generations SET in_postgres = %(seen)s, promoted_at = coalesce(promoted_at, now())
WHERE name = %(name)s

-- generation_promoted --
UPDATE generations SET state = 'promoted', in_parquet = true WHERE name = %(name)s

-- generation_returned --
UPDATE generations SET state = 'built', in_postgres = false, in_parquet = false, promoted_at = NULL
WHERE name = %(name)s

-- replaced_built --
UPDATE generations SET state = 'built', built_at = now() WHERE name = %(name)s

-- promoted_since --
-- What was promoted after a generation and speaks for some of the same trajectories.
SELECT g.name, count(*)
FROM generations g
JOIN generations mine ON mine.name = %(name)s
JOIN generation_trajectories theirs ON theirs.generation = g.name
JOIN generation_trajectories ours
    ON ours.generation = mine.name AND ours.trajectory_id = theirs.trajectory_id
WHERE g.name <> mine.name AND g.promoted_at > mine.promoted_at
GROUP BY g.name ORDER BY g.name
