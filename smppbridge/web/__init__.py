"""The HTTP listener: callbacks of providers, health, metrics."""
