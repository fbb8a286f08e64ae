-- lock_for_erasing --
SELECT lock_for_erasing()

-- own_schema --
SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = 'erasures'::regclass

-- generations_exist --
SELECT to_regclass('generations') IS NOT NULL

-- generation_schemas --
-- A generation that is being built or removed may have no schema, or none of its tables.
SELECT g.name FROM generations g
WHERE to_regclass(format('%I.erased_judgments', g.name)) IS NOT NULL
ORDER BY g.name

-- trajectories_of_subject --
SELECT DISTINCT trajectory_id FROM trajectories
WHERE %(kind)s = 'agent' AND agent_id = %(id)s
    AND project = coalesce(%(project)s::text, project)
UNION
SELECT e.trajectory_id FROM erased_trajectories e JOIN erasures USING (erasure_id)
WHERE kind = %(kind)s AND subject_id = %(id)s AND project IS NOT DISTINCT FROM %(project)s::text

-- parts_of --
SELECT t.trajectory_id, t.part, t.content_hash, t.n_events FROM trajectories t
WHERE t.trajectory_id = ANY (%(ids)s)

-- entries_of --
SELECT trajectory_id, count(*) FROM rewards WHERE trajectory_id = ANY (%(ids)s) GROUP BY 1

-- judgments_of --
SELECT judgment_id FROM (
    SELECT judgment_id, members FROM judgments
    UNION ALL
    SELECT judgment_id, members FROM forgotten_judgments
) said
WHERE EXISTS (SELECT FROM jsonb_array_elements(members) member WHERE member->>0 = ANY (%(ids)s))
UNION
SELECT judgment_id FROM judgment_scores WHERE trajectory_id = ANY (%(ids)s)
UNION
SELECT j.judgment_id FROM erased_judgments j JOIN erasures USING (erasure_id)
WHERE kind = %(kind)s AND subject_id = %(id)s AND project IS NOT DISTINCT FROM %(project)s::text

-- refused_to_look_at --
SELECT topic, partition, "offset", key, value, trajectory_id FROM quarantine

-- record_erasure --
INSERT INTO erasures AS known
    (erasure_id, kind, subject_id, project, reason, erased_at, n_refused)
VALUES (%(erasure_id)s, %(kind)s, %(subject_id)s, %(project)s, %(reason)s, %(at)s, %(n_refused)s)
ON CONFLICT (erasure_id) DO UPDATE SET finished_at = NULL,
    reason = coalesce(known.reason, excluded.reason),
    n_refused = known.n_refused + excluded.n_refused

-- record_erased --
INSERT INTO erased_trajectories AS known (trajectory_id, erasure_id, parts, n_events, n_entries)
SELECT trajectory_id, %(erasure_id)s, parts, n_events, n_entries
FROM jsonb_to_recordset(%(rows)s::jsonb) AS given (
    trajectory_id text, parts jsonb, n_events bigint, n_entries bigint)
ON CONFLICT (trajectory_id, erasure_id) DO UPDATE SET parts = known.parts || excluded.parts,
    n_events = known.n_events + excluded.n_events, n_entries = known.n_entries + excluded.n_entries

-- record_erased_judgments --
INSERT INTO erased_judgments (judgment_id, erasure_id)
SELECT unnest(%(judgments)s::text[]), %(erasure_id)s ON CONFLICT DO NOTHING

-- erase_rows --
SELECT erase_rows(%(ids)s, %(judgments)s, %(topics)s, %(partitions)s, %(offsets)s)

-- forget_samples --
SELECT forget_samples()

-- finish_erasure --
UPDATE erasures SET finished_at = %(at)s WHERE erasure_id = %(erasure_id)s

-- all_tombstones --
SELECT e.erasure_id, e.kind, e.subject_id, e.project, e.reason, e.erased_at, e.finished_at,
       e.n_refused,
       ARRAY(SELECT judgment_id FROM erased_judgments j WHERE j.erasure_id = e.erasure_id
             ORDER BY 1)
FROM erasures e ORDER BY e.erased_at, e.erasure_id

-- erased_by --
SELECT erasure_id, trajectory_id, parts, n_events, n_entries FROM erased_trajectories

-- erased_leftovers --
SELECT kind, trajectory_id, n_rows FROM erased_leftovers ORDER BY 1, 2

-- parts_of_agents --
SELECT trajectory_id, agent_id, project FROM trajectories WHERE agent_id = ANY (%(agents)s)

-- erased_entries_left --
SELECT count(*) FROM rewards r JOIN (SELECT DISTINCT trajectory_id FROM erased_trajectories) e
    USING (trajectory_id)
