-- Subjects that were erased. A row here is the tombstone: what it names is not stored again.

CREATE TABLE erasures (
    erasure_id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('agent', 'trajectory')),
    subject_id text NOT NULL,
    project text,
    reason text,
    erased_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    n_refused bigint NOT NULL DEFAULT 0
);
CREATE INDEX erasures_subject ON erasures (subject_id);
COMMENT ON COLUMN erasures.project IS 'Where an agent is erased; null means in every project.';
COMMENT ON COLUMN erasures.finished_at IS 'When nothing was left in the Parquet datasets either.';

CREATE TABLE erased_trajectories (
    trajectory_id text NOT NULL,
    erasure_id text NOT NULL REFERENCES erasures,
    parts jsonb NOT NULL DEFAULT '{}',
    n_events bigint NOT NULL DEFAULT 0,
    n_entries bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (trajectory_id, erasure_id)
);
COMMENT ON TABLE erased_trajectories IS
    'The trajectories of erased subjects, with what was removed; zeros when a sink found it later.';
COMMENT ON COLUMN erased_trajectories.parts IS 'The content hash of each removed part.';

CREATE TABLE erased_judgments (
    judgment_id text NOT NULL,
    erasure_id text NOT NULL REFERENCES erasures,
    PRIMARY KEY (judgment_id, erasure_id)
);
COMMENT ON TABLE erased_judgments IS
    'Judgments of groups with an erased member: what a judge refused of them is not stored again.';

-- Held shared by whoever stores rows of subjects, while it looks who is erased and until it commits;
-- alone by an erasure. So a batch is stored before an erasure, which removes it, or sees it.
CREATE FUNCTION lock_erasures() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock_shared(hashtext('ropewalk erasures'))
$$;

CREATE FUNCTION lock_for_erasing() RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtext('ropewalk erasures'))
$$;

-- Removes everything of these trajectories, and these refused records. Judgments of a group are
-- about all its members: of an accepted one the answer goes, and what it said of the subject; the
-- others keep what they earned. A refused one goes whole.
CREATE FUNCTION erase_rows(ids text[], judgment_ids text[], refused_topics text[],
                           refused_partitions int[], refused_offsets bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    name text;
BEGIN
    PERFORM lock_for_erasing();
    FOREACH name IN ARRAY ARRAY['messages', 'steps', 'llm_calls', 'trajectories'] LOOP
        EXECUTE format(
            'DELETE FROM %I d USING parts p WHERE p.trajectory_id = ANY ($1)
                 AND d.window_start = p.window_start AND d.trajectory_id = p.trajectory_id
                 AND d.part = p.part', name) USING ids;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['parts', 'scores', 'score_history', 'claims', 'settled_claims',
                                'rewards', 'judgment_scores'] LOOP
        EXECUTE format('DELETE FROM %I WHERE trajectory_id = ANY ($1)', name) USING ids;
    END LOOP;
    DELETE FROM forgotten_judgments WHERE judgment_id = ANY (judgment_ids);
    DELETE FROM judgments WHERE judgment_id = ANY (judgment_ids) AND NOT accepted;
    UPDATE judgments SET raw = '', detail = '', members = coalesce((
        SELECT jsonb_agg(member ORDER BY idx)
        FROM jsonb_array_elements(members) WITH ORDINALITY AS m (member, idx)
        WHERE NOT member->>0 = ANY (ids)), '[]')
    WHERE judgment_id = ANY (judgment_ids);
    DELETE FROM quarantine q
    USING unnest(refused_topics, refused_partitions, refused_offsets) AS r (topic, partition, "offset")
    WHERE q.topic = r.topic AND q.partition = r.partition AND q."offset" = r."offset";
END
$$;

-- The planner keeps samples of what columns hold. New samples hold nothing of what is gone.
CREATE FUNCTION forget_samples() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'parts', 'trajectories', 'messages', 'steps', 'llm_calls', 'scores', 'score_history', 'claims',
        'settled_claims', 'rewards', 'quarantine', 'judgments', 'judgment_scores',
        'forgotten_judgments'
    ] LOOP
        EXECUTE format('ANALYZE %I', name);
    END LOOP;
END
$$;

-- How many rows of erased trajectories are stored: none, or an erasure is to be run again.
CREATE VIEW erased_leftovers AS
SELECT kind, trajectory_id, count(*) AS n_rows
FROM (
    SELECT 'parts' AS kind, trajectory_id FROM parts
    UNION ALL SELECT 'trajectories', trajectory_id FROM trajectories
    UNION ALL SELECT 'messages', trajectory_id FROM messages
    UNION ALL SELECT 'steps', trajectory_id FROM steps
    UNION ALL SELECT 'llm_calls', trajectory_id FROM llm_calls
    UNION ALL SELECT 'scores', trajectory_id FROM scores
    UNION ALL SELECT 'score_history', trajectory_id FROM score_history
    UNION ALL SELECT 'claims', trajectory_id FROM claims
    UNION ALL SELECT 'settled_claims', trajectory_id FROM settled_claims
    UNION ALL SELECT 'rewards', trajectory_id FROM rewards
    UNION ALL SELECT 'judgment_scores', trajectory_id FROM judgment_scores
) stored
WHERE trajectory_id IN (SELECT e.trajectory_id FROM erased_trajectories e)
GROUP BY kind, trajectory_id;

-- Trajectories and judgments are found by sinks and settled by settlement; erasing is the operator's.
GRANT SELECT ON erasures, erased_trajectories, erased_judgments, erased_leftovers TO ropewalk_reader;
GRANT INSERT (trajectory_id, erasure_id) ON erased_trajectories TO ropewalk_writer;
GRANT INSERT, UPDATE ON erasures, erased_trajectories, erased_judgments TO ropewalk_operator;

DO $$
DECLARE
    own text;
BEGIN
    FOREACH own IN ARRAY ARRAY[
        'erase_rows(text[], text[], text[], int[], bigint[])', 'forget_samples()'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', own, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', own);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO ropewalk_operator', own);
    END LOOP;
END
$$;
