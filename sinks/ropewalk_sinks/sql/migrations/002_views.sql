-- What people read. A trajectory's reward today = what its steps earned at once + the ledger
-- entries nothing supersedes; `trajectories.reward` stays as it was when the part became final.

-- One row per ledger entry that counts, placed where `score()` would place it: the step it names,
-- or that a named call led to; part and step are null for the whole trajectory.
CREATE VIEW current_entries AS
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
WHERE NOT EXISTS (
    SELECT FROM rewards newer
    WHERE newer.supersedes = r.reward_id AND newer.trajectory_id = r.trajectory_id
);

CREATE VIEW current_rewards AS
SELECT trajectory_id, part, step, sum(value) AS reward, count(*) AS n_entries,
       max(recorded_at) AS recorded_at
FROM current_entries
GROUP BY trajectory_id, part, step;
COMMENT ON VIEW current_rewards IS
    'The ledger after supersedes; part and step are null for the whole trajectory.';

-- What counts for the whole trajectory counts in its newest part.
CREATE VIEW current_scores AS
SELECT t.window_start, t.trajectory_id, t.part,
       CASE WHEN s.immediate IS NULL AND ledger.n_entries = 0 THEN NULL
            ELSE coalesce(s.immediate, 0) + ledger.reward END AS reward,
       s.immediate, ledger.n_entries
FROM trajectories t
JOIN scores s ON s.trajectory_id = t.trajectory_id AND s.part = t.part AND s.spec = t.reward_spec
CROSS JOIN LATERAL (
    SELECT coalesce(sum(e.value), 0) AS reward, count(*) AS n_entries
    FROM current_entries e
    WHERE e.trajectory_id = t.trajectory_id AND coalesce(
        e.part, (SELECT max(p.part) FROM parts p WHERE p.trajectory_id = t.trajectory_id)
    ) = t.part
) ledger;

CREATE VIEW windows AS
SELECT t.project, t.window_id, t.window_start, t.window_s,
       count(*) AS n_parts,
       count(DISTINCT t.trajectory_id) AS n_trajectories,
       count(*) FILTER (WHERE t.last) AS n_last,
       count(*) FILTER (WHERE t.complete) AS n_complete,
       count(*) FILTER (WHERE t.linear) AS n_linear,
       sum(t.n_missing) AS n_missing,
       sum(t.n_events) AS n_events,
       sum(t.n_steps) AS n_steps,
       sum(t.n_llm_calls) AS n_llm_calls,
       sum(t.input_tokens) AS input_tokens,
       sum(t.output_tokens) AS output_tokens,
       sum(t.cost_usd) AS cost_usd,
       count(c.reward) AS n_rewarded,
       sum(c.reward) AS reward,
       avg(c.reward) AS mean_reward
FROM trajectories t
JOIN current_scores c USING (window_start, trajectory_id, part)
GROUP BY t.project, t.window_id, t.window_start, t.window_s;

-- A group is named by its key, or else by its scenario in one window.
CREATE VIEW groups AS
SELECT *, cardinality(why_not) = 0 AS trainable
FROM (
    SELECT project, scenario, group_key, window_id, size, n_trajectories, same_policy,
           policy_versions, n_complete, n_rewarded, min_reward, max_reward, mean_reward,
           reward_spread,
           array_remove(ARRAY[
               CASE WHEN size < 2 THEN 'fewer than two members' END,
               CASE WHEN NOT same_policy THEN 'several policy versions' END,
               CASE WHEN n_complete < size THEN 'incomplete members' END,
               CASE WHEN n_rewarded < size THEN 'members without a reward' END,
               CASE WHEN n_rewarded >= 2 AND reward_spread = 0 THEN 'all rewards are equal' END
           ], NULL) AS why_not
    FROM (
        SELECT t.project, t.scenario, t.group_key,
               CASE WHEN t.group_key IS NULL THEN t.window_id END AS window_id,
               count(*) AS size,
               count(DISTINCT t.trajectory_id) AS n_trajectories,
               count(DISTINCT (t.policy, t.policy_version)) = 1 AS same_policy,
               array_agg(DISTINCT t.policy_version) AS policy_versions,
               count(*) FILTER (WHERE t.complete) AS n_complete,
               count(c.reward) AS n_rewarded,
               min(c.reward) AS min_reward,
               max(c.reward) AS max_reward,
               avg(c.reward) AS mean_reward,
               max(c.reward) - min(c.reward) AS reward_spread
        FROM trajectories t
        JOIN current_scores c USING (window_start, trajectory_id, part)
        GROUP BY 1, 2, 3, 4
    ) members
) judged;
