"""A node as a process: listen, open, serve, and on a signal drain and close.

bind the HTTP socket, try the peer's    so that a port in use is told before anything else is touched
serve                                   /livez answers from here on; requests for data are told to come back
open the Host                           /readyz answers once every partition here has a known leader
SIGTERM or SIGINT                       /readyz fails, answers say Connection: close, leaderships move; so it goes on
                                        for drain_seconds, then streams end, what is open is finished, exit 0
a second signal                         wait for nothing more
a third                                 exit at once
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import uvicorn
import uvloop
from fastapi import Depends, FastAPI

from app import routes
from app.coordinator import Coordinator
from app.front import front_protocol
from app.gateway import Gateway
from app.httpserver import Server
from app.logs import configure_logs
from app.middleware import AnswerHead, Observe
from app.settings import SECRET_BYTES_WANTED, Settings, parse_address
from raftgroups import Host, HostError

log = logging.getLogger("ringkv.node")

BACKLOG = 2_048
FILES_WANTED = 65_536
# What a replica has open all the time: its directory, lock and manifest; and what a node has at most beside replicas,
# tables and clients: logs, links to peers, tables being written, a client that is being refused.
FILES_OF_A_REPLICA = 3
FILES_OF_A_NODE = 48


def create_app(settings: Settings, coordinator: Coordinator | None = None) -> FastAPI:
    """The ASGI application; its `state.gateway` can be given the coordinator later."""
    app = routes.Api(
        title="ringkv",
        version=version("ringkv"),
        description="A strongly consistent, horizontally partitioned key-value store.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(routes.refuse_unknown_parameters)],
    )
    app.schemas = routes.SCHEMAS
    gateway = Gateway(settings)
    if coordinator is not None:
        gateway.open(coordinator)
    app.state.gateway = gateway
    for router in (
        routes.kv,
        routes.scan,
        routes.batch,
        routes.watch,
        routes.bulk,
        routes.cluster,
        routes.node,
        routes.partitions,
        routes.limits,
        routes.health,
        routes.metrics,
        routes.docs,
        routes.problems,
        routes.settings,
    ):
        app.include_router(router)
    routes.install_errors(app)
    app.add_middleware(AnswerHead)
    app.add_middleware(Observe, metrics=gateway.metrics)
    return app


def run_node(settings: Settings, warnings: Sequence[str] = ()) -> int:
    """Run one node until it is told to stop, with these warnings first. Returns the exit code of the process."""
    configure_logs(settings.name, settings.log_level, settings.log_format)
    for warning in warnings:
        log.warning("%s", warning)
    if 0 < len(settings.secret) < SECRET_BYTES_WANTED:
        log.warning("the cluster secret has %d bytes; use %d random ones", len(settings.secret), SECRET_BYTES_WANTED)
    os.umask(0o077)
    settings = _within_file_limit(settings)
    try:
        listener = _listen("http", settings.http)
        _listen("peer", settings.peer).close()
    except OSError as error:
        return _fail(settings, str(error))
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Node(settings, listener).run())


class _Node:
    """One node's life, from listening to closed."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._app = create_app(settings)
        self._gateway: Gateway = self._app.state.gateway
        config = uvicorn.Config(
            self._app,
            http=front_protocol(self._gateway.patrol),
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
        )
        self._server = Server(config)
        self._stop = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        serving = asyncio.create_task(self._server.serve([self._listener]))
        await self._server.listening.wait()
        host: Host | None = None
        try:
            host = await Host.open(self._settings.host_options(os.getpid()))
            code = await self._serve(host, serving)
        except (HostError, OSError) as error:
            code = _fail(self._settings, str(error))
        self._gateway.end()
        self._server.should_exit = True
        await serving
        if host is not None:
            await host.close()
            _forget_process_id(self._settings.data)
            log.info("%s has stopped", self._settings.name)
        return code

    async def _serve(self, host: Host, serving: asyncio.Task[None]) -> int:
        """Serve from `host` until told to stop, or until it has failed."""
        try:
            _write_process_id(self._settings.data)
        except OSError:
            # A full disk has no room for that either, but for what is held back.
            host.give_up_reserve()
            try:
                _write_process_id(self._settings.data)
            except OSError as error:
                log.warning("node.pid cannot be written, so nobody finds this process by it: %s", error)
                _forget_process_id(self._settings.data)
        self._gateway.open(Coordinator(host))
        _settle_garbage_collector()
        settings = self._settings
        log.info("ringkv %s serves, process %d, with %s", version("ringkv"), os.getpid(), settings.differences())
        stopping = asyncio.create_task(self._stop.wait())
        ends: set[asyncio.Future[Any]] = {stopping, serving, host.failure}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if host.failure.done():
            return _fail(self._settings, host.failure.result())
        if serving.done():
            return _fail(self._settings, "the HTTP server ended")
        self._gateway.drain()
        log.info("%s hands its leaderships over", self._settings.name)
        await self._drain(host)
        return 0

    async def _drain(self, host: Host) -> None:
        """Go on serving for as long as load balancers may take to notice that `/readyz` fails."""
        until = asyncio.get_running_loop().time() + self._settings.drain_seconds
        handing_over = asyncio.create_task(host.drain())
        hurried = asyncio.create_task(self._server.hurried.wait())
        ends: set[asyncio.Future[Any]] = {hurried, host.failure}
        await asyncio.wait({handing_over, *ends}, return_when=asyncio.FIRST_COMPLETED)
        left = until - asyncio.get_running_loop().time()
        if left > 0 and not (hurried.done() or host.failure.done()):
            await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for task in (handing_over, hurried):
            task.cancel()
        await asyncio.gather(handing_over, hurried, return_exceptions=True)

    def _signalled(self, number: signal.Signals) -> None:
        """Stop; asked again, stop at once; asked a third time, or before there is anything to close, just end."""
        log.info("%s got %s, and stops", self._settings.name, number.name)
        if not self._stop.is_set():
            self._stop.set()
        elif self._server.hurried.is_set() or self._gateway.coordinator is None:
            os._exit(1)
        else:
            self._server.hurried.set()


