-- Everything the embedded store keeps. Times are milliseconds since 1970-01-01 UTC; numbers are those of
-- smppbridge.model (Stage, Notify) and of SMPP 3.4 (message_state, TON, NPI).

-- A message as it was accepted, what it means, and how far it has come: one row, written once when it is accepted
-- and again with each step. Columns stand in the order of the fields of model.Message and model.Progress.
CREATE TABLE message (
    id                  INTEGER PRIMARY KEY,
    account             TEXT NOT NULL,
    bind                INTEGER NOT NULL,
    sequence            INTEGER NOT NULL,
    kind                TEXT NOT NULL,
    command             TEXT NOT NULL, -- JSON
    source              TEXT NOT NULL,
    source_ton          INTEGER NOT NULL,
    source_npi          INTEGER NOT NULL,
    destination         TEXT NOT NULL,
    destination_ton     INTEGER NOT NULL,
    destination_npi     INTEGER NOT NULL,
    priority            INTEGER NOT NULL,
    registered_delivery INTEGER NOT NULL,
    notify              INTEGER NOT NULL,
    data_coding         INTEGER NOT NULL,
    pdu                 BLOB NOT NULL,
    accepted_at         INTEGER NOT NULL,
    expires             INTEGER NOT NULL,
    duplicate_window    INTEGER NOT NULL,
    part_ids            TEXT,          -- JSON; NULL: not joined
    stage               INTEGER NOT NULL,
    state               INTEGER NOT NULL,
    due                 INTEGER NOT NULL,
    provider            TEXT NOT NULL DEFAULT '',
    ref                 TEXT NOT NULL DEFAULT '',
    attempts            INTEGER NOT NULL DEFAULT 0,
    refused_by          TEXT NOT NULL DEFAULT '',
    err                 INTEGER NOT NULL DEFAULT 0,
    done_at             INTEGER NOT NULL DEFAULT 0,
    cost                TEXT NOT NULL DEFAULT '',
    parts               INTEGER NOT NULL DEFAULT 0,
    polls               INTEGER NOT NULL DEFAULT 0,
    comment             TEXT           -- of the command, for looking it up; NULL: none
) STRICT;

-- Before a provider has it (WAITING, READY, SENDING): counted and taken up again after a restart. A message that is
-- accepted READY appends here and to the table, and touches nothing else.
CREATE INDEX message_unsent ON message (stage) WHERE stage < 3;

-- WAITING: claimed by priority, then by time.
CREATE INDEX message_waiting ON message (priority, due) WHERE stage = 0;

-- SENT and DOUBT: asked for by time.
CREATE INDEX message_with_provider ON message (due, stage) WHERE stage IN (3, 4);

-- The time-line, without its first line, which stands in the message itself.
CREATE TABLE line (
    message INTEGER NOT NULL,
    n       INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    event   TEXT NOT NULL,
    detail  TEXT NOT NULL,
    PRIMARY KEY (message, n)
) STRICT, WITHOUT ROWID;

-- What providers call a message, where that is not the message's own id.
CREATE TABLE reference (
    provider TEXT NOT NULL,
    ref      TEXT NOT NULL,
    message  INTEGER NOT NULL,
    PRIMARY KEY (provider, ref)
) STRICT, WITHOUT ROWID;
CREATE INDEX reference_message ON reference (message);

-- Reports whose reference nobody knows yet.
CREATE TABLE parked (
    n        INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    ref      TEXT NOT NULL,
    at       INTEGER NOT NULL,
    change   TEXT NOT NULL -- JSON of lifecycle.Reported
) STRICT;
CREATE INDEX parked_ref ON parked (provider, ref);

-- Parts of long messages: held (message IS NULL) in the round of their set, or joined into a message.
CREATE TABLE part (
    id                  INTEGER PRIMARY KEY,
    account             TEXT NOT NULL,
    bind                INTEGER NOT NULL,
    source              TEXT NOT NULL,
    destination         TEXT NOT NULL,
    reference           INTEGER NOT NULL,
    total               INTEGER NOT NULL,
    number              INTEGER NOT NULL,
    registered_delivery INTEGER NOT NULL,
    notify              INTEGER NOT NULL,
    alphabet            TEXT NOT NULL,
    pdu                 BLOB NOT NULL,
    accepted_at         INTEGER NOT NULL,
    expires             INTEGER NOT NULL,
    round               INTEGER NOT NULL,
    message             INTEGER
) STRICT;
CREATE UNIQUE INDEX part_held ON part (account, source, destination, reference, total, round, number)
    WHERE message IS NULL;
-- To know a part again that comes after its set was joined.
CREATE INDEX part_joined ON part (account, source, destination, reference, total, accepted_at)
    WHERE message IS NOT NULL;
CREATE INDEX part_message ON part (message) WHERE message IS NOT NULL;

-- What clients and handlers have not answered yet. A row speaks of a message, or carries one from a subscriber.
-- AUTOINCREMENT: a seq is never given twice, also not after a restart with an empty outbox.
CREATE TABLE outbox (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    account   TEXT NOT NULL,
    channel   INTEGER NOT NULL,
    message   INTEGER,
    state     INTEGER,
    err       INTEGER,
    done_at   INTEGER,
    hlr       TEXT,             -- JSON of model.HlrResult; NULL: no look-up
    ids       TEXT,             -- JSON; NULL: the message's own id
    attempts  INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    incoming  TEXT              -- JSON of model.Incoming
) STRICT;
CREATE INDEX outbox_account ON outbox (account) WHERE channel = 1;
CREATE INDEX outbox_due ON outbox (due) WHERE channel = 2;
CREATE INDEX outbox_message ON outbox (message) WHERE message IS NOT NULL;

-- Messages from subscribers that were kept already, by the provider's id.
CREATE TABLE incoming (
    provider TEXT NOT NULL,
    ref      TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (provider, ref)
) STRICT, WITHOUT ROWID;
CREATE INDEX incoming_at ON incoming (at);

-- Numbers that must outlive the rows they came from.
CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
