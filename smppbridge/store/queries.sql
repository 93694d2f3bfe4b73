-- Every statement of the embedded store: a name, and a sentence that says what it is for. `statements.py` says what
-- stands in braces. Stages are written as numbers (0 WAITING, 1 READY, 2 SENDING, 3 SENT, 4 DOUBT, 5 FINAL), and so
-- are channels (1 SMPP, 2 HTTP), and the condition of a partial index stands word for word, because SQLite uses such
-- an index only where it finds its condition again.

-- Arrivals ------------------------------------------------------------------------------------------------------------

-- name: insert_messages
-- The hot path: one row for each accepted message.
INSERT INTO message ({new_message}) SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: insert_multi
-- The id that a client was told, and the messages that it stands for.
INSERT INTO multi (id, message) SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: sets_held
-- The held parts of some sets, in whichever round.
SELECT {part}, p.round
FROM (VALUES {rows}) AS k CROSS JOIN part AS p
WHERE p.message IS NULL AND p.account = k.column1 AND p.source = k.column2 AND p.destination = k.column3
  AND p.reference = k.column4 AND p.total = k.column5;

-- name: sets_joined
-- The parts of some sets that were joined lately.
SELECT {part}
FROM (VALUES {rows}) AS k CROSS JOIN part AS p
WHERE p.message IS NOT NULL AND p.account = k.column1 AND p.source = k.column2 AND p.destination = k.column3
  AND p.reference = k.column4 AND p.total = k.column5 AND p.accepted_at > k.column6;

-- name: insert_parts
-- Parts to be held.
INSERT INTO part ({part_columns}, round) SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: joined_into
-- Whether one of these parts has a message already, and which.
SELECT message FROM part WHERE id IN carray(?) AND message IS NOT NULL LIMIT 1;

-- name: join_parts
-- These parts make a message and are held no longer.
UPDATE part SET message = ? WHERE id IN carray(?);

-- name: delete_parts
-- Forget parts that belong to no message.
DELETE FROM part WHERE id IN carray(?) AND message IS NULL;

-- name: sets_to_settle
-- Held sets with a part that expires, or with none missing: accounts in turns, so that none waits for the many of another
-- one, and of each what is whole, then the most overdue.
SELECT account, source, destination, reference, total, round
FROM part WHERE message IS NULL
GROUP BY account, source, destination, reference, total, round
HAVING min(expires) < ? OR count(*) = total
ORDER BY row_number() OVER (PARTITION BY account ORDER BY count(*) < total, min(expires), min(id)), min(expires), min(id)
LIMIT ?;

-- name: held_set
-- One of them, in order.
SELECT {part} FROM part AS p
WHERE p.message IS NULL AND p.account = ? AND p.source = ? AND p.destination = ? AND p.reference = ? AND p.total = ?
  AND p.round = ?
ORDER BY p.number;

-- Work ----------------------------------------------------------------------------------------------------------------

-- name: messages
-- Messages by id.
SELECT {message} FROM message AS m WHERE m.id IN carray(?);

-- name: update_progress
-- How far messages have come.
UPDATE message SET {progress} FROM (VALUES {rows}) AS v WHERE message.id = v.column1;

-- name: update_content
-- What a client put in the place of a message that still waits.
UPDATE message SET kind = ?, command = ?, comment = ?, registered_delivery = ?, notify = ?, expires = ? WHERE id = ?;

-- name: insert_lines
-- Lines of time-lines: message, its how manyth in this transaction, when, event, detail.
INSERT INTO line (message, n, at, event, detail)
SELECT v.column1, v.column2 + ifnull((SELECT max(n) FROM line WHERE message = v.column1), 0),
       v.column3, v.column4, v.column5
FROM (VALUES {rows}) AS v WHERE v.column1 IS NOT NULL;

