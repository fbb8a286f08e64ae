-- The circles of 003_as_of.sql again, for chains of any length: the same rows, found by doubling.
-- There a walk was a row for each step that it took: the square of a chain's length.

-- Each round makes every walk twice as long, until it is longer than all the links: one that ended
-- on its way is gone, and one that goes on is on a circle. Each entry of the circle is then the
-- target of a walk, because all of them move on by as many steps; what leads into it is none.
-- The inner WITH is there because Postgres lets a recursive query name itself only once.
CREATE OR REPLACE FUNCTION reward_problems_as_of(moment timestamptz)
RETURNS TABLE (
    trajectory_id text, reward_id text, supersedes text, problem text, recorded_at timestamptz
) LANGUAGE sql STABLE AS $$
WITH RECURSIVE links AS (
    SELECT r.trajectory_id, r.reward_id AS start, r.supersedes AS target, 1::bigint AS steps
    FROM rewards r
    -- The first condition follows from the second, but only by it Postgres knows how few remain.
    WHERE r.supersedes IS NOT NULL AND r.supersedes <> r.reward_id AND r.recorded_at <= moment
), walks AS (
    SELECT * FROM links
    UNION ALL (
        WITH round AS (SELECT * FROM walks WHERE steps <= (SELECT count(*) FROM links))
        SELECT w.trajectory_id, w.start, further.target, w.steps + further.steps
        FROM round w
        JOIN round further ON further.start = w.target
            AND further.trajectory_id = w.trajectory_id AND further.steps = w.steps
    )
), circling AS (
    SELECT DISTINCT target AS reward_id FROM walks WHERE steps > (SELECT count(*) FROM links)
), judged AS (
    SELECT r.trajectory_id, r.reward_id, r.supersedes, CASE
            WHEN r.supersedes = r.reward_id THEN 'itself'
            WHEN target.reward_id IS NULL THEN 'unknown_target'
            WHEN target.trajectory_id <> r.trajectory_id THEN 'other_trajectory'
            WHEN r.reward_id IN (SELECT c.reward_id FROM circling c) THEN 'cycle'
        END AS problem, r.recorded_at
    FROM rewards r
    LEFT JOIN rewards target
        ON target.reward_id = r.supersedes AND target.recorded_at <= moment
    WHERE r.supersedes IS NOT NULL AND r.recorded_at <= moment
)
SELECT * FROM judged WHERE problem IS NOT NULL
$$;
