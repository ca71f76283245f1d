"""A loopback server that answers as it is told and checks every signature, as Bybit does."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEY, SECRET = "test-key", "test-secret"
RESET = "X-Bapi-Limit-Reset-Timestamp"


@dataclass(frozen=True)
class Answer:
    """What the server does with one request: wait, answer, or hang up."""

    body: bytes = b"{}"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    hang_up: bool = False
    cut_short: bool = False


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    raw_query: str
    body: bytes
    thread_port: int

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.raw_query, keep_blank_values=True))

    @property
    def fields(self) -> dict[str, Any]:
        return json.loads(self.body)


def reply(result: Any, *, code: Any = 0, text: str = "OK", ext: Any = None, **more: Any) -> Answer:
    """A Bybit envelope."""
    envelope = {"retCode": code, "retMsg": text, "result": result, "retExtInfo": ext or {}}
    return Answer(json.dumps({**envelope, "time": more.pop("time_ms", 1_760_875_200_000)}).encode(), **more)


class Loopback:
    """Answers by path, each path its own queue; the last answer is repeated."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.bad_signatures: list[Seen] = []
        self._answers: dict[str, deque[Answer]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def on(self, path: str, *answers: Answer) -> None:
        """Give these answers to `path`, one after the other."""
        self._answers[path] = deque(answers)

    def calls(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, seen: Seen, signature_ok: bool) -> Answer:
        self.seen.append(seen)
        if not signature_ok:
            self.bad_signatures.append(seen)
        waiting = self._answers.get(seen.path)
        if not waiting:
            return Answer(status=404)
        return waiting.popleft() if len(waiting) > 1 else waiting[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._serve("GET", b"")

            def do_POST(self) -> None:
                self._serve("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def _serve(self, method: str, body: bytes) -> None:
                url = urlsplit(self.path)
                seen = Seen(method, url.path, url.query, body, self.client_address[1])
                self._act(loopback.take(seen, self._signature_ok(url.query, body)))

            def _signature_ok(self, query: str, body: bytes) -> bool:
                if "X-BAPI-SIGN" not in self.headers:
                    return True
                signed = (
                    self.headers["X-BAPI-TIMESTAMP"].encode()
                    + self.headers["X-BAPI-API-KEY"].encode()
                    + self.headers["X-BAPI-RECV-WINDOW"].encode()
                    + (body or query.encode())
                )
                expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
                return hmac.compare_digest(expected, self.headers["X-BAPI-SIGN"])

            def _act(self, answer: Answer) -> None:
                time.sleep(answer.delay_s)
                if answer.hang_up:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body) + (10 if answer.cut_short else 0)))
                self.end_headers()
                self.wfile.write(answer.body)
                if answer.cut_short:
                    self.close_connection = True

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    return

            def finish(self) -> None:
                try:
                    super().finish()
                except (OSError, ValueError):
                    return

            def log_message(self, *args: Any) -> None:
                return

        return Handler
