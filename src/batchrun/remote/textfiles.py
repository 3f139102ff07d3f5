"""The operations `write` and `template` on hosts: compared first, then put in place at once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Done, Operation, PathUse
from batchrun.model.outcome import Captured, Failed, Output
from batchrun.model.session import HostContext
from batchrun.model.values import NEW_FILE, Doc, Mark, ModeText, PathText, apply_mode
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.owners import Ownership
from batchrun.ops.paths import shown
from batchrun.ops.spawn import encode
from batchrun.ops.targets import trimmed
from batchrun.ops.textfiles import encoded
from batchrun.ops.validate import VALIDATE_LIMIT_S, check_validate
from batchrun.remote.broken import broken_is_lost
from batchrun.remote.changing import change_files
from batchrun.remote.errand import Answer, Pipes, SudoField, ask
from batchrun.remote.facts import STAT, Facts, Owners, change_there, owner_ids, parse_facts
from batchrun.remote.launch import NoShellError
from batchrun.remote.sources import TextSource
from batchrun.remote.within import Within
from batchrun.remote.words import path_word, quote

__all__ = ["OPERATIONS", "HostTextFields", "Template", "Write", "template", "write"]

_SECRET_MODE = "0600"  # noqa: S105 - a mode
_REFUSED = 44
#: Writes the facts of $d, and after them what it holds where that has to be known.
_LOOK = (
    STAT
    + rb"""
facts "$d"
if [ -f "$d" ] && [ ! -L "$d" ]; then
  n=$(wc -c <"$d") || exit
  [ "$n" -gt "$most" ] && [ "$n" -ne "$size" ] || cat -- "$d"
fi
"""
)
#: Reads the new content. $d: its name; $t: a temporary name beside it; $mode: empty for the usual.
_PUT = rb"""
usual=$(umask)
umask 022
mkdir -p -- "$folder" || exit
umask 077
trap 'rm -f -- "$t"' 0
trap 'exit 143' 1 2 13 15
cat >"$t" || exit
[ "$(wc -c <"$t")" -eq "$size" ] || { echo "it did not arrive whole" >&2; exit 45; }
if [ -f "$d" ] && [ ! -L "$d" ]; then
  cp --attributes-only --preserve=xattr -- "$d" "$t" 2>/dev/null
fi
[ -z "$owner" ] || chown "$owner" -- "$t" || exit
[ -n "$mode" ] || mode=$(printf %o $((0666 & ~0$usual)))
chmod "$mode" -- "$t" || exit
validate || exit 44
if [ -n "$backup" ] && [ -f "$d" ]; then
  { ln -- "$d" "$t.b" 2>/dev/null || cp -p -- "$d" "$t.b"; } && mv -f -- "$t.b" "$d~" || exit