-- name: insert_references
-- The provider calls the message so.
INSERT INTO reference_new (n, provider, ref, message) SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: sort_references
-- What was in that list, in the order of a run.
INSERT OR REPLACE INTO reference_sorted (run, provider, ref, message)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: keep_run
-- How large a run becomes by them, and of which messages it speaks.
INSERT OR REPLACE INTO reference_run (run, size, lowest, highest) VALUES (?, ?, ?, ?);

-- name: keep_sieve
-- Which references it may have.
INSERT OR REPLACE INTO reference_sieve (run, piece, bits) VALUES (?, ?, ?);

-- name: delete_new_references
-- Some of those that are in a run now.
DELETE FROM reference_new WHERE n IN (SELECT n FROM reference_new WHERE n <= ? ORDER BY n LIMIT ?) RETURNING n;

-- name: sorted_references
-- Which messages a provider means, of those that a run speaks of.
SELECT ref, message FROM reference_sorted WHERE run = ? AND provider = ? AND ref IN carray(?);

-- name: referred
-- The same, of those that an older version of this program has kept.
SELECT ref, message FROM reference WHERE provider = ? AND ref IN carray(?);

-- name: insert_parked
-- Reports that nobody knows the reference of yet.
INSERT INTO parked (provider, ref, at, change) SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: parked
-- What waits for these references, oldest first.
SELECT n, ref, at, change FROM parked WHERE provider = ? AND ref IN carray(?) ORDER BY n;

-- name: delete_parked
-- They were applied.
DELETE FROM parked WHERE n IN carray(?);

-- name: expire_parked
-- Some of those whose reference never came; they stand in the order in which they came.
DELETE FROM parked WHERE n IN (SELECT n FROM (SELECT n, at FROM parked ORDER BY n LIMIT ?) WHERE at <= ?);

-- name: due_waiting
-- WAITING messages of one account and priority that are due, the longest due first. Their rows are read here too,
-- because whoever takes them should find them in memory.
SELECT json_group_array(id), total(length(pdu))
FROM (
    SELECT id, pdu FROM message
    WHERE stage = 0 AND account = ? AND priority = ? AND due <= ?
    ORDER BY due, id LIMIT ?
);

-- name: to_be_asked
-- SENT and DOUBT messages that are due, the longest due first, of those behind a place in this order.
SELECT {message} FROM message AS m
WHERE m.stage IN (3, 4) AND (m.due, m.stage, m.id) > (?, ?, ?) AND m.due <= ?
ORDER BY m.due, m.stage, m.id LIMIT ?;

-- name: in_doubt
-- What a crash left between the request and its outcome.
SELECT {message} FROM message AS m WHERE m.stage < 3 AND m.stage = 2 ORDER BY m.id LIMIT ?;

-- name: ready_to_waiting
-- After a restart nobody has them in memory: some of them.
UPDATE message SET stage = 0 WHERE id IN (SELECT id FROM message WHERE stage < 3 AND stage = 1 LIMIT 10000);

-- name: next_due_waiting
-- When the first WAITING message of some accounts and priorities is due.
SELECT v.column1, (SELECT min(due) FROM message WHERE stage = 0 AND account = v.column1 AND priority = v.column2)
FROM (VALUES {rows}) AS v WHERE v.column1 IS NOT NULL;

-- name: next_due_with_provider
-- When the first message is to be asked for, of those that are due later.
SELECT min(due) FROM message WHERE stage IN (3, 4) AND due > ?;

-- Outbox --------------------------------------------------------------------------------------------------------------

-- name: insert_outbox
-- Receipts and messages from subscribers on their way to clients.
INSERT INTO outbox (seq, account, channel, message, state, err, done_at, hlr, ids, attempts, due, queued_at, incoming)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: receipts
-- What a client has not answered yet, in order.
SELECT {outbox}, {message} FROM outbox AS o LEFT JOIN message AS m ON m.id = o.message
WHERE o.channel = 1 AND o.account = ? AND o.seq > ?
ORDER BY o.seq LIMIT ?;

-- name: queue_head
-- Since when the first rows of an account wait.
SELECT seq, queued_at FROM outbox
WHERE channel = 1 AND account = ?
ORDER BY seq LIMIT ?;

