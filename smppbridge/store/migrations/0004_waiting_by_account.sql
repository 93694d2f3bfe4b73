-- WAITING: claimed by account, so that none waits behind another one's backlog, then by priority, then by time.
DROP INDEX message_waiting;
CREATE INDEX message_waiting ON message (account, priority, due) WHERE stage = 0;
