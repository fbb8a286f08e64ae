-- What the sink stores. Keys and indexes are a contract with readers.
-- Large values are kept uncompressed (EXTERNAL): compressing them costs more than their disk.

CREATE TABLE sink_offsets (
    sink text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    epoch bigint NOT NULL,
    PRIMARY KEY (sink, topic, partition)
);
COMMENT ON TABLE sink_offsets IS 'Where each sink goes on; the epoch fences earlier owners.';

CREATE TABLE parts (
    trajectory_id text NOT NULL,
    part int NOT NULL,
    content_hash text NOT NULL,
    window_start timestamptz NOT NULL,
    last boolean NOT NULL,
    PRIMARY KEY (trajectory_id, part)
);
COMMENT ON TABLE parts IS 'The guard of identity: a final part is stored once, whatever its window.';

CREATE TABLE trajectories (
    window_start timestamptz NOT NULL,
    trajectory_id text NOT NULL,
    part int NOT NULL,
    last boolean NOT NULL,
    schema_version int NOT NULL,
    engine_version text NOT NULL,
    episode_id text,
    project text NOT NULL,
    agent_id text NOT NULL,
    window_id text NOT NULL,
    window_s int NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    finalized_at timestamptz NOT NULL,
    scenario text,
    policy text,
    policy_version text,
    group_key text,
    goal text,
    mode text NOT NULL,
    seed bigint,
    status text,
    termination text,
    error text,
    close_reason text NOT NULL,
    complete boolean NOT NULL,
    linear boolean NOT NULL,
    content_hash text NOT NULL,
    previous_hash text NOT NULL,
    source_partition int NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    n_events int NOT NULL,
    n_steps int NOT NULL,
    n_llm_calls int NOT NULL,
    n_missing int NOT NULL,
    input_tokens bigint,
    output_tokens bigint,
    cost_usd double precision,
    reward_spec text NOT NULL,
    reward double precision,
    metadata jsonb NOT NULL,
    extra jsonb NOT NULL,
    writers jsonb NOT NULL,
    tool_sets jsonb NOT NULL,
    PRIMARY KEY (window_start, trajectory_id, part)
) PARTITION BY RANGE (window_start);
ALTER TABLE trajectories
    ALTER COLUMN goal SET STORAGE EXTERNAL,
    ALTER COLUMN metadata SET STORAGE EXTERNAL,
    ALTER COLUMN extra SET STORAGE EXTERNAL,
    ALTER COLUMN tool_sets SET STORAGE EXTERNAL;
CREATE INDEX trajectories_trajectory_id ON trajectories (trajectory_id);
CREATE INDEX trajectories_scenario
    ON trajectories (project, scenario, policy_version, group_key);
CREATE INDEX trajectories_agent ON trajectories (agent_id, started_at);
COMMENT ON COLUMN trajectories.reward IS
    'Total by reward_spec with the ledger entries known when final; current_scores has today''s.';

CREATE TABLE messages (
    window_start timestamptz NOT NULL,
    trajectory_id text NOT NULL,
    part int NOT NULL,
    idx int NOT NULL,
    role text NOT NULL,
    content text,
    reasoning text,
    name text,
    tool_call_id text,
    tool_calls jsonb,
    parts jsonb,
    PRIMARY KEY (window_start, trajectory_id, part, idx)
) PARTITION BY RANGE (window_start);
ALTER TABLE messages
    ALTER COLUMN content SET STORAGE EXTERNAL,
    ALTER COLUMN reasoning SET STORAGE EXTERNAL,
    ALTER COLUMN tool_calls SET STORAGE EXTERNAL,
    ALTER COLUMN parts SET STORAGE EXTERNAL;

CREATE TABLE steps (
    window_start timestamptz NOT NULL,
    trajectory_id text NOT NULL,
    part int NOT NULL,
    idx int NOT NULL,
    event_id text NOT NULL,
    at timestamptz NOT NULL,
    state jsonb,
    observation jsonb,
    reads jsonb NOT NULL,
    reasoning text,
    action_type text NOT NULL,
    action jsonb,
    action_status text NOT NULL,
    tool_call_id text,
    result jsonb,
    error text,
    reward double precision NOT NULL,
    components jsonb NOT NULL,
    return_to_go double precision NOT NULL,
    calls int[] NOT NULL,
    PRIMARY KEY (window_start, trajectory_id, part, idx)
) PARTITION BY RANGE (window_start);
ALTER TABLE steps
    ALTER COLUMN state SET STORAGE EXTERNAL,
    ALTER COLUMN observation SET STORAGE EXTERNAL,
    ALTER COLUMN reads SET STORAGE EXTERNAL,
    ALTER COLUMN reasoning SET STORAGE EXTERNAL,
    ALTER COLUMN action SET STORAGE EXTERNAL,
    ALTER COLUMN result SET STORAGE EXTERNAL;
