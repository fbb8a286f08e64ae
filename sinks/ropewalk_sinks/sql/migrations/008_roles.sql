-- Who may do what, as roles that nobody logs in as: a person or a program is made a member of one.
--
--   ropewalk_reader    reads everything here, writes nothing
--   ropewalk_writer    what the sinks, settlement, the judge and `ropewalk score` need
--   ropewalk_operator  reads everything, marks refused records as sent again, and erases (009)
--
-- Roles belong to the whole cluster: another database may have made them, or make them right now.
-- They own nothing. What is granted is granted on the tables of this schema, whatever its name.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['ropewalk_reader', 'ropewalk_writer', 'ropewalk_operator'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            END IF;
            IF role <> 'ropewalk_reader' AND NOT pg_has_role(role, 'ropewalk_reader', 'MEMBER') THEN
                EXECUTE format('GRANT ropewalk_reader TO %I', role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database's migration did it meanwhile
        END;
    END LOOP;
    -- Then the other's GRANT may not be there yet: its migration grants in the same order.
    FOREACH role IN ARRAY ARRAY['ropewalk_writer', 'ropewalk_operator'] LOOP
        BEGIN
            IF NOT pg_has_role(role, 'ropewalk_reader', 'MEMBER') THEN
                EXECUTE format('GRANT ropewalk_reader TO %I', role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE insufficient_privilege USING MESSAGE = format(
        'user %s may not create roles; let a superuser run: '
        'CREATE ROLE ropewalk_reader NOLOGIN; CREATE ROLE ropewalk_writer NOLOGIN; '
        'CREATE ROLE ropewalk_operator NOLOGIN; '
        'GRANT ropewalk_reader TO ropewalk_writer, ropewalk_operator', current_user);
END
$$;

DO $$
BEGIN
    EXECUTE format(
        'GRANT USAGE ON SCHEMA %I TO ropewalk_reader, ropewalk_writer, ropewalk_operator',
        current_schema());
    -- The tables of months and of later migrations too, as they have the same owner.
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO ropewalk_reader',
        current_schema());
END
$$;

GRANT SELECT ON
    schema_migrations, sink_offsets, parts, trajectories, messages, steps, llm_calls, scores, claims,
    rewards, outcomes, quarantine, progress, settled_claims, reward_specs, score_history, judgments,
    judgment_scores, current_entries, current_rewards, current_scores, unmatched_rewards,
    reward_problems, windows, group_members, groups, episodes
TO ropewalk_reader;

DO $$
DECLARE
    month regclass;
BEGIN
    FOR month IN
        SELECT inhrelid FROM pg_inherits
        WHERE inhparent IN ('trajectories'::regclass, 'messages'::regclass, 'steps'::regclass,
                            'llm_calls'::regclass)
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO ropewalk_reader', month);
    END LOOP;
END
$$;

-- Rows go into months by the tables above them, so months need no grant of their own.
GRANT INSERT ON
    sink_offsets, parts, trajectories, messages, steps, llm_calls, scores, claims, rewards, outcomes,
    quarantine, progress, settled_claims, reward_specs, score_history, judgments, judgment_scores
TO ropewalk_writer;
GRANT UPDATE (next_offset, epoch) ON sink_offsets TO ropewalk_writer;
GRANT UPDATE (n_versions, rules) ON settled_claims TO ropewalk_writer;
GRANT UPDATE (total, immediate, n_entries, steps, returns, computed_at) ON scores TO ropewalk_writer;
GRANT UPDATE (emitted_at) ON judgments TO ropewalk_writer;

GRANT UPDATE (replayed_at) ON quarantine TO ropewalk_operator;

-- A sink must make a month's tables, and own none: so the function does it for whoever may call it.
-- A judge may take back its own refusals, and remove no other row.
CREATE TABLE forgotten_judgments (
    judgment_id text PRIMARY KEY,
    members jsonb NOT NULL
);
COMMENT ON TABLE forgotten_judgments IS 'Whom refusals in quarantine are about that a judge forgot.';

CREATE FUNCTION forget_refused_judgments(of_rubric text, of_model text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER AS $$
    WITH forgotten AS (
        DELETE FROM judgments
        WHERE NOT accepted AND emitted_at IS NOT NULL AND rubric = of_rubric AND model = of_model
        RETURNING judgment_id, members
    ), kept AS (
        INSERT INTO forgotten_judgments SELECT * FROM forgotten ON CONFLICT DO NOTHING
    )
    SELECT count(*) FROM forgotten
$$;
COMMENT ON FUNCTION forget_refused_judgments IS
    'Lets refused groups be asked about again; gives how many. Refusals in the log stay.';

DO $$
DECLARE
    own text;
BEGIN
    FOREACH own IN ARRAY ARRAY['create_month(date)', 'forget_refused_judgments(text, text)'] LOOP
        -- Its owner's rights go with its owner's tables only, whatever the caller has set.
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       own, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', own);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO ropewalk_writer', own);
    END LOOP;
END
$$;
