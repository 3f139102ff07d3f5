"""Connections and channels that several threads may use at once; all that reaches into paramiko.

Nothing else in the program touches a name of paramiko that is not public, and what is used here
was tried with the versions in `TESTED` only.

What paramiko gets wrong when threads share a connection, and what is done about it here:

- A channel lets go of its lock before it writes, so that data, the end of input or a request can
  come after CLOSE: sshd then ends the whole connection, with everything that goes through it.
  Here, whoever writes is counted (`SafeChannel.enter`); CLOSE is written by the last one to leave.
- The thread that reads a connection writes, too; while keys are exchanged anew it would wait for
  itself. Here it puts that aside until the new keys are there.
- Nobody notices a peer that is gone. Here the reading thread asks, and gives up (`Wire.alive`).
- A refused channel is told to whoever asks first. Here each channel has its own refusal.
- A timer thread for each handshake outlives it and holds up the exit of the program. There is none.

Data flow: one thread for each `Wire` reads packets and feeds them to channels; any thread writes,
one packet at a time. A `Wire` may run over a channel of another one (a bastion).
"""

import logging

from batchrun.remote.channels.channel import SafeChannel
from batchrun.remote.channels.login import Login
from batchrun.remote.channels.tested import TESTED, check_version
from batchrun.remote.channels.wire import Wire

__all__ = ["TESTED", "Login", "SafeChannel", "Wire", "check_version"]

# What it logs is told in our own words; without a handler, Python would print it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
