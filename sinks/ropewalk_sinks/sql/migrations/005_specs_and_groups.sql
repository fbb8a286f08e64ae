-- Scores per specification with their history, and groups as trainers need them.

CREATE TABLE reward_specs (
    spec text PRIMARY KEY,
    digest text NOT NULL,
    content jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE reward_specs IS 'What each specification meant; one id never means two contents.';

ALTER TABLE scores
    ADD COLUMN steps double precision[],
    ADD COLUMN returns double precision[],
    ADD COLUMN computed_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN scores.steps IS 'Reward per step; null where the row is older than this column.';
COMMENT ON COLUMN scores.returns IS 'Discounted return to go per step.';

CREATE TABLE score_history (
    trajectory_id text NOT NULL,
    part int NOT NULL,
    spec text NOT NULL,
    total double precision,
    immediate double precision,
    n_entries int NOT NULL,
    steps double precision[],
    returns double precision[],
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL,
    PRIMARY KEY (trajectory_id, part, spec, valid_from)
);
COMMENT ON TABLE score_history IS 'Scores that were replaced: valid from, and up to but not at, valid_to.';

-- Whoever changes a score, what it was is kept. Within one transaction only the first is.
CREATE FUNCTION keep_score() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO score_history VALUES (
        OLD.trajectory_id, OLD.part, OLD.spec, OLD.total, OLD.immediate, OLD.n_entries, OLD.steps,
        OLD.returns, OLD.computed_at, greatest(NEW.computed_at, OLD.computed_at)
    ) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_score AFTER UPDATE ON scores FOR EACH ROW
    WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION keep_score();

CREATE FUNCTION scores_as_of(moment timestamptz)
RETURNS TABLE (
    trajectory_id text, part int, spec text, total double precision, immediate double precision,
    n_entries int, steps double precision[], returns double precision[], valid_from timestamptz
) LANGUAGE sql STABLE AS $$
SELECT s.trajectory_id, s.part, s.spec, s.total, s.immediate, s.n_entries, s.steps, s.returns,
       s.computed_at
FROM scores s WHERE s.computed_at <= moment
UNION ALL
SELECT h.trajectory_id, h.part, h.spec, h.total, h.immediate, h.n_entries, h.steps, h.returns,
       h.valid_from
FROM score_history h WHERE h.valid_from <= moment AND moment < h.valid_to
$$;
COMMENT ON FUNCTION scores_as_of IS 'The scores that were stored at a moment.';

-- One row per trajectory and group. A claim is pending until a reward of its trajectory names its
-- outcome, for the claim's decision or for no decision.
CREATE VIEW group_members AS
SELECT t.project, t.scenario, t.group_key, t.window_id, t.policy_version, t.trajectory_id,
       min(t.window_start) AS window_start,
       min(t.agent_id) AS agent_id,
       min(t.policy) AS policy,
       min(calls.first_version) AS first_version,
       max(calls.last_version) AS last_version,
       sum(c.reward) AS reward,
       bool_and(t.complete) AND (bool_and(t.mode = 'continuous') OR EXISTS (
           SELECT FROM parts p WHERE p.trajectory_id = t.trajectory_id AND p.last
       )) AS complete,
       bool_or(EXISTS (
           SELECT FROM claims cl
           WHERE cl.trajectory_id = t.trajectory_id AND cl.part = t.part AND NOT EXISTS (
               SELECT FROM rewards r
               WHERE r.trajectory_id = cl.trajectory_id AND r.outcome_key = cl.outcome_key
                   AND coalesce(r.target_event_id, cl.event_id) = cl.event_id)
       )) AS pending
FROM trajectories t
JOIN current_scores c USING (window_start, trajectory_id, part)
CROSS JOIN LATERAL (
    SELECT min(l.policy_version) AS first_version, max(l.policy_version) AS last_version
    FROM llm_calls l
    WHERE l.window_start = t.window_start AND l.trajectory_id = t.trajectory_id
        AND l.part = t.part AND l.step IS NOT NULL
) calls
GROUP BY t.project, t.scenario, t.group_key, t.window_id, t.policy_version, t.trajectory_id;
COMMENT ON VIEW group_members IS 'Trajectories with today''s reward, by the group they are in.';

-- Same project, scenario, group key, window and policy version. The lists are in the order of
-- trajectory_ids. advantage = (reward - mean) / (population deviation + 1e-6), as GRPO has it.
DROP VIEW groups;
CREATE VIEW groups AS
SELECT *, cardinality(why_not) = 0 AS trainable
FROM (
    SELECT counted.*, max_reward - min_reward AS reward_spread,
           ARRAY(
               SELECT (r.reward - mean_reward) / (std_reward + 1e-6)
               FROM unnest(rewards) WITH ORDINALITY AS r (reward, idx) ORDER BY r.idx
           ) AS advantages,
           array_remove(ARRAY[
               CASE WHEN size < 2 THEN 'too small' END,
               CASE WHEN NOT same_policy THEN 'mixed policies' END,
               CASE WHEN n_complete < size THEN 'incomplete members' END,
               CASE WHEN n_pending > 0 THEN 'rewards pending' END,
               CASE WHEN n_rewarded < size THEN 'members without a reward' END,
               CASE WHEN n_rewarded >= 2 AND min_reward = max_reward THEN 'equal rewards' END
           ], NULL) AS why_not
    FROM (
        SELECT project, scenario, group_key, window_id, policy_version,
               min(window_start) AS window_start,
               count(*) AS size,
               count(DISTINCT agent_id) AS n_agents,
               count(DISTINCT coalesce(policy, '')) = 1
                   AND coalesce(min(first_version) = max(last_version), true) AS same_policy,
               count(*) FILTER (WHERE complete) AS n_complete,
               count(*) FILTER (WHERE pending) AS n_pending,
               count(reward) AS n_rewarded,
               min(reward) AS min_reward,
               max(reward) AS max_reward,
               avg(reward) AS mean_reward,
               stddev_pop(reward) AS std_reward,
               array_agg(trajectory_id ORDER BY trajectory_id COLLATE "C") AS trajectory_ids,
               array_agg(reward ORDER BY trajectory_id COLLATE "C") AS rewards
        FROM group_members
        GROUP BY project, scenario, group_key, window_id, policy_version
    ) counted
) judged;
COMMENT ON VIEW groups IS 'Attempts at the same task by the same policy in one window.';

-- What several agents did together.
CREATE VIEW episodes AS
SELECT project, episode_id,
       count(*) AS n_trajectories,
       count(DISTINCT agent_id) AS n_agents,
       bool_and(complete) AS complete,
       min(started_at) AS started_at,
       max(ended_at) AS ended_at,
       sum(reward) AS reward,
       array_agg(trajectory_id ORDER BY trajectory_id COLLATE "C") AS trajectory_ids,
       array_agg(agent_id ORDER BY trajectory_id COLLATE "C") AS agent_ids,
       array_agg(reward ORDER BY trajectory_id COLLATE "C") AS rewards
FROM (
    SELECT t.project, t.episode_id, t.trajectory_id,
           min(t.agent_id) AS agent_id,
           bool_and(t.complete) AND bool_or(t.last) AS complete,
           min(t.started_at) AS started_at,
           max(t.ended_at) AS ended_at,
           sum(c.reward) AS reward
    FROM trajectories t
    JOIN current_scores c USING (window_start, trajectory_id, part)
    WHERE t.episode_id IS NOT NULL
    GROUP BY t.project, t.episode_id, t.trajectory_id
) members
GROUP BY project, episode_id;
COMMENT ON VIEW episodes IS 'Trajectories that share an episode_id, in the order of their ids.';
