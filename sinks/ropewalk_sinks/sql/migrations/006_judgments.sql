-- What judges said. A judgment is stored before anything of it is sent, so that a crash in between
-- sends it again as it was and asks nobody twice.

CREATE TABLE judgments (
    judgment_id text PRIMARY KEY,
    serial bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    project text NOT NULL,
    group_name text NOT NULL,
    members jsonb NOT NULL,
    rubric_name text NOT NULL,
    rubric text NOT NULL,
    model text NOT NULL,
    accepted boolean NOT NULL,
    detail text NOT NULL,
    raw bytea NOT NULL,
    requests int NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost_usd double precision NOT NULL,
    judged_at timestamptz NOT NULL,
    emitted_at timestamptz
);
ALTER TABLE judgments ALTER COLUMN raw SET STORAGE EXTERNAL;
CREATE INDEX judgments_to_emit ON judgments (serial) WHERE emitted_at IS NULL;
COMMENT ON COLUMN judgments.rubric IS 'The rubric''s version: its name and a digest of its text.';
COMMENT ON COLUMN judgments.emitted_at IS 'When its rewards, or its refusal, were in the log.';

CREATE TABLE judgment_scores (
    reward_id text PRIMARY KEY,
    judgment_id text NOT NULL REFERENCES judgments ON DELETE CASCADE,
    idx int NOT NULL,
    trajectory_id text NOT NULL,
    value double precision NOT NULL,
    explanation text NOT NULL,
    supersedes text,
    UNIQUE (judgment_id, idx)
);
CREATE INDEX judgment_scores_trajectory ON judgment_scores (trajectory_id);
COMMENT ON COLUMN judgment_scores.supersedes IS
    'The trajectory''s reward by an earlier judgment of a rubric of the same name.';