-- name: receipts_by_http
-- What is to be told to the handler of an account now.
SELECT {outbox}, {message} FROM outbox AS o JOIN message AS m ON m.id = o.message
WHERE o.channel = 2 AND o.account = ? AND o.due <= ?
ORDER BY o.due, o.seq LIMIT ?;

-- name: put_off
-- Not to be taken before.
UPDATE outbox SET due = ? WHERE seq IN carray(?);

-- name: put_off_and_count
-- Tried in vain, not to be taken before.
UPDATE outbox SET due = ?, attempts = attempts + 1 WHERE seq IN carray(?);

-- name: delete_outbox
-- Rows that are answered or given up.
DELETE FROM outbox WHERE seq IN carray(?) RETURNING seq, account, channel;

-- name: keep_incoming
-- Remember a message from a subscriber; returns nothing if it was known.
INSERT INTO incoming (provider, ref, at, account, source, destination) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING provider;

-- name: keep_absent
-- Remember whom an account is to be told of: each once, the latest.
INSERT OR REPLACE INTO absent ({absent}) SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: take_absent
-- These can be reached: who wanted to hear of it, and no longer has to wait.
DELETE FROM absent WHERE subscriber IN carray(?) RETURNING {absent};

-- name: any_absent
-- Whether anybody waits for anybody.
SELECT EXISTS (SELECT 1 FROM absent);

-- name: answered_by
-- The message from a subscriber that a message of ours answers.
SELECT provider, ref FROM incoming WHERE answered_by = ?;

-- name: incoming_account
-- For whom a message from a subscriber came.
SELECT account FROM incoming WHERE provider = ? AND ref = ?;

-- name: newest_unanswered
-- What a subscriber wrote to a number last and nobody has answered.
SELECT ref FROM incoming
WHERE answered_by IS NULL AND provider = ? AND account = ? AND source = ? AND destination = ?
ORDER BY at DESC, ref DESC LIMIT 1;

-- name: keep_answer
-- It is answered by this message of ours; the first that answered it keeps it, and finds it again.
UPDATE incoming SET answered_by = ? WHERE provider = ? AND ref = ? AND answered_by IS NULL;

-- Looking -------------------------------------------------------------------------------------------------------------

-- name: find
-- What an id may stand for: a message, a part of one, or several of which the first is taken.
SELECT {message} FROM message AS m
WHERE m.id = coalesce(
    (SELECT id FROM message WHERE id = ?1), (SELECT message FROM part WHERE id = ?1),
    (SELECT min(message) FROM multi WHERE id = ?1));

-- name: find_all
-- The same, and all of them.
SELECT {message} FROM message AS m
WHERE m.id IN (SELECT ?1 UNION SELECT message FROM part WHERE id = ?1 UNION SELECT message FROM multi WHERE id = ?1)
ORDER BY m.id;

-- name: find_part
-- A part that is still held.
SELECT {part} FROM part AS p WHERE p.id = ? AND p.message IS NULL;

-- name: unsent
-- What waits from a source to a destination. It looks at all that is unsent, so it is not asked often; by the index of
-- that, or it would look at all that is kept.
SELECT {message} FROM message AS m
WHERE m.stage < 3 AND m.account = ? AND m.source = ? AND m.destination = ?
ORDER BY +m.id LIMIT ?;

-- name: parts_of
-- The parts that a message was made of, in order.
SELECT {part} FROM part AS p WHERE p.message = ? ORDER BY p.number;

-- name: receipts_of
-- What a client has not answered yet of one message.
SELECT {outbox}, {message} FROM outbox AS o JOIN message AS m ON m.id = o.message WHERE o.message = ? ORDER BY o.seq;

-- name: lines
-- A time-line, without its first line.
SELECT at, event, detail FROM line WHERE message = ? ORDER BY n;