CREATE INDEX steps_action_type ON steps (action_type);
COMMENT ON COLUMN steps.idx IS 'The step''s number in its part, from 0.';

CREATE TABLE llm_calls (
    window_start timestamptz NOT NULL,
    trajectory_id text NOT NULL,
    part int NOT NULL,
    idx int NOT NULL,
    call_id text NOT NULL,
    event_id text NOT NULL,
    response_id text,
    thread text NOT NULL,
    parent_call text,
    purpose text,
    provider text,
    model text NOT NULL,
    policy_version text,
    error text,
    step int,
    at timestamptz NOT NULL,
    latency_ms double precision,
    input int[],
    output int[] NOT NULL,
    tools int,
    params jsonb NOT NULL,
    finish_reasons text[] NOT NULL,
    input_tokens bigint,
    output_tokens bigint,
    cost_usd double precision,
    sequence int,
    span_start int,
    span_end int,
    PRIMARY KEY (window_start, trajectory_id, part, idx)
) PARTITION BY RANGE (window_start);
ALTER TABLE llm_calls ALTER COLUMN params SET STORAGE EXTERNAL;
CREATE INDEX llm_calls_model ON llm_calls (model, at);
COMMENT ON COLUMN llm_calls.input IS 'Positions in messages, from 0; null when the prompt is unknown.';
COMMENT ON COLUMN llm_calls.sequence IS 'Position in the sequences of the Parquet row.';

CREATE TABLE scores (
    trajectory_id text NOT NULL,
    part int NOT NULL,
    spec text NOT NULL,
    total double precision,
    immediate double precision,
    n_entries int NOT NULL,
    PRIMARY KEY (trajectory_id, part, spec)
);
COMMENT ON COLUMN scores.immediate IS 'The part of the total that no ledger entry can change.';

CREATE TABLE claims (
    trajectory_id text NOT NULL,
    part int NOT NULL,
    step int NOT NULL,
    outcome_key text NOT NULL,
    rule text NOT NULL DEFAULT '',
    idx int NOT NULL,
    event_id text NOT NULL,
    terms jsonb NOT NULL,
    PRIMARY KEY (trajectory_id, part, step, outcome_key, rule, idx)
);
CREATE INDEX claims_outcome ON claims (outcome_key);
COMMENT ON COLUMN claims.idx IS 'Position among the step''s claims: one step may claim twice on one outcome.';

CREATE TABLE rewards (
    reward_id text PRIMARY KEY,
    trajectory_id text NOT NULL,
    project text NOT NULL,
    target_event_id text,
    call_id text,
    response_id text,
    name text NOT NULL,
    source text NOT NULL,
    source_version text,
    supersedes text,
    reason text,
    outcome_key text,
    outcome_version int,
    value double precision NOT NULL,
    metadata jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    source_partition int NOT NULL,
    source_offset bigint NOT NULL,
    content_hash text NOT NULL
);
CREATE INDEX rewards_trajectory ON rewards (trajectory_id, recorded_at);
CREATE INDEX rewards_supersedes ON rewards (supersedes);

CREATE TABLE outcomes (
    outcome_key text NOT NULL,
    version int NOT NULL,
    "values" jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (outcome_key, version)
);

CREATE TABLE quarantine (
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    stage text NOT NULL,
    quarantined_by text NOT NULL,
    trajectory_id text,
    key bytea,
    value bytea,
    headers jsonb NOT NULL,
    broker_at timestamptz NOT NULL,
    quarantined_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    replayed_at timestamptz,
    PRIMARY KEY (topic, partition, "offset")
);
ALTER TABLE quarantine ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX quarantine_reason ON quarantine (reason, quarantined_at);

CREATE TABLE progress (
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    received bigint NOT NULL,
    assembled bigint NOT NULL,
    open bigint NOT NULL,
    ledger bigint NOT NULL,
    duplicate bigint NOT NULL,
    quarantined bigint NOT NULL,
    by_reason jsonb NOT NULL,
    clock timestamptz NOT NULL,
    watermark timestamptz NOT NULL,
    open_trajectories bigint NOT NULL,
    worker text NOT NULL,
    engine_version text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (partition, next_offset)
);

-- Attaching takes a weaker lock than CREATE TABLE ... PARTITION OF: readers and writers go on.
CREATE FUNCTION create_month(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['trajectories', 'messages', 'steps', 'llm_calls'] LOOP
        child := format('%s_y%sm%s', parent, to_char(month, 'YYYY'), to_char(month, 'MM'));
        IF to_regclass(quote_ident(child)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, child,
                month::timestamp AT TIME ZONE 'UTC',
                (month + interval '1 month') AT TIME ZONE 'UTC'
            );
        END IF;
    END LOOP;
END
$$;
