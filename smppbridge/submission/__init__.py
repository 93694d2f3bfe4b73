"""What bound clients ask for → an answer. `Submission` is the station; the other modules are what it is made of."""

from .station import Submission

__all__ = ["Submission"]
