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

-- lock_erasures --
SELECT lock_erasures()

-- erased_among --
-- Which of these agents, trajectories and judgments are erased.
SELECT 'agent', subject_id, project, erasure_id FROM erasures
WHERE kind = 'agent' AND subject_id = ANY (%(agents)s)
UNION ALL
SELECT 'trajectory', trajectory_id, NULL, erasure_id FROM erased_trajectories
WHERE trajectory_id = ANY (%(trajectories)s)
UNION ALL
SELECT 'judgment', judgment_id, NULL, erasure_id FROM erased_judgments
WHERE judgment_id = ANY (%(judgments)s)

-- record_found --
INSERT INTO erased_trajectories (trajectory_id, erasure_id)
SELECT * FROM unnest(%(trajectories)s::text[], %(erasures)s::text[]) ON CONFLICT DO NOTHING

-- all_erased --
SELECT 'agent', subject_id, project, erasure_id FROM erasures WHERE kind = 'agent'
UNION ALL
SELECT 'trajectory', trajectory_id, NULL, erasure_id FROM erased_trajectories
UNION ALL
SELECT 'judgment', judgment_id, NULL, erasure_id FROM erased_judgments

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
-- What the log says: the newest copy's append time, however often this runs.
UPDATE quarantine q SET replayed_at = to_timestamp(sent.at_ms / 1000.0)
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[], %(times_ms)s::bigint[])
    AS sent (topic, partition, "offset", at_ms)
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

-- entries_as_of --
SELECT trajectory_id, part, step, reward_id, name, source, value, recorded_at
FROM entries_as_of(coalesce(%(moment)s::timestamptz, 'infinity'))
WHERE %(trajectory_id)s::text IS NULL OR trajectory_id = %(trajectory_id)s
ORDER BY trajectory_id COLLATE "C", part NULLS LAST, step NULLS LAST, reward_id COLLATE "C"

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

-- unsettled_claims --
-- Claims whose outcome has versions that settlement has not finished with by these rules.
SELECT t.project, c.trajectory_id, c.event_id, c.idx, c.outcome_key, c.terms
FROM claims c
JOIN (SELECT outcome_key, count(*) AS n_versions FROM outcomes GROUP BY outcome_key) o
    USING (outcome_key)
JOIN parts p ON p.trajectory_id = c.trajectory_id AND p.part = c.part
JOIN trajectories t ON t.window_start = p.window_start
    AND t.trajectory_id = p.trajectory_id AND t.part = p.part
LEFT JOIN settled_claims s ON s.trajectory_id = c.trajectory_id
    AND s.event_id = c.event_id AND s.idx = c.idx
WHERE s.n_versions IS DISTINCT FROM o.n_versions OR s.rules IS DISTINCT FROM %(rules)s

-- all_claims --
SELECT t.project, c.trajectory_id, c.event_id, c.idx, c.outcome_key, c.terms
FROM claims c
JOIN parts p ON p.trajectory_id = c.trajectory_id AND p.part = c.part
JOIN trajectories t ON t.window_start = p.window_start
    AND t.trajectory_id = p.trajectory_id AND t.part = p.part

-- outcomes_of --
SELECT outcome_key, version, occurred_at, "values" FROM outcomes
WHERE outcome_key = ANY (%(keys)s) ORDER BY outcome_key, version

-- settled_entries --
-- What settlement has put into the ledger of these trajectories.
SELECT reward_id, occurred_at, project, trajectory_id, name, value, source_version,
       target_event_id, supersedes, outcome_key, outcome_version, metadata
FROM rewards
WHERE trajectory_id = ANY (%(ids)s) AND source = 'outcome' AND metadata ? 'claim'

-- mark_settled --
INSERT INTO settled_claims (trajectory_id, event_id, idx, n_versions, rules)
SELECT *, %(rules)s FROM unnest(%(trajectories)s::text[], %(events)s::text[], %(idxs)s::int[],
                                %(versions)s::int[]) AS settled (trajectory_id)
WHERE NOT EXISTS (SELECT FROM erased_trajectories e WHERE e.trajectory_id = settled.trajectory_id)
ON CONFLICT (trajectory_id, event_id, idx)
DO UPDATE SET n_versions = excluded.n_versions, rules = excluded.rules

-- lock_scores --
-- Two that score at once must not store what the other, with a newer ledger, has replaced.
SELECT pg_advisory_lock(hashtext('ropewalk scores'))

-- record_spec --
INSERT INTO reward_specs (spec, digest, content)
VALUES (%(spec)s, %(digest)s, %(content)s::jsonb)
ON CONFLICT DO NOTHING

-- recorded_spec --
SELECT digest, content FROM reward_specs WHERE spec = %(spec)s

-- trajectories_to_score --
SELECT DISTINCT t.trajectory_id FROM trajectories t
WHERE t.trajectory_id > %(after)s
    AND t.project = coalesce(%(project)s, t.project)
    AND (%(since)s::timestamptz IS NULL OR t.finalized_at >= %(since)s::timestamptz OR EXISTS (
        SELECT FROM rewards r
        WHERE r.trajectory_id = t.trajectory_id AND r.recorded_at >= %(since)s::timestamptz))
ORDER BY 1 LIMIT %(limit)s

-- steps_to_score --
SELECT p.trajectory_id, p.part, s.event_id, s.components, ARRAY(
    SELECT unnest(ARRAY[c.call_id, c.response_id]) FROM llm_calls c
    WHERE c.window_start = p.window_start AND c.trajectory_id = p.trajectory_id
        AND c.part = p.part AND c.idx = ANY (s.calls))
FROM parts p
LEFT JOIN steps s USING (window_start, trajectory_id, part)
WHERE p.trajectory_id = ANY (%(ids)s)
ORDER BY p.trajectory_id, p.part, s.idx

-- entries_to_score --
SELECT trajectory_id, reward_id, name, source, value, target_event_id, call_id, response_id,
       supersedes
FROM rewards WHERE trajectory_id = ANY (%(ids)s)
ORDER BY source_partition, source_offset

-- store_scores --
-- What is as it was is not touched, so that nothing is kept twice.
INSERT INTO scores AS held (
    trajectory_id, part, spec, total, immediate, n_entries, steps, returns, computed_at)
SELECT given.*, now() FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (
    trajectory_id text, part int, spec text, total double precision, immediate double precision,
    n_entries int, steps double precision[], returns double precision[])
WHERE NOT EXISTS (SELECT FROM erased_trajectories e WHERE e.trajectory_id = given.trajectory_id)
ORDER BY 1, 2
ON CONFLICT (trajectory_id, part, spec) DO UPDATE SET
    total = excluded.total, immediate = excluded.immediate, n_entries = excluded.n_entries,
    steps = excluded.steps, returns = excluded.returns, computed_at = excluded.computed_at
WHERE (held.total, held.immediate, held.n_entries, held.steps, held.returns) IS DISTINCT FROM
    (excluded.total, excluded.immediate, excluded.n_entries, excluded.steps, excluded.returns)
RETURNING xmax = 0

-- stored_groups --
SELECT project, scenario, group_key, window_id, policy_version, size, n_agents, same_policy,
       n_complete, n_pending, n_rewarded, min_reward, max_reward, mean_reward, std_reward,
       trajectory_ids, rewards, advantages, why_not, trainable
FROM groups WHERE trainable OR NOT %(trainable)s
ORDER BY project COLLATE "C", scenario COLLATE "C", group_key COLLATE "C", window_start,
    policy_version COLLATE "C"
