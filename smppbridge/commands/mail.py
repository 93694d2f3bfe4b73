"""E-mail."""

from __future__ import annotations

import re

from pdu import CommandStatus

from ..model import Mail
from .convention import Convention, Malformed, cut_line

# Enough to be sure that it is one address, and nothing that a mail header or a list of addresses would read as more.
# Whether the domain exists is the provider's business. RFC 5321 §4.5.3.1.3: 254 octets.
_WORD = r"""[^\s@.,;:<>()\[\]\\"\x00-\x1f\x7f-\x9f]+"""
_ADDRESS = re.compile(rf"(?=.{{1,254}}\Z){_WORD}(?:\.{_WORD})*@{_WORD}(?:\.{_WORD})+")

# Whatever a mail program may take for the end of a header line, and controls in general. A tab is a blank.
_UNFIT_FOR_A_HEADER = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class MailText(Convention):
    """An e-mail. The last lines are `subj:SUBJECT` and `to:ADDRESS`; without `to:`, destination_addr is the address."""

    prefix = "__MAIL__"
    example = "__MAIL__: Your invoice is ready\nsubj:Invoice 4711\nto:client@example.com"

    def parse(self, text: str, destination: str) -> Mail:
        body, comment = self.open(text)
        body, to = cut_line(body, "to")
        body, subject = cut_line(body, "subj")
        if subject is None:
            raise Malformed('end the text with a line "subj:SUBJECT" (and a line "to:ADDRESS" before or after it)')
        if _UNFIT_FOR_A_HEADER.search(subject):
            raise Malformed("take the control characters out of the subject")
        body, before = cut_line(body, "to")
        if to is not None and before is not None:
            raise Malformed('write one line "to:ADDRESS", before or after the "subj:" line')
        return Mail(
            text=self.filled(body),
            subject=subject,
            to=_address(before if to is None else to, destination),
            comment=comment,
        )


def _address(to: str | None, destination: str) -> str:
    """The address of a `to:` line, or destination_addr. Its 20 characters (SMPP 3.4 §5.2.9) are too few for most."""
    if to is None:
        to = destination
        if "@" not in to:
            raise Malformed(
                'end the text with a line "to:ADDRESS": destination_addr is no e-mail address',
                CommandStatus.ESME_RINVDSTADR,
            )
    if not _ADDRESS.fullmatch(to):
        raise Malformed(
            "write one e-mail address such as name@example.com, without a name, blanks or commas",
            CommandStatus.ESME_RINVDSTADR,
        )
    return to
