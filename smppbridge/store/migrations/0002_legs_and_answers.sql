-- Routes with several legs (model.Progress), and messages from subscribers that are answered.

ALTER TABLE message ADD COLUMN channel TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN answers TEXT NOT NULL DEFAULT '';
ALTER TABLE message ADD COLUMN leg INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN leg_ends INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN onward INTEGER NOT NULL DEFAULT 0;

-- Who may be answered: the subscriber (source) and the number it wrote to (destination), and by which message of ours
-- it was answered, if it was.
ALTER TABLE incoming ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE incoming ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE incoming ADD COLUMN destination TEXT NOT NULL DEFAULT '';
ALTER TABLE incoming ADD COLUMN answered_by INTEGER;
CREATE INDEX incoming_unanswered ON incoming (provider, account, source, destination, at) WHERE answered_by IS NULL;
CREATE INDEX incoming_answered ON incoming (answered_by) WHERE answered_by IS NOT NULL;