-- name: list
-- What the operator asked for, newest first.
SELECT {message} FROM message AS m
WHERE m.id >= :lowest AND m.id < :below
  AND (:account = '' OR m.account = :account)
  AND (:kind = '' OR m.kind = :kind)
  AND (:stage IS NULL OR m.stage = :stage)
  AND (:state IS NULL OR m.state = :state)
  AND (:number = '' OR m.source = :number OR m.destination = :number)
  AND (:comment = '' OR instr(m.comment, :comment))
  AND m.accepted_at >= :since AND m.accepted_at < :until
ORDER BY m.id DESC LIMIT :limit;

-- name: looked_at
-- Down to which id so many messages are looked at, and when that one was accepted.
SELECT id, accepted_at FROM message WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?;

-- name: list_unsent
-- The same of a stage before a provider has it for certain: these have an index, which is short.
SELECT {message} FROM message AS m
WHERE m.stage < 3 AND m.stage = :stage AND m.id >= :lowest AND m.id < :below
  AND (:account = '' OR m.account = :account)
  AND (:kind = '' OR m.kind = :kind)
  AND (:state IS NULL OR m.state = :state)
  AND (:number = '' OR m.source = :number OR m.destination = :number)
  AND (:comment = '' OR instr(m.comment, :comment))
  AND m.accepted_at >= :since AND m.accepted_at < :until
ORDER BY m.id DESC LIMIT :limit;

-- name: contents
-- What is in it: messages, those that no provider has for certain, those that one has or may have; rows that wait for
-- clients; parts that are held. In the words of schema 1, because a backup may be as old.
SELECT (SELECT count(*) FROM message),
       (SELECT count(*) FROM message WHERE stage < 3),
       (SELECT count(*) FROM message WHERE stage IN (3, 4)),
       (SELECT count(*) FROM outbox),
       (SELECT count(*) FROM part WHERE message IS NULL);

-- name: bounds
-- The lowest and the highest id, each by itself: both at once would be looked for in the whole table.
SELECT ifnull((SELECT min(id) FROM message), 0), ifnull((SELECT max(id) FROM message), 0);

-- name: accepted_at
-- When the first message from an id on was accepted: ids grow with time, so this finds a time by halving.
SELECT id, accepted_at FROM message WHERE id >= ? ORDER BY id LIMIT 1;

-- name: oldest_waiting
-- Since when the oldest WAITING message is here.
SELECT accepted_at FROM message WHERE stage < 3 AND stage = 0 ORDER BY id LIMIT 1;

-- name: oldest_receipt
-- Since when the oldest row of the outbox waits.
SELECT queued_at FROM outbox ORDER BY seq LIMIT 1;

-- Opening -------------------------------------------------------------------------------------------------------------

-- name: count_in_flight
-- Messages that a provider has, or may have.
SELECT (SELECT count(*) FROM message WHERE stage < 3 AND stage = 2)
     + (SELECT count(*) FROM message WHERE stage IN (3, 4));

-- name: count_waiting
-- WAITING messages by account and priority.
SELECT account, priority, count(*) FROM message WHERE stage = 0 GROUP BY 1, 2;

-- name: count_unsent
-- READY and SENDING messages by account: with the WAITING ones, those that no provider has for certain.
SELECT account, count(*) FROM message WHERE stage < 3 AND stage IN (1, 2) GROUP BY account;

-- name: count_outbox
-- Rows of the outbox by account and channel.
SELECT account, channel, count(*) FROM outbox GROUP BY 1, 2;

-- name: count_parked
-- Reports whose reference never came, so far.
SELECT count(*) FROM parked;

-- name: highest
-- The highest id and the highest seq ever given, also to what is gone.
SELECT max(
         ifnull((SELECT max(id) FROM message), 0), ifnull((SELECT max(id) FROM part), 0),
         ifnull((SELECT value FROM fact WHERE name = 'last_id'), 0)),
       ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0);

-- name: recent
-- What makes messages identical, of those that others are compared with, oldest first.
SELECT id, accepted_at, duplicate_window, account, source, destination, command FROM message
WHERE id >= ? AND duplicate_window > 0 AND accepted_at + duplicate_window > ?
ORDER BY id;

