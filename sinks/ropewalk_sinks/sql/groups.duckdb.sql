-- Groups and episodes over the Parquet datasets, in DuckDB: what the views of
-- migrations/005_specs_and_groups.sql are in Postgres, column by column. Any reader can run it, after
-- ledger.duckdb.sql, which says how to name the datasets:
--
--   .read ledger.duckdb.sql
--   .read groups.duckdb.sql
--   SELECT * FROM groups() WHERE trainable;

-- Today's reward of each part: what its steps earned at once, and the ledger entries that count.
CREATE OR REPLACE MACRO current_scores() AS TABLE
WITH components AS (
    SELECT trajectory_id, part, unnest(s.components) AS c
    FROM (SELECT trajectory_id, part, unnest(steps) AS s FROM trajectories)
), immediate AS (
    SELECT trajectory_id, part, sum(c.value) AS reward FROM components GROUP BY ALL
), newest AS (
    SELECT trajectory_id, max(part) AS part FROM trajectories GROUP BY ALL
), ledger AS (
    SELECT e.trajectory_id, coalesce(e.part, n.part) AS part, sum(e.value) AS reward
    FROM entries_as_of('infinity'::TIMESTAMPTZ) e
    JOIN newest n ON n.trajectory_id = e.trajectory_id
    GROUP BY ALL
)
SELECT t.trajectory_id, t.part,
       CASE WHEN i.reward IS NOT NULL OR l.reward IS NOT NULL
            THEN coalesce(i.reward, 0) + coalesce(l.reward, 0) END AS reward
FROM trajectories t
LEFT JOIN immediate i ON i.trajectory_id = t.trajectory_id AND i.part = t.part
LEFT JOIN ledger l ON l.trajectory_id = t.trajectory_id AND l.part = t.part;

-- A claim is pending until a reward of its trajectory names its outcome, for the claim's decision
-- or for no decision.
CREATE OR REPLACE MACRO pending_claims() AS TABLE
WITH claims AS (
    SELECT trajectory_id, part, s.event_id AS event_id, unnest(s.claims) AS claim
    FROM (SELECT trajectory_id, part, unnest(steps) AS s FROM trajectories)
)
SELECT c.trajectory_id, c.part, c.event_id, c.claim.outcome_key AS outcome_key
FROM claims c
WHERE NOT EXISTS (
    SELECT 1 FROM rewards r
    WHERE r.trajectory_id = c.trajectory_id AND r.outcome_key = c.claim.outcome_key
        AND coalesce(r.target_event_id, c.event_id) = c.event_id
);

-- Trajectories with today's reward, by the group they are in.
CREATE OR REPLACE MACRO group_members() AS TABLE
WITH pending AS (
    SELECT DISTINCT trajectory_id, part FROM pending_claims()
), ended AS (
    SELECT DISTINCT trajectory_id FROM trajectories WHERE last
), acting AS (
    SELECT trajectory_id, part, min(c.policy_version) AS first_version,
           max(c.policy_version) AS last_version
    FROM (SELECT trajectory_id, part, unnest(llm_calls) AS c FROM trajectories)
    WHERE c.step IS NOT NULL
    GROUP BY ALL
)
SELECT t.project, t.scenario, t.group_key, t.window_id, t.policy_version, t.trajectory_id,
       min(t.window_start) AS window_start,
       min(t.agent_id) AS agent_id,
       min(t.policy) AS policy,
       min(a.first_version) AS first_version,
       max(a.last_version) AS last_version,
       sum(c.reward) AS reward,
       bool_and(t.complete)
           AND (bool_and(t.mode = 'continuous') OR bool_or(e.trajectory_id IS NOT NULL))
           AS complete,
       bool_or(p.trajectory_id IS NOT NULL) AS pending
FROM trajectories t
JOIN current_scores() c ON c.trajectory_id = t.trajectory_id AND c.part = t.part
LEFT JOIN pending p ON p.trajectory_id = t.trajectory_id AND p.part = t.part
LEFT JOIN acting a ON a.trajectory_id = t.trajectory_id AND a.part = t.part
LEFT JOIN ended e ON e.trajectory_id = t.trajectory_id
GROUP BY t.project, t.scenario, t.group_key, t.window_id, t.policy_version, t.trajectory_id;

-- Same project, scenario, group key, window and policy version. The lists are in the order of
-- trajectory_ids. advantage = (reward - mean) / (population deviation + 1e-6), as GRPO has it.
CREATE OR REPLACE MACRO groups() AS TABLE
WITH counted AS (
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
           list(trajectory_id ORDER BY trajectory_id) AS trajectory_ids,
           list(reward ORDER BY trajectory_id) AS rewards
    FROM group_members()
    GROUP BY project, scenario, group_key, window_id, policy_version
), spread AS (
    -- Of the ordered list: threads must not decide about the last bits.
    SELECT *, list_avg(rewards) AS mean_reward, list_stddev_pop(rewards) AS std_reward
    FROM counted
), judged AS (
    SELECT *, max_reward - min_reward AS reward_spread,
           [(r - mean_reward) / (std_reward + 1e-6) FOR r IN rewards] AS advantages,
           [why FOR why IN [
               CASE WHEN size < 2 THEN 'too small' END,
               CASE WHEN NOT same_policy THEN 'mixed policies' END,
               CASE WHEN n_complete < size THEN 'incomplete members' END,
               CASE WHEN n_pending > 0 THEN 'rewards pending' END,
               CASE WHEN n_rewarded < size THEN 'members without a reward' END,
               CASE WHEN n_rewarded >= 2 AND min_reward = max_reward THEN 'equal rewards' END
           ] IF why IS NOT NULL] AS why_not
    FROM spread
)
SELECT *, len(why_not) = 0 AS trainable FROM judged;

-- What several agents did together: trajectories that share an episode_id, in the order of their ids.
CREATE OR REPLACE MACRO episodes() AS TABLE
WITH members AS (
    SELECT t.project, t.episode_id, t.trajectory_id,
           min(t.agent_id) AS agent_id,
           bool_and(t.complete) AND bool_or(t.last) AS complete,
           min(t.started_at) AS started_at,
           max(t.ended_at) AS ended_at,
           sum(c.reward) AS reward
    FROM trajectories t
    JOIN current_scores() c ON c.trajectory_id = t.trajectory_id AND c.part = t.part
    WHERE t.episode_id IS NOT NULL
    GROUP BY t.project, t.episode_id, t.trajectory_id
)
SELECT project, episode_id,
       count(*) AS n_trajectories,
       count(DISTINCT agent_id) AS n_agents,
       bool_and(complete) AS complete,
       min(started_at) AS started_at,
       max(ended_at) AS ended_at,
       sum(reward) AS reward,
       list(trajectory_id ORDER BY trajectory_id) AS trajectory_ids,
       list(agent_id ORDER BY trajectory_id) AS agent_ids,
       list(reward ORDER BY trajectory_id) AS rewards
FROM members
GROUP BY project, episode_id;
