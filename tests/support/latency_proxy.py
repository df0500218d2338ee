"""A TCP proxy that is as far away, and as narrow, as a test says: what loopback is not.

It knows nothing of HTTP, so it can stand before anything, TLS included::

    with LatencyProxy(server.url, one_way_seconds=0.02, bytes_per_second=10_000_000) as far:
        fetch(far.url)

The latency is each way's own: a request and its answer take twice that, a TCP connection twice that before (here the
proxy accepts at once, so the first bytes of a connection wait instead). The width is each connection's own, each way:
as with a store that gives a stream so much and the next stream as much again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_PIECE_BYTES = 64 * 1024
_IN_FLIGHT_BYTES = 16 * 1024 * 1024
"""Of one direction: as a window that fits the longest way. A narrow way holds its sender back through it."""


class LatencyProxy:
    """A context manager: it listens on a free port from the first line of the block to the last.

    ``bytes_per_second`` 0 is no limit. Both may be changed at any time, and hold from the next piece on. ``host`` is an
    address of this machine; others than loopback are for network namespaces of a test.
    """

    def __init__(
        self, target: str, one_way_seconds: float = 0.0, bytes_per_second: float = 0, host: str = "127.0.0.1"
    ) -> None:
        self._host = host
        self.one_way_seconds = one_way_seconds
        self.bytes_per_second = bytes_per_second
        self.connections = 0
        self.url = ""
        self._target = urlsplit(target)
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._end: asyncio.Event | None = None
        self._ready = Event()
        self._thread = Thread(target=self._run, name="latency-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._end:
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._connection, self._host, 0)
        port = server.sockets[0].getsockname()[1]
        self.url = urlunsplit((self._target.scheme, f"{self._host}:{port}", "", "", ""))
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the round after the one that asked them to

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one of the two sides has gone, or we have to
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._target.hostname
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._way(reader, back))
                both.create_task(self._way(there, writer))
        except* OSError:
            pass
        finally:
            back.close()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction: what is read is due ``one_way_seconds`` later, and no faster than the width allows."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT_BYTES // _PIECE_BYTES)

        async def deliver() -> None:
            while True:
                due, piece = await under_way.get()
                await asyncio.sleep(due - loop.time())
                if not piece:
                    with suppress(OSError):
                        writer.write_eof()
                    return
                writer.write(piece)
                await writer.drain()

        async def take() -> None:
            free_at = 0.0
            while True:
                piece = await reader.read(_PIECE_BYTES)
                free_at = max(free_at, loop.time())
                if self.bytes_per_second:
                    free_at += len(piece) / self.bytes_per_second
                    await asyncio.sleep(free_at - loop.time())
                await under_way.put((loop.time() + self.one_way_seconds, piece))
                if not piece:
                    return

        async with asyncio.TaskGroup() as both:
            both.create_task(take())
            both.create_task(deliver())