-- name: new_references
-- What providers call messages, of those that are in no run, in the order in which they came.
SELECT n, provider, ref, message FROM reference_new ORDER BY n;

-- name: runs
-- The runs, newest first.
SELECT run, size, lowest, highest FROM reference_run ORDER BY run DESC;

-- name: sieve
-- Which references one of them may have.
SELECT piece, bits FROM reference_sieve WHERE run = ?;

-- name: any_older_references
-- Whether an older version of this program has left any.
SELECT EXISTS (SELECT 1 FROM reference);

-- name: fact
-- A number that outlives its rows.
SELECT value FROM fact WHERE name = ?;

-- name: keep_fact
-- The same, written. It only grows.
INSERT INTO fact (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value);

-- Restoring -----------------------------------------------------------------------------------------------------------

-- name: no_further_leg
-- What is under way ends where it is: a further leg may have been sent since.
UPDATE message SET onward = 0 WHERE stage < 5 AND onward <> 0;

-- name: never_whole
-- A set that is whole would be joined and sent at the next start, and one that is not when the rest comes. With more
-- parts than any message has (model.NEVER_WHOLE), it ends as EXPIRED.
UPDATE part SET total = total + ? WHERE message IS NULL;

-- name: open
-- Some of the messages that no provider has for certain.
SELECT id FROM message WHERE stage < 3
UNION ALL SELECT id FROM message WHERE stage IN (3, 4) AND stage = 4
LIMIT ?;

-- name: count_open
-- How many there are.
SELECT (SELECT count(*) FROM message WHERE stage < 3)
     + (SELECT count(*) FROM message WHERE stage IN (3, 4) AND stage = 4);

-- Keeping -------------------------------------------------------------------------------------------------------------

-- name: oldest_messages
-- The next messages that may be old enough to be forgotten.
SELECT id, accepted_at, stage FROM message WHERE id > ? ORDER BY id LIMIT ?;

-- name: oldest_outbox
-- The rows of the outbox that have waited longest.
SELECT seq, queued_at FROM outbox ORDER BY seq LIMIT ?;

-- name: spoken_of
-- Which of these messages have a receipt waiting.
SELECT message FROM outbox WHERE message IN carray(?);

-- name: forget_lines
-- With a message go its time-line …
DELETE FROM line WHERE message IN carray(?);

-- name: forget_references
-- … what providers called it, as far as an older version of this program has kept that …
DELETE FROM reference WHERE (provider, ref) IN (SELECT provider, ref FROM reference WHERE message IN carray(?));

-- name: forget_parts
-- … its parts …
DELETE FROM part WHERE message IN carray(?);

-- name: forget_multi
-- … the id that it shared …
DELETE FROM multi WHERE message IN carray(?);

-- name: forget_messages
-- … and itself.
DELETE FROM message WHERE id IN carray(?);

-- name: any_message_between
-- Whether any of the messages that a run speaks of is kept.
SELECT EXISTS (SELECT 1 FROM message WHERE id BETWEEN ? AND ?);

-- name: forget_sorted
-- Some of a run.
DELETE FROM reference_sorted WHERE run = ?1
  AND (provider, ref) IN (SELECT provider, ref FROM reference_sorted WHERE run = ?1 LIMIT ?2) RETURNING run;

-- name: forget_sieve
-- Nothing is left of it …
DELETE FROM reference_sieve WHERE run = ?;

-- name: forget_run
-- … and it is gone.
DELETE FROM reference_run WHERE run = ?;

-- name: forget_incoming
-- Some of the oldest.
DELETE FROM incoming WHERE (provider, ref) IN (SELECT provider, ref FROM incoming WHERE at < ? ORDER BY at LIMIT ?);

-- name: forget_absent
-- The same of those whom nobody has reached since.
DELETE FROM absent
WHERE (subscriber, account) IN (SELECT subscriber, account FROM absent WHERE at < ? ORDER BY at LIMIT ?);
