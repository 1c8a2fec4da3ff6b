"""One connected client of the notifications, from its first byte to its last."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

from aiohttp import ClientError, web

#: Largest write; what a client has pending beyond it goes in several.
_WRITE_BYTES = 64 * 1024
#: A client that acknowledges nothing for so long is gone, whatever its network says.
_UNACKNOWLEDGED_MS = 30_000


class ClientStream:
    """A queue of frames, and the one task that writes them: many frames make one write.

    Args:
        user_id: Whose notifications the client gets.
        transport: Its connection.
        max_frames: Most frames that may wait to be written.
        max_bytes: Most bytes that may; a single larger frame may wait alone.

    """

    def __init__(
        self, user_id: str, transport: asyncio.Transport, max_frames: int, max_bytes: int
    ) -> None:
        self.user_id = user_id
        #: Loop time of the last frame.
        self.pushed_at = 0.0
        self._transport = transport
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: list[bytes] = []
        self._size_bytes = 0
        self._wake = asyncio.Event()
        self._ended = False
        give_up_on_silence(transport)

    @property
    def is_idle(self) -> bool:
        """Whether all frames were taken to be written."""
        return not self._frames

    @property
    def is_gone(self) -> bool:
        """Whether the client has closed its connection."""
        return self._transport.is_closing()

    def push(self, frame: bytes) -> bool:
        """Queue a frame; False when the queue is full: the client is too slow."""
        is_full = len(self._frames) >= self._max_frames or (
            bool(self._frames) and self._size_bytes + len(frame) > self._max_bytes
        )
        if is_full:
            return False
        self._frames.append(frame)
        self._size_bytes += len(frame)
        self._wake.set()
        return True

    def end(self) -> None:
        """End the stream after what is being written."""
        self._ended = True
        self._wake.set()

    def abort(self) -> None:
        """Cut the connection; what is not written is dropped."""
        self.end()
        self._transport.abort()

    async def write_to(self, response: web.StreamResponse, first: Sequence[bytes]) -> None:
        """Write these frames, then what is pushed, until the stream ends or the client goes."""
        with contextlib.suppress(ConnectionError, ClientError):
            await self._write(response, first)
            while not self._ended:
                await self._wake.wait()
                self._wake.clear()
                frames, self._frames, self._size_bytes = self._frames, [], 0
                await self._write(response, frames)

    async def _write(self, response: web.StreamResponse, frames: Sequence[bytes]) -> None:
        for chunk in _joined(frames):
            if self._ended:
                return
            await response.write(chunk)


def _joined(frames: Sequence[bytes]) -> Iterator[bytes]:
    """Join frames to chunks of about the write size; a frame is never cut."""
    waiting: list[bytes] = []
    size = 0
    for frame in frames:
        waiting.append(frame)
        size += len(frame)
        if size >= _WRITE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def give_up_on_silence(transport: asyncio.BaseTransport) -> None:
    """Let the kernel close a connection whose other end vanished without a word (Linux)."""
    sock = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if sock is not None and option is not None:
        with contextlib.suppress(OSError):  # not TCP, or closed already
            sock.setsockopt(socket.IPPROTO_TCP, option, _UNACKNOWLEDGED_MS)
