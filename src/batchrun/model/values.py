"""The kinds of value that operations and modifiers take, and how each is written."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, NamedTuple, TypeAlias

__all__ = [
    "NEW_FILE",
    "Doc",
    "Glob",
    "Kind",
    "Mark",
    "ModeText",
    "PathPattern",
    "PathText",
    "Seconds",
    "ShellText",
    "SizeBytes",
    "apply_mode",
    "parse_duration",
    "parse_mode",
    "parse_size",
]

#: Stands in `validate` where the job file says `{{ new }}`: the operation puts the path of the
#: file that it has written, and not yet renamed, in its place. No argument can hold a NUL.
NEW_FILE = "\x00new\x00"


@dataclass(frozen=True, slots=True)
class Doc:
    """The sentence that documents a parameter, inside `Annotated`."""

    text: str


class Kind(Enum):
    """How the text of a parameter is to be read, inside `Annotated`."""

    #: One path: `~` expands where it is written, relative means the job file's directory.
    PATH = "path"
    #: A path in which glob characters written in the job file are special.
    PATTERN = "pattern"
    #: Octal or symbolic file mode; stays text.
    MODE = "mode"
    #: A size; becomes bytes.
    SIZE = "size"
    #: A duration; becomes seconds.
    DURATION = "duration"
    #: A shell command: every inserted value is quoted for the shell.
    SHELL = "shell"


class Mark(Enum):
    """What else is true of a parameter, inside `Annotated`."""

    #: The program fills it in; it is no part of the language.
    GIVEN = "given"
    #: A secret may be inserted: the value never shows in a process list or a message.
    MAY_HOLD_SECRET = "may hold a secret"  # noqa: S105  # no password, a description
    #: For sudo: true or a user, or a mapping with `password`, a secret, and perhaps `user`.
    SUDO = "sudo"


class Glob(NamedTuple):
    """A pattern that must be looked up; a plain `str` in its place is one exact path.

    `[*]`, `[?]`, `[[]`, `[{]` stand for the characters themselves.
    """

    pattern: str


PathText: TypeAlias = Annotated[str, Kind.PATH]
PathPattern: TypeAlias = Annotated[str | Glob, Kind.PATTERN]
ModeText: TypeAlias = Annotated[str, Kind.MODE]
SizeBytes: TypeAlias = Annotated[int, Kind.SIZE]
Seconds: TypeAlias = Annotated[float, Kind.DURATION]
ShellText: TypeAlias = Annotated[str, Kind.SHELL]

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def parse_duration(text: str) -> float:
    """Read a duration, in seconds.

    >>> parse_duration("1h30m"), parse_duration("500ms"), parse_duration("2.5")
    (5400.0, 0.5, 2.5)

    Raises:
        ValueError: it is not one; the message says how durations are written.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        message = f"{text!r} is not a duration; write it like 90s, 10m, 1h30m, 2d or 500ms"
        raise ValueError(message)
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(iB|B)?|B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Read a size, in bytes: K M G T are powers of 1024, KB MB GB TB of 1000.

    >>> parse_size("2K"), parse_size("2KB"), parse_size("1.5M"), parse_size("12")
    (2048, 2000, 1572864, 12)

    Raises:
        ValueError: it is not one; the message says how sizes are written.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        message = f"{text!r} is not a size; write it like 512, 64K, 10M, 2G (1024) or 10MB (1000)"
        raise ValueError(message)
    number, letter, ending = match.groups()
    base = 1000 if (ending or "").upper() == "B" else 1024
    power = " KMGT".index(letter.upper()) if letter else 0
    factor: int = base**power
    return round(float(number) * factor)


_OCTAL = re.compile(r"(?:0o)?0*([0-7]{1,4})")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)")
_STEP = re.compile(r"([-+=])([rwxXst]*)")


def parse_mode(text: str) -> int | None:
    """Check a file mode, octal or symbolic.

    >>> oct(parse_mode("0640")), oct(parse_mode("0o750")), parse_mode("u=rw,g=r")
    ('0o640', '0o750', None)

    Returns:
        The mode as a number when it is octal; None when it is symbolic, and so relative to
        what a file has (`apply_mode`).

    Raises:
        ValueError: it is neither; the message says how modes are written.
    """
    text = text.strip()
    match = _OCTAL.fullmatch(text)
    if match:
        return int(match.group(1), 8)
    if all(_CLAUSE.fullmatch(clause) for clause in text.split(",")):
        return None
    message = f"{text!r} is not a file mode; write it like 0640 or u=rw,g=r"
    raise ValueError(message)


#: What a clause for a class may change: its permissions and its special bit.
_AFFECTED = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0o111, "s": 0o6000, "t": 0o1000}
_SET_IDS = 0o6000


def apply_mode(text: str, current: int, *, is_dir: bool) -> int:
    """Compute a mode from its text and what the file has now, as chmod(1) would.

    A clause without `u`, `g`, `o` or `a` means `a`; the umask plays no part. An octal mode is
    exact; `=` leaves a directory its set-user-ID and set-group-ID bits unless it names them.

    >>> oct(apply_mode("u=rw,go=r", 0o777, is_dir=False))
    '0o644'
    >>> oct(apply_mode("a+X", 0o644, is_dir=True))
    '0o755'
    """
    octal = parse_mode(text)
    if octal is not None:
        return octal
    mode = current & 0o7777
    for clause in text.strip().split(","):
        match = _CLAUSE.fullmatch(clause)
        if match is None:  # parse_mode has refused it above
            continue
        who = "ugo" if not match.group(1) or "a" in match.group(1) else match.group(1)
        for sign, letters in _STEP.findall(match.group(2)):
            mode = _apply_step(mode, who, sign + letters, is_dir=is_dir)
    return mode


def _apply_step(mode: int, who: str, step: str, *, is_dir: bool) -> int:
    """Apply one `+rw`, `-x` or `=r` for the classes in `who`."""
    affected = 0
    for name in who:
        affected |= _AFFECTED[name]
    bits = 0
    for letter in step[1:]:
        if letter != "X" or is_dir or mode & 0o111:
            bits |= _BITS[letter]
    bits &= affected
    match step[0]:
        case "+":
            return mode | bits
        case "-":
            return mode & ~bits
        case _:
            kept = _SET_IDS & ~bits if is_dir else 0
            return (mode & (~affected | kept)) | bits
