"""A CoinGlass on loopback that answers what a test tells it to, and a client for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
import stamina
from pydantic import SecretStr

from tests.coinglass.replies import heatmap_body
from whalestack.clients.coinglass.budget import Permit
from whalestack.clients.coinglass.client import CoinglassClient
from whalestack.clients.coinglass.transport import Transport

KEY = "a-key-for-tests"


@dataclass
class Answer:
    """What the server says. `drip_s` is waited before each half of the body."""

    body: bytes = field(default_factory=heatmap_body)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0
    cut: bool = False


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    query: dict[str, str]
    key: str | None
    encoding: str | None


class QuietServer(ThreadingHTTPServer):
    """Clients that hang up are part of these tests, not news."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class Loopback:
    """Answers from a queue; the last answer is given again and again."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self._answers: deque[Answer] = deque([Answer()])
        self._choose: Callable[[Asked], Answer] | None = None
        self._server = QuietServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def will_answer(self, *answers: Answer) -> None:
        self._answers = deque(answers)

    def will_answer_by(self, choose: Callable[[Asked], Answer]) -> None:
        """Each request is answered by what it asks for."""
        self._choose = choose

    def _next(self, asked: Asked) -> Answer:
        if self._choose is not None:
            return self._choose(asked)
        return self._answers.popleft() if len(self._answers) > 1 else self._answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                server.connections += 1

            def do_GET(self) -> None:
                split = urlsplit(self.path)
                asked = Asked(
                    split.path,
                    dict(parse_qsl(split.query)),
                    self.headers.get("CG-API-KEY"),
                    self.headers.get("Accept-Encoding"),
                )
                server.asked.append(asked)
                self._answer(server._next(asked))

            def _answer(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                half = len(answer.body) // 2
                time.sleep(answer.drip_s)
                self.wfile.write(answer.body[:half])
                if answer.cut:
                    self.close_connection = True
                    return
                time.sleep(answer.drip_s)
                self.wfile.write(answer.body[half:])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class OpenBudget:
    """A budget without a limit that keeps the permits it gave."""

    def __init__(self) -> None:
        self.permits: list[Permit] = []
        self.urgent: list[bool] = []
        self.calls_per_min = 1_000_000

    @contextmanager
    def call(self, *, urgent: bool, wait_s: float) -> Iterator[Permit]:
        permit = Permit(str(len(self.permits)))
        self.permits.append(permit)
        self.urgent.append(urgent)
        yield permit


@pytest.fixture(autouse=True)
def _retries_do_not_wait() -> Iterator[None]:
    """Three attempts, without the waits between them."""
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


@pytest.fixture
def coinglass() -> Iterator[Loopback]:
    server = Loopback()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def budget() -> OpenBudget:
    return OpenBudget()


ClientMaker = Callable[..., CoinglassClient]


@pytest.fixture
def make_client(coinglass: Loopback, budget: OpenBudget) -> Iterator[ClientMaker]:
    made: list[CoinglassClient] = []

    def make(*, timeout_s: float = 5.0, max_bytes: int = 5_000_000, key: str = KEY) -> CoinglassClient:
        transport = Transport(coinglass.url, SecretStr(key), timeout_s=timeout_s, max_bytes=max_bytes)
        made.append(CoinglassClient(transport, budget, model="model2", wait_s=1.0, has_key=bool(key)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: ClientMaker) -> CoinglassClient:
    return make_client()
