"""End a command on a host: closing its channel would end nothing there.

First by a signal over the channel itself, which newer servers pass on at once; then, on a channel
of its own, the process group and whatever carries the attempt's mark in its environment (it may
have made a session of its own): TERM, a grace, KILL, and a look at what is left.

What is *not* guaranteed: where the system has no /proc, only the group is found; where a connection
opens no second channel, only the first signal is sent, and whether it helped is not known.
"""

import math
import time
from collections.abc import Sequence
from typing import Protocol

from batchrun.model.session import HostChannel

__all__ = ["Killer", "end_remote"]

#: For a channel to be opened and the answer to come, beside the grace.
_MORE_S = 8.0
_LOOK_S = 0.1
_GONE = b"gone"
#: $1: the process; $2: the mark; $3: seconds between TERM and KILL.
_TEXT = r"""
c=$2
stat() {
  IFS= read -r s 2>/dev/null <"/proc/$1/stat" || return 1
  set -- ${s##*) }
  z=$1 g=$3
}
marked() {
  grep -ls -- "$c" /proc/[0-9]*/environ 2>/dev/null | while IFS=/ read -r _ _ p _; do
    stat "$p" && [ "$z" != Z ] && echo "$p"
  done
}
members() {
  if [ -r /proc/self/stat ]; then
    for d in /proc/[0-9]*; do
      stat "${d#/proc/}" && [ "$g" = "$1" ] && [ "$z" != Z ] && echo "${d#/proc/}"
    done
    marked
  else
    kill -s 0 -- "-$1" 2>/dev/null && echo "$1"
  fi
}
send() {
  kill -s "$1" -- "-$group" 2>/dev/null
  for p in $(members "$group"); do kill -s "$1" "$p" 2>/dev/null; done
}
# By the clock: on a busy host each look takes its time.
wait_for() {
  end=$(($(date +%s) + $1))
  while [ -n "$(members "$group")" ] && [ "$(date +%s)" -lt "$end" ]; do
    sleep 0.1 2>/dev/null || sleep 1
  done
}
group=$1
stat "$1" && group=$g
[ "$group" -gt 1 ] || exit 1
send TERM
wait_for "$3"
if [ -n "$(members "$group")" ]; then
  send KILL
  wait_for 2
fi
left=$(members "$group")
[ -z "$left" ] && echo gone || echo left $left
"""


class Killer(Protocol):
    """Runs a command on the same host, as the same user."""

    #: Between TERM and KILL, in seconds.
    grace_s: float

    def __call__(self, argv: Sequence[str], limit_s: float) -> bytes:
        """Run it to its end, or for so long; return what it says, empty when it cannot be run."""


def end_remote(channel: HostChannel, pid: int | None, mark: str, run: Killer) -> bool:
    """End what was begun on a channel; return False when it may still run.

    Args:
        channel: On which it was begun.
        pid: The process that the wrapper runs in; None: it has not said so, and was sent nothing.
        mark: In the environment of everything that belongs to it.
        run: Runs the text that does it.
    """
    if pid is None:
        # The wrapper has been told nothing: with its channel closed it reads the end, and ends.
        return True
    if channel.broken or not mark:
        return False
    began = time.monotonic()
    channel.signal("TERM")
    argv = ("/bin/sh", "-c", _TEXT, "sh", str(pid), mark, str(math.ceil(run.grace_s)))
    if run(argv, run.grace_s + _MORE_S).startswith(_GONE):
        return True
    return _wait(channel, max(0.0, began + run.grace_s - time.monotonic()))


def _wait(channel: HostChannel, grace_s: float) -> bool:
    """Do what can be done without a second channel: TERM was sent already."""
    for name, limit_s in (("", grace_s), ("KILL", 1.0)):
        if name:
            channel.signal(name)
        end = time.monotonic() + limit_s
        while time.monotonic() < end and not _has_ended(channel):
            channel.wait(_LOOK_S)
            channel.read(65536), channel.read_stderr(65536)
        if _has_ended(channel):
            return True
    return False


def _has_ended(channel: HostChannel) -> bool:
    return channel.ended or channel.exit_status is not None or bool(channel.exit_signal)
