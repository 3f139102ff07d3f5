"""Whatever a value holds, the shell sees exactly that value, in every template that is accepted."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from batchrun.jobfile.scope import Names
from batchrun.jobfile.shell import Insertion, place, shell_renderer
from batchrun.jobfile.template import Part, split

SHELLS = ["/bin/sh", "/bin/bash"]

#: Pieces of shell text; many of them open what others close.
PIECES = [
    "{{ a }}", "{{ b }}", '"{{ a }}"', "'{{ b }}'", "{{ a }}", "{{ b }}",
    " ", " ", "\n", "show ", "\nshow ", "x", "x=", ";", " | cat ", "\t", "#", " # it's ", "$", "\\",
    "\\\n", "'", '"', "`", "$(", ")", "${x:-", "}", "$((1+", "))", "((", "(", "<<E\n", "\nE\n",
    "<<-'E' ", "<<<", "> /dev/null ", "$'", '$"', "case x in x) ", ";; esac", "it\\'s", "-", "~",
    "*", "{", ",", "A=", "&& show ", "|| show ", "echo a#b ", "!", "[ ", "]", "$x", "$#", "2",
]  # fmt: skip
VALUES = st.one_of(
    st.binary(min_size=0, max_size=12).map(lambda raw: os.fsdecode(raw.replace(b"\0", b""))),
    st.text(
        alphabet=st.sampled_from("'\"`$(){}\\\n \t;&|<>#*?[]~!=-aE0/%"), min_size=0, max_size=12
    ),
    st.sampled_from(
        ["", "-n", "if", "A=b", "2", "~", "$(echo no)", "`echo no`", "'", "\n", "a b", "E", "\nE\n",
         "\necho no\n#", "'; echo no; '", '"; echo no; "', "\\", "#x", "${HOME}", "{a,b}", "é"]
    ),
)  # fmt: skip
#: Writes its arguments so that they cannot be mistaken, and touches nothing else.
PROLOGUE = 'show() { for word in "$@"; do printf \'<%s>\' "$word"; done; printf \'%s\' "$#|"; }\n'


def run_shell(shell: str, text: str, directory: Path, **variables: str) -> bytes:
    done = subprocess.run(
        [shell, "-c", PROLOGUE + text],
        env={"PATH": str(directory / "bin"), "LC_ALL": "C.UTF-8", **variables},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return done.stdout + b"|%d" % done.returncode


def expected_text(pieces: list[str | Insertion]) -> str:
    """The same command with what every shell script would write there: a quoted variable."""
    return "".join(
        f'"${{V{piece.expression.source}}}"' if isinstance(piece, Insertion) else piece
        for piece in pieces
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shells run, with nothing on their PATH but cat."""
    made = tmp_path_factory.mktemp("shells")
    (made / "bin").mkdir()
    (made / "bin" / "cat").symlink_to("/bin/cat")
    return made


def parts_of(chosen: list[str]) -> list[Part]:
    return [part for piece in chosen for part in split(piece)]


@pytest.mark.parametrize("shell", SHELLS)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(chosen=st.lists(st.sampled_from(PIECES), min_size=1, max_size=9), a=VALUES, b=VALUES)
@example(chosen=["x ", "#", "{{ a }}"], a="\nshow pwned\n", b="")
@example(chosen=["; cat <<E ", "{{ a }}", "\nx\nE\nshow ", "{{ b }}"], a="/dev/null\n", b="'")
@example(chosen=['"$(case x in x) echo "b', "{{ a }}", '";; esac)"'], a="$(echo no)", b="")
def test_every_accepted_template_hands_over_exactly_the_value(
    directory: Path, shell: str, chosen: list[str], a: str, b: str
) -> None:
    text = "".join(chosen)
    # `$$` differs from process to process, `\\&&` runs two commands at once, and bash reads a
    # backslash at the very end in two ways.
    joined = text.replace("\\\n", "")  # as the shell joins lines before it reads them
    assume("$$" not in joined and "\\&" not in text and not text.endswith("\\"))
    pieces, refused = place(parts_of(["show ", *chosen]))
    if refused or not any(isinstance(piece, Insertion) for piece in pieces):
        return
    rendered = shell_renderer(pieces)(Names.of(a=a, b=b))

    assert run_shell(shell, rendered, directory) == run_shell(
        shell, expected_text(pieces), directory, Va=a, Vb=b
    )


@pytest.mark.parametrize("shell", SHELLS)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=VALUES)
def test_a_value_is_one_argument_whatever_it_holds(directory: Path, shell: str, value: str) -> None:
    pieces, refused = place(split("printf '%s\\0' {{ a }} \"{{ a }}\" '{{ a }}' x{{ a }}y"))
    rendered = shell_renderer(pieces)(Names.of(a=value))
    done = subprocess.run(
        [shell, "-c", rendered], cwd=directory, capture_output=True, timeout=20, check=True
    )

    raw = os.fsencode(value)
    assert not refused
    assert done.stdout == b"".join(one + b"\0" for one in (raw, raw, raw, b"x" + raw + b"y"))


@pytest.mark.parametrize("shell", SHELLS)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(VALUES, max_size=4))
def test_a_list_becomes_separate_words(directory: Path, shell: str, values: list[str]) -> None:
    pieces, _ = place(split("show {{ a }}"))
    rendered = shell_renderer(pieces)(Names.of(a=values))

    words = b"".join(b"<" + os.fsencode(one) + b">" for one in values)
    assert run_shell(shell, rendered, directory) == words + b"%d||0" % len(values)
