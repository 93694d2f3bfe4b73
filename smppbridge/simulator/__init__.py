"""The rehearsal: every provider that the gateway knows, played on this machine from the vendors' documents.

`smppbridge simulate` starts it, docs/rehearsal.md walks through it, and the journeys of the tests drive it. It imports
nothing of `smppbridge.providers`, on purpose: adapter and simulator are two independent readings of the same documents,
and where they disagree one of them is wrong.

    vendor.py      what every vendor is made of: requests, answers, messages with their course, pushes, counts
    smsc.py, omnicell.py, smsgate.py, iba.py, naimar.py, twilio.py, infobip.py
                   one vendor each, pure: a request in, an answer out, pushes to be made
    mischief.py    how a vendor misbehaves when it is told to
    pushes.py      makes the pushes, again and again until they are answered as the vendor wants it
    page.py        what it was sent, for a person
    server.py      the HTTP server around all that

Everything is deterministic: what happens to a message stands in its destination (`Vendor.endings`), and when is told by
`Settings.delay`. Everything is bounded: the last messages and requests are kept, older ones are forgotten.
"""
