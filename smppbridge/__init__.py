"""An SMPP server for legacy clients that hands every message to an HTTP messaging provider."""

__version__ = "0.1.0"
