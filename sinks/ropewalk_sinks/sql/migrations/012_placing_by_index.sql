-- What a ledger entry is for is found by index, one entry at a time. A join over all steps or calls is
-- planned by guesses about three columns that belong together, and where the guess is one row, it takes
-- steps times entries: 20 minutes for one trajectory of 22,000 events.
CREATE INDEX steps_event ON steps (trajectory_id, event_id);
CREATE INDEX llm_calls_call ON llm_calls (trajectory_id, call_id);
CREATE INDEX llm_calls_response ON llm_calls (trajectory_id, response_id)
    WHERE response_id IS NOT NULL;

-- A call leads to the first step that names it, which is its `step`.
CREATE OR REPLACE FUNCTION entries_as_of(moment timestamptz)
RETURNS TABLE (
    trajectory_id text, part int, step int, reward_id text, name text, source text,
    value double precision, recorded_at timestamptz
) LANGUAGE sql STABLE AS $$
SELECT r.trajectory_id, coalesce(named.part, led_to.part), coalesce(named.step, led_to.step),
       r.reward_id, r.name, r.source, r.value, r.recorded_at
FROM rewards r
LEFT JOIN LATERAL (
    SELECT s.part, s.idx AS step
    FROM steps s
    WHERE s.trajectory_id = r.trajectory_id AND s.event_id = r.target_event_id
    ORDER BY s.part, s.idx
    LIMIT 1
) named ON true
LEFT JOIN LATERAL (
    SELECT c.part, c.step
    FROM llm_calls c
    WHERE c.trajectory_id = r.trajectory_id AND c.step IS NOT NULL
        AND (c.call_id = coalesce(r.call_id, r.response_id)
             OR c.response_id = coalesce(r.call_id, r.response_id))
    ORDER BY c.part, c.step
    LIMIT 1
) led_to ON r.target_event_id IS NULL
WHERE r.recorded_at <= moment AND NOT EXISTS (
    SELECT FROM rewards newer
    WHERE newer.supersedes = r.reward_id AND newer.trajectory_id = r.trajectory_id
        AND newer.recorded_at <= moment
)
$$;

-- The same, for what nothing stored is found for.
CREATE OR REPLACE FUNCTION unmatched_rewards_as_of(moment timestamptz)
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
    WHEN r.target_event_id IS NOT NULL THEN NOT EXISTS (
        SELECT FROM parts p
        JOIN llm_calls c ON c.window_start = p.window_start
            AND c.trajectory_id = p.trajectory_id AND c.part = p.part
        WHERE p.trajectory_id = r.trajectory_id AND c.event_id = r.target_event_id)
    WHEN num_nonnulls(r.call_id, r.response_id) > 0 THEN NOT EXISTS (
        SELECT FROM llm_calls c
        WHERE c.trajectory_id = r.trajectory_id
            AND (c.call_id = coalesce(r.call_id, r.response_id)
                 OR c.response_id = coalesce(r.call_id, r.response_id)))
    ELSE NOT EXISTS (SELECT FROM parts p WHERE p.trajectory_id = r.trajectory_id)
END
$$;
