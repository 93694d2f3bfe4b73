"""Adapters: one file a provider. They translate; `smppbridge.dispatch` talks."""
