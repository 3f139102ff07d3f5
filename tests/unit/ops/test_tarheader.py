"""Headers of archives that are made without tarfile are those that tarfile makes."""

import tarfile

from hypothesis import example, given
from hypothesis import strategies as st

from batchrun.ops.members import Member
from batchrun.ops.tarheader import full_header, plain_header_of

NAMES = st.text("ab/é\udce9 \n", min_size=1, max_size=110).filter(lambda name: name[-1] != "/")
MEMBERS = st.builds(
    Member,
    name=NAMES,
    kind=st.sampled_from(["file", "directory", "symlink", "hardlink", "fifo", "block"]),
    size_bytes=st.integers(0, 2**40),
    mtime_ns=st.integers(-(2**40), 2**70),
    mode=st.integers(0, 0o7777),
    uid=st.none() | st.integers(0, 2**32),
    gid=st.none() | st.integers(0, 2**22),
    link=st.just("") | NAMES,
    device=st.just((0, 0)),
    attributes=st.just({}) | st.just({"user.kind": b"any"}),
)
PLAIN = Member(name="a/b", kind="file", size_bytes=7, mtime_ns=10**18 + 5, mode=0o640, uid=5, gid=6)


@given(MEMBERS)
@example(PLAIN)
def test_a_plain_header_is_the_same_as_that_of_tarfile(member: Member) -> None:
    assert plain_header_of(member) in (None, full_header(member))


def test_most_headers_are_plain() -> None:
    made = plain_header_of(PLAIN)

    assert made is not None
    (info,) = (tarfile.TarInfo.frombuf(made[-512:], "utf-8", "surrogateescape"),)
    assert (info.name, info.size, info.mode, info.uid, info.gid) == ("a/b", 7, 0o640, 5, 6)
    assert b"mtime=1000000000.000000005\n" in made