def _listen(name: str, address: str) -> socket.socket:
    """A socket bound to `address`. Raises: OSError, whose text says what was wanted and why it failed."""
    host, port = parse_address(name, address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, target = found[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(target)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise OSError(f"cannot listen on {name} address {address}: {error.strerror or error}") from error
    bound.setblocking(False)
    return bound


def _fail(settings: Settings, reason: str) -> int:
    """One line on stderr, and the exit code that goes with it."""
    if settings.log_format == "json":
        log.critical("%s", reason)
        return 1
    print(f"ringkv: {' '.join(reason.split())}", file=sys.stderr, flush=True)  # noqa: T201  # meant for a person
    return 1


def _write_process_id(directory: str) -> None:
    """Tell whoever wants to signal this process its id. Only its owner may read or write the file."""
    temporary = os.path.join(directory, "node.pid.new")
    with open(temporary, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(f"{os.getpid()}\n")
    os.replace(temporary, os.path.join(directory, "node.pid"))


def _forget_process_id(directory: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, "node.pid"))


def _within_file_limit(settings: Settings) -> Settings:
    """Each connection is a file, and so is each SSTable: take what we are allowed to, and give clients what is left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY:
        return settings
    connections_max = min(settings.limits.connections_max, connections_within(soft, settings.partitions))
    return replace(settings, limits=replace(settings.limits, connections_max=connections_max))


def connections_within(files_max: int, partitions: int) -> int:
    """How many clients there may be where so many files may be open: half of them, or what others leave, if less.

    A quarter is for tables, as the engine has it; and a node may have a replica of every partition.
    """
    own = FILES_OF_A_NODE + FILES_OF_A_REPLICA * partitions
    left = files_max - files_max // 4 - own
    least = max(files_max // 8, 1)
    if left < least:
        log.warning(
            "%d open files are too few for %d partitions; allow this process %d, with `ulimit -n %d` before it starts",
            files_max, partitions, 2 * own, 2 * own,
        )  # fmt: skip
    return min(files_max // 2, max(left, least))


def _settle_garbage_collector() -> None:
    """What is there by now stays: walking it again would only stall requests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
