"""An answer that was given before a worker ends is sent to its last byte."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
import uvloop
from aiohttp import web

from trunkline.web import farewell
from trunkline.web.farewell import send_answers_to_the_end

#: Below a transport's high-water mark: the handler does not wait for its client.
BODY = b"x" * 60_000


def serve_until_answered(listener, answered):
    """Serve one request and end at once, as a worker does, whose loop ends with it."""

    async def answer(request):
        buffered = request.transport.get_extra_info("socket")
        buffered.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        answered.set()
        return web.Response(body=BODY)

    async def main():
        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app)
        send_answers_to_the_end(runner, app)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        while not answered.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # the handler has returned
        await runner.cleanup()

    return main


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_slow_client_gets_all_of_its_answer(new_loop, monkeypatch):
    monkeypatch.setattr(farewell, "_LIMIT_S", 20.0)
    listener = socket.create_server(("127.0.0.1", 0))
    answered = threading.Event()
    main = serve_until_answered(listener, answered)

    def run():
        with asyncio.Runner(loop_factory=new_loop) as loop:
            loop.run(main())

    server = threading.Thread(target=run)
    server.start()
    with socket.socket() as client:
        client.settimeout(30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(listener.getsockname())
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert answered.wait(30)
        threading.Event().wait(0.3)  # it is slow to read
        received = b""
        try:
            while found := client.recv(65_536):
                received += found
        except (ConnectionResetError, TimeoutError):
            pass
    server.join(30)
    assert received.endswith(BODY)
