"""Where messages are safe: one contract, several engines."""
