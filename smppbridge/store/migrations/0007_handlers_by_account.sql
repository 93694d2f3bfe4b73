-- Each account's handler is told by itself: what is due for one must not be looked for behind what is due for another.
DROP INDEX outbox_due;
CREATE INDEX outbox_handler ON outbox (account, due) WHERE channel = 2;
