-- Which references a run cannot have (store/sieve.py), in pieces. A run of which there is none is looked at in any case.
CREATE TABLE reference_sieve (
    run   INTEGER NOT NULL,
    piece INTEGER NOT NULL,
    bits  BLOB NOT NULL,
    PRIMARY KEY (run, piece)
) STRICT;
