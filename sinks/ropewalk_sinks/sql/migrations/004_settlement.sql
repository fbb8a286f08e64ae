-- Which claims need no look any more. Only to spare work: lost rows are found again from the
-- ledger, because what settlement emits has derived ids.
CREATE TABLE settled_claims (
    trajectory_id text NOT NULL,
    event_id text NOT NULL,
    idx int NOT NULL,
    n_versions int NOT NULL,
    rules text NOT NULL,
    PRIMARY KEY (trajectory_id, event_id, idx)
);
COMMENT ON TABLE settled_claims IS
    'Claims whose entries are all in rewards, as of n_versions of the outcome and these rules.';
