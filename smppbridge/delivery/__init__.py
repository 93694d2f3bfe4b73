"""The way back: from the outbox to the client."""
