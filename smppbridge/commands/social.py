"""Social networks."""

from __future__ import annotations

from ..model import Social
from .convention import Convention


class SocialText(Convention):
    """A message in a social network (Odnoklassniki, VKontakte or Mail.Ru Agent), wherever the subscriber is found."""

    prefix = "__SOC__"
    example = "__SOC__: Your order is ready"

    def parse(self, text: str, destination: str) -> Social:
        message, comment = self.open(text)
        return Social(text=message, comment=comment)
