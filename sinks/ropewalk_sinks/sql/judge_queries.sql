-- try_lock_judging --
-- Held by the session: a second judge would pay for the same answers.
SELECT pg_try_advisory_lock(hashtext('ropewalk judge'))

-- settled_groups --
-- Groups in which nothing happened lately; every member is whole, in one part.
SELECT project, scenario, policy, policy_version, group_key, window_id,
       array_agg(trajectory_id ORDER BY trajectory_id COLLATE "C", part),
       array_agg(part ORDER BY trajectory_id COLLATE "C", part),
       array_agg(content_hash ORDER BY trajectory_id COLLATE "C", part)
FROM trajectories
WHERE coalesce(scenario, group_key) IS NOT NULL
GROUP BY project, scenario, policy, policy_version, group_key, window_id
HAVING count(*) >= 2
    AND bool_and(complete AND last AND part = 0)
    AND max(finalized_at) < %(settled_before)s
ORDER BY max(finalized_at), min(trajectory_id COLLATE "C")

-- known_judgments --
-- Also those that a database made anew from the log knows by their rewards only.
SELECT judgment_id FROM judgments WHERE judgment_id = ANY (%(ids)s)
UNION
SELECT given.judgment_id
FROM unnest(%(ids)s::text[], %(reward_ids)s::text[]) AS given (judgment_id, reward_id)
JOIN rewards USING (reward_id)

-- goals_to_judge --
SELECT t.trajectory_id, t.goal
FROM parts p
JOIN trajectories t USING (window_start, trajectory_id, part)
WHERE p.trajectory_id = ANY (%(ids)s) AND p.part = 0

-- messages_to_judge --
SELECT m.trajectory_id, m.role, m.content, m.tool_calls, m.parts
FROM parts p
JOIN messages m USING (window_start, trajectory_id, part)
WHERE p.trajectory_id = ANY (%(ids)s) AND p.part = 0
ORDER BY m.trajectory_id, m.idx

-- steps_to_judge --
SELECT s.trajectory_id, s.observation, s.action_type, s.action, s.action_status, s.result, s.error
FROM parts p
JOIN steps s USING (window_start, trajectory_id, part)
WHERE p.trajectory_id = ANY (%(ids)s) AND p.part = 0
ORDER BY s.trajectory_id, s.idx

-- record_judgment --
-- An answer about somebody who was erased while it was on its way is not kept.
INSERT INTO judgments (judgment_id, project, group_name, members, rubric_name, rubric, model,
                       accepted, detail, raw, requests, input_tokens, output_tokens, cost_usd,
                       judged_at)
SELECT %(judgment_id)s, %(project)s, %(group_name)s, %(members)s::jsonb, %(rubric_name)s,
       %(rubric)s, %(model)s, %(accepted)s, %(detail)s, %(raw)s, %(requests)s, %(input_tokens)s,
       %(output_tokens)s, %(cost_usd)s, %(judged_at)s
WHERE NOT EXISTS (SELECT FROM erased_trajectories WHERE trajectory_id = ANY (%(member_ids)s))
ON CONFLICT DO NOTHING
RETURNING serial

-- record_judgment_scores --
INSERT INTO judgment_scores (reward_id, judgment_id, idx, trajectory_id, value, explanation,
                             supersedes)
SELECT given.reward_id, %(judgment_id)s, given.idx - 1, given.trajectory_id, given.value,
       given.explanation, (
    SELECT s.reward_id
    FROM judgment_scores s
    JOIN judgments j USING (judgment_id)
    WHERE s.trajectory_id = given.trajectory_id AND j.rubric_name = %(rubric_name)s
        AND j.serial < %(serial)s
    ORDER BY j.serial DESC LIMIT 1)
FROM unnest(%(reward_ids)s::text[], %(trajectory_ids)s::text[], %(values)s::float8[],
            %(explanations)s::text[])
    WITH ORDINALITY AS given (reward_id, trajectory_id, value, explanation, idx)

-- judgments_to_emit --
SELECT j.judgment_id, j.project, j.group_name, j.rubric, j.model, j.detail, j.raw,
       j.judged_at
FROM judgments j WHERE j.emitted_at IS NULL ORDER BY j.serial LIMIT 100

-- judgment_scores_of --
SELECT reward_id, trajectory_id, value, explanation, supersedes
FROM judgment_scores WHERE judgment_id = %(judgment_id)s ORDER BY idx

-- mark_judgments_emitted --
UPDATE judgments SET emitted_at = now() WHERE judgment_id = ANY (%(ids)s)

-- forget_refused_judgments --
-- Refusals in the log stay; those not sent yet are sent first.
SELECT forget_refused_judgments(%(rubric)s, %(model)s)
