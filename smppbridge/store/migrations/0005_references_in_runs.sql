-- What providers call messages, so that keeping one costs the same however many there are (store/references.py).
-- `reference` stays for what stands in it: nothing is added any more, and it empties as its messages are forgotten.

-- The newest, in the order in which they came; all of them are in memory too.
CREATE TABLE reference_new (
    n        INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    ref      TEXT NOT NULL,
    message  INTEGER NOT NULL
) STRICT;

-- The others, put in order, in trees of limited size one after the other.
CREATE TABLE reference_sorted (
    run      INTEGER NOT NULL,
    provider TEXT NOT NULL,
    ref      TEXT NOT NULL,
    message  INTEGER NOT NULL,
    PRIMARY KEY (run, provider, ref)
) STRICT, WITHOUT ROWID;

-- Those trees: how many references were put into one, and of which messages.
CREATE TABLE reference_run (
    run     INTEGER PRIMARY KEY,
    size    INTEGER NOT NULL,
    lowest  INTEGER NOT NULL,
    highest INTEGER NOT NULL
) STRICT;
