"""The Telegram Bot API as a bot sees it: sendMessage, sendPhoto, getMe, getUpdates, and editing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aiohttp import web

from whalestack.simulator.telegram_server import Refused, TelegramServer
from whalestack.simulator.telegram_text import TextRefused, visible_text

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_PHOTO_BYTES = 10_000_000
MAX_LONG_POLL_S = 50.0
BOT_USER = {"id": 1000, "is_bot": True, "first_name": "whalestack", "username": "whalestack_demo_bot"}

Params = Mapping[str, Any]


class TelegramWorld(Protocol):
    """The part of the simulated world that this API needs."""

    @property
    def telegram(self) -> TelegramServer:
        """The bot's server side."""


def routes(world: TelegramWorld) -> list[web.RouteDef]:
    """The Bot API under `/bot<token>/<method>`, by GET or POST, as the real one."""

    async def handle(request: web.Request) -> web.Response:
        server = world.telegram
        try:
            result = await _answer(server, request)
        except Refused as refused:
            server.refused[refused.code] += 1
            return _refusal(refused)
        return web.json_response({"ok": True, "result": result})

    path = "/bot{token}/{method}"
    return [web.get(path, handle), web.post(path, handle)]


async def _answer(server: TelegramServer, request: web.Request) -> Any:
    if request.match_info["token"] != server.token or not server.token:
        raise Refused(401, "Unauthorized")
    params = await _params(request)
    method = request.match_info["method"].lower()
    if method == "getme":
        return BOT_USER
    if method == "sendmessage":
        return _send_message(server, params)
    if method == "sendphoto":
        return _send_photo(server, params)
    if method in ("editmessagetext", "editmessagecaption", "editmessagereplymarkup"):
        return _edit(server, params, method.removeprefix("editmessage"))
    if method == "getupdates":
        timeout_s = min(_number(params, "timeout", 0), MAX_LONG_POLL_S)
        return await server.updates(
            int(_number(params, "offset", 0)), int(_number(params, "limit", 100)), timeout_s
        )
    raise Refused(404, "Not Found")


def _send_message(server: TelegramServer, params: Params) -> dict[str, Any]:
    text = _visible(params, "text")
    if not text.strip():
        raise Refused(400, "Bad Request: message text is empty")
    if _telegram_length(text) > MAX_TEXT:
        raise Refused(400, "Bad Request: message is too long")
    return server.take(_chat_id(params), text, photo_bytes=0)


def _send_photo(server: TelegramServer, params: Params) -> dict[str, Any]:
    photo = params.get("photo", "")
    # The library sends the bytes as a part of their own and names it `attach://<part>`.
    if isinstance(photo, str) and photo.startswith("attach://"):
        photo = params.get(photo.removeprefix("attach://"), "")
    if not isinstance(photo, bytes) or not photo:
        raise Refused(400, "Bad Request: there is no photo in the request")
    if not photo.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or len(photo) > MAX_PHOTO_BYTES:
        raise Refused(400, "Bad Request: IMAGE_PROCESS_FAILED")
    caption = _visible(params, "caption")
    if _telegram_length(caption) > MAX_CAPTION:
        raise Refused(400, "Bad Request: message caption is too long")
    return server.take(_chat_id(params), caption, photo_bytes=len(photo))


def _edit(server: TelegramServer, params: Params, what: str) -> dict[str, Any]:
    message_id = int(_number(params, "message_id", 0))
    if what == "replymarkup":
        return server.edit(_chat_id(params), message_id)
    return server.edit(_chat_id(params), message_id, _visible(params, what), is_caption=what == "caption")


def _visible(params: Params, name: str) -> str:
    raw = str(params.get(name, ""))
    if str(params.get("parse_mode", "")).upper() != "HTML":
        return raw
    try:
        return visible_text(raw)
    except TextRefused as refused:
        raise Refused(400, f"Bad Request: can't parse entities: {refused}") from refused


def _chat_id(params: Params) -> str:
    chat_id = str(params.get("chat_id", ""))
    if not chat_id:
        raise Refused(400, "Bad Request: chat_id is empty")
    return chat_id


def _number(params: Params, name: str, default: float) -> float:
    try:
        return float(params.get(name, default))
    except (TypeError, ValueError):
        raise Refused(400, f"Bad Request: {name} must be a number") from None


async def _params(request: web.Request) -> dict[str, Any]:
    """Arguments from the query, a form, a multipart body or JSON: the Bot API takes them all."""
    params: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            raise Refused(400, "Bad Request: can't parse JSON object") from None
        return {**params, **(body if isinstance(body, dict) else {})}
    for name, value in (await request.post()).items():
        params[name] = value.file.read() if isinstance(value, web.FileField) else value
    return params


def _telegram_length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _refusal(refused: Refused) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": refused.code, "description": refused.description}
    if refused.parameters:
        body["parameters"] = refused.parameters
    return web.json_response(body, status=refused.code)