fi
[ ! -d "$d" ] || [ -L "$d" ] || { echo "it is a directory by now" >&2; exit 45; }
mv -fT -- "$t" "$d" 2>/dev/null || mv -f -- "$t" "$d"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTextFields:
    """What operations that make a text file on a host have in common."""

    dest: Annotated[
        PathText, Doc("The file on the host; a symlink of this name is replaced, not followed.")
    ]
    mode: Annotated[
        ModeText | None,
        Doc(
            "Its mode; by default what it has, or 0666 less the umask there, and 0600 when a "
            "secret is in it."
        ),
    ] = None
    owner: Annotated[
        str | None, Doc("Its user, by name or number there; by default unchanged.")
    ] = None
    group: Annotated[
        str | None, Doc("Its group, by name or number there; by default unchanged.")
    ] = None
    backup: Annotated[
        bool, Doc("Keep the file that is replaced as DEST~, in the place of an older DEST~.")
    ] = False
    validate: Annotated[
        tuple[str, ...],
        Doc(
            "A program with arguments, without a shell, that has to succeed on the host before "
            "the new file gets its name; `{{ new }}` is the new file. Not run in a dry run."
        ),
    ] = ()
    secret: Annotated[bool, Mark.GIVEN, Doc("A secret is in the text.")] = False
    sudo: SudoField = field(default=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(HostTextFields):
    """Parameters of `write`."""

    text: Annotated[str, Mark.MAY_HOLD_SECRET, Doc("What the file shall hold.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(HostTextFields):
    """Parameters of `template`."""

    src: Annotated[
        PathText, Doc("The template, a text file on this machine: all of Jinja2, for each host.")
    ]
    text: Annotated[
        str, Mark.GIVEN, Mark.MAY_HOLD_SECRET, Doc("What the template gives for this unit.")
    ] = ""


@broken_is_lost
def write(params: Write, context: HostContext) -> Done:
    """Make a file there hold a text, whole or not at all."""
    return _put_text(params, params.text, context)


@broken_is_lost
def template(params: Template, context: HostContext) -> Done:
    """Make a file there hold what a template gives, whole or not at all."""
    return _put_text(params, params.text, context)


def check_text(given: Mapping[str, Any]) -> list[str]:
    """Check while the job file is read."""
    return check_validate(given)


def _put_text(params: HostTextFields, text: str, context: HostContext) -> Done:
    if params.dest.endswith("/"):
        raise refusal(f"{shown(params.dest)} names a directory; write the name of a file")
    data = encoded(text)
    try:
        return _Put(params, data, context).done()
    except NoShellError:
        from batchrun.remote.sftp import write_by_sftp  # noqa: PLC0415 - only without a shell

        return write_by_sftp(params, data, context)


class _Put:
    """One text, and the file that shall hold it."""

    def __init__(self, params: HostTextFields, data: bytes, context: HostContext) -> None:
        self._params = params
        self._data = data
        self._context = context
        self._path = trimmed(params.dest)
        self._tally = Tally()
        mode = _SECRET_MODE if params.secret and params.mode is None else params.mode
        self._wanted = Ownership(params.owner, params.group, mode)

    def done(self) -> Done:
        """Look, and put it there if need be."""
        context, sudo, tally = self._context, self._params.sudo, self._tally
        old, content = self._look()
        owners = owner_ids(self._wanted, context, sudo)
        if old is not None and old.is_file and content == self._data:
            change = change_there(old, self._wanted.mode, owners)
            changes = [] if change is None else [(self._path, old, change)]
            change_files(changes, context, sudo, tally)
            return tally.done()
        if context.settings.diff:
            tally.differ(self._diff(old, content))
        tally.changed = True
        if not context.settings.dry_run:
            answer = self._put(old, owners)
            if answer.status == _REFUSED:
                return self._refused(answer)
            if answer.status:
                reason = answer.complaint or f"exit status {answer.status}"
                message = f"cannot write {shown(self._path)} on {context.host.name}: {reason}"
                raise OperationError(message)
            tally.bytes_done += len(self._data)
        return tally.done()

    def _look(self) -> tuple[Facts | None, bytes | None]:
        """Return the file as it is, and what it holds where that has to be known."""
        from batchrun.ops.diff import MOST_COMPARED  # noqa: PLC0415 - heavier than its number

        most = MOST_COMPARED if self._context.settings.diff else -1
        size = len(self._data)
        head = b"d=%b size=%d most=%d\n" % (path_word(self._path), size, most)
        answer = ask(head + _LOOK, self._context, self._params.sudo)
        line, _, content = answer.stdout.partition(b"\n")
        facts = parse_facts(line.decode("ascii", "replace"), self._path)
        if facts is not None and facts.is_dir:
            raise refusal(
                f"{shown(self._path)} is a directory on the host; write the name of a file in it"
            )
        if answer.status:
            message = f"cannot read {shown(self._path)} on the host: {answer.complaint}"
            raise OperationError(message)
        known = facts is not None and facts.is_file and len(content) == facts.size
        return facts, content if known else None

    def _put(self, old: Facts | None, owners: Owners) -> Answer:
        params, context = self._params, self._context
        folder = os.path.dirname(self._path) or "."
        temp = os.path.join(folder, context.temp_name())
        mode, owner = self._metadata(old, owners)
        head = b"d=%b t=%b folder=%b size=%d mode=%b owner=%b backup=%b\n" % (
            path_word(self._path),
            path_word(temp),
            path_word(folder),
            len(self._data),
            mode,
            owner,
            b"1" if params.backup else b"",
        )
        check = b"validate() {\n:\n}\n"
        if params.validate:
            check = b"validate() {\n(exec %b) </dev/null >&2\n}\n" % _command(params.validate)
            context = Within(context, VALIDATE_LIMIT_S)
        return ask(
            head + check + _PUT, context, params.sudo, pipes=Pipes(source=TextSource(self._data))
        )

    def _metadata(self, old: Facts | None, owners: Owners) -> tuple[bytes, bytes]:
        """Return mode and owner of the new file; empty: as new files are there."""
        kept = old if old is not None and old.is_file else None
        wanted = self._wanted.mode
        if kept is None:
            mode = b"" if wanted is None else b"%04o" % apply_mode(wanted, 0o600, is_dir=False)
            return mode, _owner(owners)
        change = change_there(kept, wanted, owners)
        bits = kept.permissions if change is None or change.mode is None else change.mode
        uid = owners.uid if owners.uid is not None else kept.uid
        gid = owners.gid if owners.gid is not None else kept.gid
        if owners == Owners():
            # Only root can give it to its old owner; for others it is theirs, as a new file is.
            return b"%04o" % bits, b'$([ "$(id -u)" -ne 0 ] || echo %d:%d)' % (uid, gid)
        return b"%04o" % bits, _owner(owners)

    def _diff(self, old: Facts | None, content: bytes | None) -> str:
        from batchrun.ops.diff import content_diff, hidden_diff  # noqa: PLC0415 - only here

        if self._params.secret:
            return hidden_diff(self._path, is_new=old is None)
        if old is not None and content is None:  # too big, or no file
            content = b"\0" * (1 if not old.is_file else old.size)
        return content_diff(self._path, content, self._data)

    def _refused(self, answer: Answer) -> Done:
        """Answer for a file that the validator would not have."""
        program = shown(self._params.validate[0].replace(NEW_FILE, "{{ new }}"))
        said = f": {answer.complaint}" if answer.complaint else ""
        message = (
            f"{shown(self._path)} was left as it was on {self._context.host.name}: {program} "
            f"refused the new file{said}"
        )
        output = Output(stderr=Captured(head=answer.stderr))
        return Done(outcome=Failed(message=message, retryable=False), output=output)


def _owner(owners: Owners) -> bytes:
    user = b"" if owners.uid is None else b"%d" % owners.uid
    return user + (b"" if owners.gid is None else b":%d" % owners.gid)


def _command(argv: tuple[str, ...]) -> bytes:
    """Write the validator's words; the shell puts the name of the new file into them."""
    return b" ".join(
        b'"$t"'.join(
            quote(encode(part, "An argument of `validate`")) if part else b""
            for part in word.split(NEW_FILE)
        )
        or b"''"
        for word in argv
    )


OPERATIONS = {
    "write": Operation(
        name="write",
        summary="Make a file on the host hold a text.",
        params=Write,
        function=write,
        main="dest",
        check=check_text,
        uses=(PathUse(field="dest", effect="changes", whole=False),),
        example="""\
write: {dest: /etc/motd, text: "{{ host }} in rack {{ host.rack }}\\n"}
hosts: "@web"
sudo: true
""",
    ),
    "template": Operation(
        name="template",
        summary="Make a file on the host from a Jinja2 template, filled in for each host.",
        params=Template,
        function=template,
        main="src",
        check=check_text,
        uses=(
            PathUse(field="src", effect="reads", whole=False),
            PathUse(field="dest", effect="changes", whole=False),
        ),
        example="""\
template:
  src: templates/nginx.conf
  dest: /etc/nginx/nginx.conf
  validate: [nginx, -t, -c, "{{ new }}"]
  backup: true
hosts: "@web"
sudo: true
""",
    ),
}
