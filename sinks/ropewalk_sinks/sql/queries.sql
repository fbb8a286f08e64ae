-- claim --
INSERT INTO sink_offsets (sink, topic, partition, next_offset, epoch)
VALUES (%(sink)s, %(topic)s, %(partition)s, 0, 1)
ON CONFLICT (sink, topic, partition) DO UPDATE SET epoch = sink_offsets.epoch + 1
RETURNING next_offset, epoch

-- move_offset --
-- 0 rows: another process claimed the partition, or stored these records already.
UPDATE sink_offsets SET next_offset = %(next_offset)s
WHERE sink = %(sink)s AND topic = %(topic)s AND partition = %(partition)s
    AND epoch = %(epoch)s AND next_offset = %(expected)s

-- held_parts --
SELECT trajectory_id, part, content_hash, last FROM parts WHERE trajectory_id = ANY (%(ids)s)

-- held_entries --
SELECT reward_id, content_hash FROM rewards WHERE reward_id = ANY (%(ids)s)

-- lock_months --
-- Two sinks that meet the same new month must not both create it.
SELECT pg_advisory_xact_lock(hashtext('ropewalk months'))

-- create_month --
SELECT create_month(%(month)s)

-- stored_parts --
SELECT trajectory_id, part, content_hash, source_partition, n_events, reward FROM trajectories

-- stored_rewards --
SELECT reward_id, trajectory_id, value, source_partition, source_offset FROM rewards

-- stored_quarantine --
SELECT topic, partition, "offset", reason FROM quarantine

-- stored_offsets --
SELECT sink, topic, partition, next_offset FROM sink_offsets ORDER BY sink, topic, partition

-- lock_migrations --
SELECT pg_advisory_lock(hashtext('ropewalk migrations'))

-- unlock_migrations --
SELECT pg_advisory_unlock(hashtext('ropewalk migrations'))

-- migration_ledger_exists --
SELECT to_regclass('schema_migrations') IS NOT NULL

-- create_migration_ledger --
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- applied_migrations --
SELECT name, checksum FROM schema_migrations

-- record_migration --
INSERT INTO schema_migrations (name, checksum) VALUES (%(name)s, %(checksum)s)

-- mark_replayed --
UPDATE quarantine q SET replayed_at = now()
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
    AS sent (topic, partition, "offset")
WHERE q.topic = sent.topic AND q.partition = sent.partition AND q."offset" = sent."offset"

-- last_window --
SELECT project, window_id, n_trajectories, n_complete, n_events, n_steps, n_llm_calls, mean_reward
FROM windows ORDER BY window_start DESC, project LIMIT 1

-- one_snapshot --
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- rewards_as_of --
SELECT trajectory_id, part, step, reward, n_entries, recorded_at
FROM rewards_as_of(coalesce(%(moment)s::timestamptz, 'infinity'))
WHERE %(trajectory_id)s::text IS NULL OR trajectory_id = %(trajectory_id)s
ORDER BY trajectory_id COLLATE "C", part NULLS LAST, step NULLS LAST

-- problems_as_of --
SELECT trajectory_id, reward_id, supersedes, problem, recorded_at
FROM reward_problems_as_of(coalesce(%(moment)s::timestamptz, 'infinity'))
WHERE %(trajectory_id)s::text IS NULL OR trajectory_id = %(trajectory_id)s
ORDER BY trajectory_id COLLATE "C", reward_id COLLATE "C"

-- unmatched_as_of --
SELECT trajectory_id, reward_id, waits_for, target_event_id, call_id, response_id, name, source,
       value, recorded_at
FROM unmatched_rewards_as_of(coalesce(%(moment)s::timestamptz, 'infinity'))
WHERE %(trajectory_id)s::text IS NULL OR trajectory_id = %(trajectory_id)s
ORDER BY trajectory_id COLLATE "C", reward_id COLLATE "C"
