-- Messages that one SUBMIT_MULTI made, and whom clients want to hear of.

-- The id that the client was told, and each message that it stands for.
CREATE TABLE multi (
    id      INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (id, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX multi_message ON multi (message);

-- Subscribers that could not be reached, and who is to be told when they can. Columns stand in the order of the fields
-- of store.base.Absent.
CREATE TABLE absent (
    account         TEXT NOT NULL,
    subscriber      TEXT NOT NULL, -- without plus
    destination     TEXT NOT NULL, -- the same as the client wrote it
    destination_ton INTEGER NOT NULL,
    destination_npi INTEGER NOT NULL,
    source          TEXT NOT NULL,
    source_ton      INTEGER NOT NULL,
    source_npi      INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    PRIMARY KEY (subscriber, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX absent_at ON absent (at);
