-- The ledger as of any moment over the Parquet datasets, in DuckDB: what the functions of
-- migrations/003_as_of.sql and 007_linear_circles.sql are in Postgres. Any reader can run it. Give
-- it the datasets first:
--
--   CREATE VIEW rewards AS FROM read_parquet('PATH/rewards/**/*.parquet');
--   CREATE VIEW trajectories AS FROM read_parquet('PATH/trajectories/**/*.parquet');
--   .read ledger.duckdb.sql
--   SELECT * FROM rewards_as_of(TIMESTAMPTZ '2026-03-02 00:00:00Z');

-- What of the ledger was recorded by then and superseded by nothing recorded by then.
CREATE OR REPLACE MACRO counting_as_of(moment) AS TABLE
SELECT * FROM rewards r
WHERE r.recorded_at <= moment AND NOT EXISTS (
    SELECT 1 FROM rewards newer
    WHERE newer.supersedes = r.reward_id AND newer.trajectory_id = r.trajectory_id
        AND newer.recorded_at <= moment
);

-- The calls of trajectories that have entries.
CREATE OR REPLACE MACRO rewarded_calls() AS TABLE
SELECT trajectory_id, part, unnest(llm_calls) AS c
FROM trajectories
WHERE trajectory_id IN (SELECT trajectory_id FROM rewards);

-- Every name by which an entry may mean a step: its event, or a call that led to it. A call's `step` is
-- the first that names it; going from steps to calls would take all calls of a part along for each step.
CREATE OR REPLACE MACRO step_names() AS TABLE
WITH decisions AS (
    SELECT trajectory_id, part, unnest(steps) AS s
    FROM trajectories
    WHERE trajectory_id IN (SELECT trajectory_id FROM rewards)
)
SELECT trajectory_id, part, s.step AS step, 'event' AS kind, s.event_id AS id FROM decisions
UNION ALL
SELECT trajectory_id, part, c.step, 'call', unnest([c.call_id, c.response_id]) FROM rewarded_calls()
WHERE c.step IS NOT NULL;

-- The names of calls, whether a step rests on them or not.
CREATE OR REPLACE MACRO call_names() AS TABLE
SELECT trajectory_id, 'event' AS kind, c.event_id AS id FROM rewarded_calls()
UNION ALL
SELECT trajectory_id, 'call', unnest([c.call_id, c.response_id]) FROM rewarded_calls();

-- One row per entry that counts; part and step are null for the whole trajectory.
CREATE OR REPLACE MACRO entries_as_of(moment) AS TABLE
WITH placed AS (
    SELECT r.reward_id, min({'part': n.part, 'step': n.step}) AS at
    FROM rewards r
    JOIN step_names() n ON n.trajectory_id = r.trajectory_id
        AND n.kind = CASE WHEN r.target_event_id IS NOT NULL THEN 'event' ELSE 'call' END
        AND n.id = coalesce(r.target_event_id, r.call_id, r.response_id)
    GROUP BY r.reward_id
)
SELECT r.trajectory_id, p.at.part AS part, p.at.step AS step, r.reward_id, r.name, r.source,
       r.value, r.recorded_at
FROM counting_as_of(moment) r
LEFT JOIN placed p ON p.reward_id = r.reward_id;

CREATE OR REPLACE MACRO rewards_as_of(moment) AS TABLE
SELECT trajectory_id, part, step, sum(value) AS reward, count(*) AS n_entries,
       max(recorded_at) AS recorded_at
FROM entries_as_of(moment)
GROUP BY trajectory_id, part, step;

-- Entries whose supersedes cannot be followed: itself, cycle (set aside), unknown_target,
-- other_trajectory (they count, and replace nothing). Each round makes every walk twice as long,
-- until it is longer than all the links: only on a circle can one go on for so long.
CREATE OR REPLACE MACRO reward_problems_as_of(moment) AS TABLE
WITH RECURSIVE known AS (
    SELECT * FROM rewards WHERE recorded_at <= moment
), links AS (
    SELECT trajectory_id, reward_id AS start, supersedes AS target, 1::BIGINT AS steps
    FROM known
    WHERE supersedes <> reward_id
), walks AS (
    SELECT * FROM links
    UNION
    SELECT w.trajectory_id, w.start, further.target, w.steps + further.steps
    FROM walks w
    JOIN walks further ON further.start = w.target
        AND further.trajectory_id = w.trajectory_id AND further.steps = w.steps
    WHERE w.steps <= (SELECT count(*) FROM links)
), circling AS (
    SELECT DISTINCT target AS reward_id FROM walks WHERE steps > (SELECT count(*) FROM links)
), judged AS (
    SELECT r.trajectory_id, r.reward_id, r.supersedes, CASE
            WHEN r.supersedes = r.reward_id THEN 'itself'
            WHEN target.reward_id IS NULL THEN 'unknown_target'
            WHEN target.trajectory_id <> r.trajectory_id THEN 'other_trajectory'
            WHEN r.reward_id IN (SELECT reward_id FROM circling) THEN 'cycle'
        END AS problem, r.recorded_at
    FROM known r
    LEFT JOIN known target ON target.reward_id = r.supersedes
    WHERE r.supersedes IS NOT NULL
)
SELECT * FROM judged WHERE problem IS NOT NULL;

-- What counts while its trajectory, or the step or call it is for, is not stored.
CREATE OR REPLACE MACRO unmatched_rewards_as_of(moment) AS TABLE
WITH waiting AS (
    SELECT r.*, r.trajectory_id IN (SELECT trajectory_id FROM trajectories) AS seen,
           coalesce(r.target_event_id, r.call_id, r.response_id) AS target
    FROM entries_as_of(moment) e
    JOIN rewards r ON r.reward_id = e.reward_id
    WHERE e.part IS NULL
)
SELECT trajectory_id, reward_id, CASE WHEN seen THEN 'target' ELSE 'trajectory' END AS waits_for,
       target_event_id, call_id, response_id, name, source, value, recorded_at
FROM waiting w
WHERE NOT seen OR (target IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM call_names() n
    WHERE n.trajectory_id = w.trajectory_id AND n.id = w.target
        AND n.kind = CASE WHEN w.target_event_id IS NOT NULL THEN 'event' ELSE 'call' END
));
