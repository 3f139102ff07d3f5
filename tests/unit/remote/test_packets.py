"""Packets under AES-GCM, and data on its way from them to who reads it."""

import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.ssh_exception import SSHException

from batchrun.remote.channels.data import Data, Pipe
from batchrun.remote.channels.sealing import Sealing, length_of

KEY, IV = b"k" * 16, b"abcd" + b"\0" * 7 + b"\x05"


def ways(iv: bytes = IV) -> tuple[Sealing, Sealing]:
    return Sealing(AESGCM(KEY), iv), Sealing(AESGCM(KEY), iv)


@pytest.mark.parametrize("size", range(1, 40))
def test_a_packet_is_as_the_norm_has_it(size: int) -> None:
    """RFC 4253, section 6, and RFC 5647, section 7: made apart with the library alone."""
    payload = bytes(range(size))
    length, sealed = ways()[0].seal((payload[:1], payload[1:]))
    plain = AESGCM(KEY).decrypt(IV, sealed, length)
    assert struct.unpack(">I", length) == (len(plain),)
    assert plain[1 : len(plain) - plain[0]] == payload
    assert plain[0] >= 4
    assert len(plain) % 16 == 0


def test_what_is_sealed_is_opened_in_its_order() -> None:
    there, here = ways(b"abcd" + b"\xff" * 8)  # the counter begins anew after the second
    packets = [b"".join(there.seal((b"%d" % number * 100,))) for number in range(3)]
    opened = [here.open(memoryview(packet)) for packet in packets]
    assert opened == [b"%d" % number * 100 for number in range(3)]
    assert [length_of(memoryview(packet)) for packet in packets] == [len(p) for p in packets]


@pytest.mark.parametrize("at", [3, 4, 50, -1])
def test_a_packet_that_was_changed_on_its_way_is_refused(at: int) -> None:
    there, here = ways()
    packet = bytearray(b"".join(there.seal((b"x" * 100,))))
    packet[at] ^= 1
    with pytest.raises(SSHException, match="Mismatched MAC"):
        here.open(memoryview(packet))


def test_a_packet_without_anything_in_it_is_refused() -> None:
    sealed = AESGCM(KEY).encrypt(IV, b"\x0f" + b"\0" * 15, b"\0\0\0\x10")
    with pytest.raises(SSHException, match="Empty packet"):
        ways()[1].open(memoryview(b"\0\0\0\x10" + sealed))


def test_a_packet_that_claims_to_be_endless_is_not_waited_for() -> None:
    with pytest.raises(SSHException, match="too long"):
        length_of(memoryview(b"\xff\xff\xff\xff"))


def test_data_is_no_more_than_what_came() -> None:
    data = Data(memoryview(b"\x5e" + struct.pack(">II", 7, 1000) + b"abc"))
    assert data.get_int() == 7
    assert bytes(data.get_binary()) == b"abc"


def test_a_pipe_gives_what_was_put_in_whatever_the_pieces() -> None:
    pipe = Pipe()
    assert not pipe.says()
    for piece in (b"abc", memoryview(b"defgh"), b"", b"i"):
        pipe.feed(piece)
    assert len(pipe) == 9
    assert [pipe.take(size) for size in (2, 3, 10, 10)] == [b"ab", b"cde", b"fghi", b""]
    assert not pipe.says()
    pipe.close()
    assert pipe.says()
