"""What every proof stands on: the real process, a client, a provider, a ledger, and switches for faults."""
