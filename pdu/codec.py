"""Octets to PDU and back."""

from __future__ import annotations

from .reference import decode, encode

__all__ = ["decode", "encode"]
