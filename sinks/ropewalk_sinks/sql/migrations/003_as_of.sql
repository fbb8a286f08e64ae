-- The ledger as of any moment. The rule is that of `supersedes.py` in schemas: an entry counts
-- unless an entry of its trajectory supersedes it, both recorded by then. Each function is one plain
-- SELECT, so that Postgres puts it in place and uses the indexes of `rewards`.

-- One row per ledger entry that counts, placed where `score()` would place it: the step it names,
-- or that a named call led to; part and step are null for the whole trajectory. Parts are facts of
-- the log: an entry is placed as soon as its part is stored, whatever the moment asked for.
CREATE FUNCTION entries_as_of(moment timestamptz)
RETURNS TABLE (
    trajectory_id text, part int, step int, reward_id text, name text, source text,
    value double precision, recorded_at timestamptz
) LANGUAGE sql STABLE AS $$
SELECT r.trajectory_id, placed.part, placed.step, r.reward_id, r.name, r.source, r.value,
       r.recorded_at
FROM rewards r
LEFT JOIN LATERAL (
    SELECT s.part, s.idx AS step
    FROM parts p
    JOIN steps s ON s.window_start = p.window_start
        AND s.trajectory_id = p.trajectory_id AND s.part = p.part
    WHERE p.trajectory_id = r.trajectory_id AND CASE
        WHEN r.target_event_id IS NOT NULL THEN s.event_id = r.target_event_id
        WHEN r.call_id IS NOT NULL OR r.response_id IS NOT NULL THEN EXISTS (
            SELECT FROM llm_calls c
            WHERE c.window_start = p.window_start AND c.trajectory_id = p.trajectory_id
                AND c.part = p.part AND c.idx = ANY (s.calls)
                AND coalesce(r.call_id, r.response_id) IN (c.call_id, c.response_id))
    END
    ORDER BY s.part, s.idx
    LIMIT 1
) placed ON num_nonnulls(r.target_event_id, r.call_id, r.response_id) > 0
WHERE r.recorded_at <= moment AND NOT EXISTS (
    SELECT FROM rewards newer
    WHERE newer.supersedes = r.reward_id AND newer.trajectory_id = r.trajectory_id
        AND newer.recorded_at <= moment
)
$$;
COMMENT ON FUNCTION entries_as_of IS
    'The ledger entries that counted at a moment; ''infinity'' means all that is recorded.';

CREATE FUNCTION rewards_as_of(moment timestamptz)
RETURNS TABLE (
    trajectory_id text, part int, step int, reward double precision, n_entries bigint,
    recorded_at timestamptz
) LANGUAGE sql STABLE AS $$
SELECT e.trajectory_id, e.part, e.step, sum(e.value), count(*), max(e.recorded_at)
FROM entries_as_of(moment) e
GROUP BY e.trajectory_id, e.part, e.step
$$;
COMMENT ON FUNCTION rewards_as_of IS
    'The ledger after supersedes at a moment; part and step are null for the whole trajectory.';

-- Where following `supersedes` from an entry comes back to it, each one on the way is on the circle.
-- Only what supersedes and is superseded can be: few entries, so few walks.
CREATE FUNCTION reward_problems_as_of(moment timestamptz)
RETURNS TABLE (
    trajectory_id text, reward_id text, supersedes text, problem text, recorded_at timestamptz
) LANGUAGE sql STABLE AS $$
WITH RECURSIVE walks (start, trajectory_id, target) AS (
    SELECT r.reward_id, r.trajectory_id, r.supersedes
    FROM rewards r
    WHERE r.supersedes <> r.reward_id AND r.recorded_at <= moment AND EXISTS (
        SELECT FROM rewards newer
        WHERE newer.supersedes = r.reward_id AND newer.trajectory_id = r.trajectory_id
            AND newer.recorded_at <= moment)
    UNION
    SELECT w.start, w.trajectory_id, r.supersedes
    FROM walks w
    JOIN rewards r ON r.reward_id = w.target AND r.trajectory_id = w.trajectory_id
    WHERE w.target <> w.start AND r.supersedes IS NOT NULL AND r.recorded_at <= moment
), judged AS (
    SELECT r.trajectory_id, r.reward_id, r.supersedes, CASE
            WHEN r.supersedes = r.reward_id THEN 'itself'
            WHEN target.reward_id IS NULL THEN 'unknown_target'
            WHEN target.trajectory_id <> r.trajectory_id THEN 'other_trajectory'
            WHEN r.reward_id IN (SELECT w.start FROM walks w WHERE w.target = w.start)
            THEN 'cycle'
        END AS problem, r.recorded_at
    FROM rewards r
    LEFT JOIN rewards target
        ON target.reward_id = r.supersedes AND target.recorded_at <= moment
    WHERE r.supersedes IS NOT NULL AND r.recorded_at <= moment
)
SELECT * FROM judged WHERE problem IS NOT NULL
$$;
COMMENT ON FUNCTION reward_problems_as_of IS
    'Entries whose supersedes cannot be followed: set aside (itself, cycle), or replacing nothing.';

-- What counts, and waits for a part that holds what it is for. A call that led to no step is stored:
-- its entry counts for the whole trajectory, and waits for nothing.
CREATE FUNCTION unmatched_rewards_as_of(moment timestamptz)
RETURNS TABLE (
    trajectory_id text, reward_id text, waits_for text, target_event_id text, call_id text,
    response_id text, name text, source text, value double precision, recorded_at timestamptz
) LANGUAGE sql STABLE AS $$
SELECT r.trajectory_id, r.reward_id,
       CASE WHEN EXISTS (SELECT FROM parts p WHERE p.trajectory_id = r.trajectory_id)
            THEN 'target' ELSE 'trajectory' END,
       r.target_event_id, r.call_id, r.response_id, r.name, r.source, r.value, r.recorded_at
FROM entries_as_of(moment) e
JOIN rewards r ON r.reward_id = e.reward_id
WHERE e.part IS NULL AND CASE
    WHEN num_nonnulls(r.target_event_id, r.call_id, r.response_id) = 0 THEN NOT EXISTS (
        SELECT FROM parts p WHERE p.trajectory_id = r.trajectory_id)
    ELSE NOT EXISTS (
        SELECT FROM parts p
        JOIN llm_calls c ON c.window_start = p.window_start
            AND c.trajectory_id = p.trajectory_id AND c.part = p.part
        WHERE p.trajectory_id = r.trajectory_id AND CASE
            WHEN r.target_event_id IS NOT NULL THEN c.event_id = r.target_event_id
            ELSE coalesce(r.call_id, r.response_id) IN (c.call_id, c.response_id)
        END)
END
$$;
COMMENT ON FUNCTION unmatched_rewards_as_of IS
    'Entries that count while their trajectory, or the step or call they are for, is not stored.';

-- Recorded later than now, by the broker's clock, is recorded all the same: hence infinity.
CREATE OR REPLACE VIEW current_entries AS SELECT * FROM entries_as_of('infinity');
CREATE OR REPLACE VIEW current_rewards AS SELECT * FROM rewards_as_of('infinity');
CREATE VIEW reward_problems AS SELECT * FROM reward_problems_as_of('infinity');
CREATE VIEW unmatched_rewards AS SELECT * FROM unmatched_rewards_as_of('infinity');
COMMENT ON VIEW unmatched_rewards IS 'Rewards whose trajectory, step or call is not stored (yet).';
COMMENT ON VIEW reward_problems IS 'Ledger entries whose supersedes cannot be followed, and why.';
