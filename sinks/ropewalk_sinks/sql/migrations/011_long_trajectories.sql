-- The same rows as before, for trajectories of any length. An entry was looked for among all steps of
-- its trajectory, and all of this was done again for each part: minutes for 3,000 steps in 100 parts.

-- An entry is placed by a join, which Postgres can do for all entries at once. DISTINCT, because an
-- agent may give two steps one event_id: the entry counts once, at the first of them.
CREATE OR REPLACE FUNCTION entries_as_of(moment timestamptz)
RETURNS TABLE (
    trajectory_id text, part int, step int, reward_id text, name text, source text,
    value double precision, recorded_at timestamptz
) LANGUAGE sql STABLE AS $$
SELECT DISTINCT ON (r.trajectory_id, r.reward_id)
       r.trajectory_id, coalesce(named.part, led_to.part), coalesce(named.step, led_to.step),
       r.reward_id, r.name, r.source, r.value, r.recorded_at
FROM rewards r
LEFT JOIN (
    SELECT s.trajectory_id, s.event_id, s.part, s.idx AS step
    FROM parts p
    JOIN steps s ON s.window_start = p.window_start
        AND s.trajectory_id = p.trajectory_id AND s.part = p.part
) named ON named.trajectory_id = r.trajectory_id AND named.event_id = r.target_event_id
LEFT JOIN LATERAL (
    SELECT s.part, s.idx AS step
    FROM parts p
    JOIN steps s ON s.window_start = p.window_start
        AND s.trajectory_id = p.trajectory_id AND s.part = p.part
    JOIN llm_calls c ON c.window_start = p.window_start
        AND c.trajectory_id = p.trajectory_id AND c.part = p.part AND c.idx = ANY (s.calls)
    WHERE p.trajectory_id = r.trajectory_id
        AND coalesce(r.call_id, r.response_id) IN (c.call_id, c.response_id)
    ORDER BY s.part, s.idx
    LIMIT 1
) led_to ON r.target_event_id IS NULL AND num_nonnulls(r.call_id, r.response_id) > 0
WHERE r.recorded_at <= moment AND NOT EXISTS (
    SELECT FROM rewards newer
    WHERE newer.supersedes = r.reward_id AND newer.trajectory_id = r.trajectory_id
        AND newer.recorded_at <= moment
)
ORDER BY r.trajectory_id, r.reward_id, named.part, named.step
$$;

-- The ledger is summed once. Whoever asks for one trajectory still reads only its entries.
CREATE OR REPLACE VIEW current_scores AS
WITH ledger AS (
    SELECT e.trajectory_id, coalesce(e.part, newest.part) AS part, sum(e.value) AS reward,
           count(*) AS n_entries
    FROM current_entries e
    JOIN (
        SELECT p.trajectory_id, max(p.part) AS part FROM parts p GROUP BY p.trajectory_id
    ) newest ON newest.trajectory_id = e.trajectory_id
    GROUP BY 1, 2
)
SELECT t.window_start, t.trajectory_id, t.part,
       CASE WHEN s.immediate IS NULL AND l.n_entries IS NULL THEN NULL
            ELSE coalesce(s.immediate, 0) + coalesce(l.reward, 0) END AS reward,
       s.immediate, coalesce(l.n_entries, 0) AS n_entries
FROM trajectories t
JOIN scores s ON s.trajectory_id = t.trajectory_id AND s.part = t.part AND s.spec = t.reward_spec
LEFT JOIN ledger l ON l.trajectory_id = t.trajectory_id AND l.part = t.part;
