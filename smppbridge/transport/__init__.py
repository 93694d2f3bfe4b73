"""One request to a provider and its whole answer; every failure says whether the request may have arrived.

`Line.send` (`line.py`) is all that dispatch knows of HTTP. Underneath is any `httpx.AsyncBaseTransport`: a
provider's own (the sandbox lives in this process), or the pool of connections that `connect` makes from the provider's
configuration (`pool.py`, over the connections of `connection.py`). ARCHITECTURE.md says why it is one of our own.

What can go wrong is one of two things (ARCHITECTURE.md, promise 4): `NotSent`, the provider certainly did nothing, or
`Unclear`, it may have. Whatever is not known to be the first is the second.

The statuses for an account's own handler go over the same connections (`to_anybody`).
"""

from __future__ import annotations

from .answer import MAX_ANSWER
from .failures import NotSent, RequestFailed, Unclear
from .line import Line
from .pool import connect, to_anybody

__all__ = ["MAX_ANSWER", "Line", "NotSent", "RequestFailed", "Unclear", "connect", "to_anybody"]
