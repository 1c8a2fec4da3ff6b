"""Clients of the notifications' event streams, as many as wanted, in one process.

Run as a process: ``python -m trunkline.bench.listeners FILE``, a JSON object with ``urls`` (one for
each client), ``count`` (notifications), ``each`` (``all``: every client gets every notification, or
``own``: client i gets those whose number modulo the clients is i) and ``skipped`` (numbers that are
not measured). A notification's message is its number and when it was due, in microseconds. It reads
sockets by hand: a general client would take more time than the pod that is measured.
"""

from __future__ import annotations

import json
import re
import selectors
import signal
import socket
import sys
import time
from array import array
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trunkline.bench.tally import percentiles, say

_MESSAGE = re.compile(rb'"message":"(\d+) (\d+)"')
_FRAME_END = b"\n\n"
_READ_BYTES = 256 * 1024
_CONNECT_TIMEOUT_S = 30.0
_SELECT_S = 0.1


class _Client:
    """One connection, and which notifications came on it."""

    def __init__(self, url: str, count: int) -> None:
        parts = urlsplit(url)
        self.seen = bytearray(count)
        self.is_closed = False
        self._rest = b""
        self.socket = socket.create_connection(
            (parts.hostname, parts.port), timeout=_CONNECT_TIMEOUT_S
        )
        request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
        self.socket.sendall(request.encode())
        head = b""
        while _FRAME_END not in head:  # the stream's first frame: the client is registered
            more = self.socket.recv(_READ_BYTES)
            if not more:
                raise SystemExit(f"{url} ended the stream at once: {head.decode()}")
            head += more
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise SystemExit(f"{url} answered: {head.decode()}")
        self.socket.setblocking(False)

    def read(self) -> list[tuple[bytes, bytes]]:
        """Return number and due time of what came; an ended stream gives nothing more."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.is_closed = True
            return []
        data = self._rest + data
        end = data.rfind(_FRAME_END) + 1
        self._rest = data[end:]
        return _MESSAGE.findall(data, 0, end)


class Listeners:
    """All clients of one run."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._skipped = given["skipped"]
        self._late_ms = array("d")
        self._selector = selectors.DefaultSelector()
        self._clients = [_Client(url, given["count"]) for url in given["urls"]]
        for client in self._clients:
            self._selector.register(client.socket, selectors.EVENT_READ, client)
        measured = range(given["skipped"], given["count"])
        self._missing = (
            len(measured) * len(self._clients) if given["each"] == "all" else len(measured)
        )
        self._handled = self._distinct = self._closed = 0
        self._is_stopping = False

    def stop(self, *_: object) -> None:
        """End the run; a signal's handler."""
        self._is_stopping = True

    def run(self) -> None:
        """Read until told to stop."""
        say(connected=len(self._clients))
        while not self._is_stopping:
            for key, _ in self._selector.select(_SELECT_S):
                self._read(key.data)
        say(
            handled=self._handled,
            distinct=self._distinct,
            closed=self._closed,
            **percentiles(self._late_ms),
        )

    def _read(self, client: _Client) -> None:
        found = client.read()
        now_us = time.time() * 1e6
        for number_given, due_us in found:
            number = int(number_given)
            if number < self._skipped:
                continue
            if not self._handled:
                say(began_at=time.time(), began_with=1)
            self._handled += 1
            self._late_ms.append((now_us - int(due_us)) / 1000)
            if not client.seen[number]:
                client.seen[number] = 1
                self._distinct += 1
                if self._distinct == self._missing:
                    say(ended_at=time.time())
        if client.is_closed:
            self._selector.unregister(client.socket)
            self._closed += 1


if __name__ == "__main__":
    listeners = Listeners(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    signal.signal(signal.SIGTERM, listeners.stop)
    listeners.run()
