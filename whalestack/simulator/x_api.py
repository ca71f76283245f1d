"""The X API v2 as a posting account sees it: posts, media upload, the account itself.

It answers only what this system asks; chunked media upload is not among it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from datetime import datetime
from html import escape
from typing import Any, Protocol

from aiohttp import web

from whalestack.simulator.x_server import Post, Refused, XServer

OFFICIAL_HOSTS = ("https://api.twitter.com", "https://api.x.com")
ACCOUNT = {"id": "2000", "name": "whalestack", "username": "whalestack_demo"}
Answer = tuple[int, dict[str, Any], dict[str, str]]
"""HTTP status, body, headers."""


class XWorld(Protocol):
    """The part of the simulated world that this API needs."""

    @property
    def x(self) -> XServer:
        """The account's server side."""


def routes(world: XWorld) -> list[web.RouteDef]:
    """`POST /2/tweets`, `POST /2/media/upload`, `GET /2/users/me`, `GET /2/users/{id}/tweets`."""

    async def create_post(request: web.Request) -> web.Response:
        return await _respond(world.x, request, _create_post)

    async def upload(request: web.Request) -> web.Response:
        return await _respond(world.x, request, _upload)

    async def me(request: web.Request) -> web.Response:
        return await _respond(world.x, request, _me)

    async def posts(request: web.Request) -> web.Response:
        return await _respond(world.x, request, _posts)

    return [
        web.get("/2/users/{id}/tweets", posts),
        web.post("/2/tweets", create_post),
        web.post("/2/media/upload", upload),
        web.get("/2/users/me", me),
    ]


async def _respond(
    server: XServer, request: web.Request, answer: Callable[[XServer, web.Request], Awaitable[Answer]]
) -> web.Response:
    try:
        await _check_signature(server, request)
        status, body, headers = await answer(server, request)
    except Refused as refused:
        server.refused[refused.status] += 1
        return web.json_response(refused.body, status=refused.status, headers=server.rate_headers())
    return web.json_response(body, status=status, headers=headers)


async def _check_signature(server: XServer, request: web.Request) -> None:
    params = list(request.query.items())
    if request.content_type == "application/x-www-form-urlencoded":
        params += [(name, str(value)) for name, value in (await request.post()).items()]
    accepted = server.verifier.accepts(
        method=request.method,
        urls=[host + request.path for host in (*OFFICIAL_HOSTS, str(request.url.origin()))],
        params=params,
        authorization=request.headers.get("Authorization", ""),
        now_s=server.real_now_s(),
    )
    if not accepted:
        raise Refused(401, "Unauthorized", "Unauthorized")


async def _create_post(server: XServer, request: web.Request) -> Answer:
    try:
        body = await request.json()
        text, media = str(body.get("text", "")), body.get("media") or {}
        media_ids = tuple(str(media_id) for media_id in media.get("media_ids", ()))
    except (ValueError, AttributeError, TypeError):
        raise Refused(400, "Invalid Request", "The body is no JSON object of a post.") from None
    post = server.take(text, media_ids)
    data = {"id": post.id, "text": post.text, "edit_history_tweet_ids": [post.id]}
    return 201, {"data": data}, server.rate_headers()


async def _upload(server: XServer, request: web.Request) -> Answer:
    media_id = server.store_media(await _image(request))
    size = server.media[media_id]
    data = {"id": media_id, "media_key": f"3_{media_id}", "size": size, "expires_after_secs": 86_400}
    return 200, {"data": data}, {}


async def _me(server: XServer, request: web.Request) -> Answer:
    return 200, {"data": ACCOUNT}, {}


async def _posts(server: XServer, request: web.Request) -> Answer:
    """The account's own posts, newest first, with the text as X gives it back: `&` and the like as
    entities, and a link at the end for a picture."""
    if request.match_info["id"] != ACCOUNT["id"]:
        raise Refused(404, "Not Found Error", "Could not find user with id.")
    since_s = _moment_s(request.query.get("start_time"))
    found = [post for post in reversed(server.posts) if post.real_ts_s >= since_s]
    first = int(request.query.get("pagination_token", "0"))
    size = min(max(int(request.query.get("max_results", "10")), 5), 100)
    page = found[first : first + size]
    body: dict[str, Any] = {"meta": {"result_count": len(page)}}
    if page:
        body["data"] = [{"id": post.id, "text": _given_back(post)} for post in page]
    if first + size < len(found):
        body["meta"]["next_token"] = str(first + size)
    return 200, body, {}


def _given_back(post: Post) -> str:
    link = f" https://t.co/{post.id[-10:]}" if post.media_ids else ""
    return escape(post.text, quote=False) + link


def _moment_s(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


async def _image(request: web.Request) -> bytes:
    """The image from a multipart part `media`, or base64 in a JSON body."""
    try:
        if request.content_type == "application/json":
            return base64.b64decode((await request.json())["media"], validate=True)
        part = (await request.post()).get("media")
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Refused(400, "Invalid Request", "The body holds no media.") from None
    if isinstance(part, web.FileField):
        return part.file.read()
    if isinstance(part, bytes | bytearray):
        return bytes(part)
    raise Refused(400, "Invalid Request", "The body holds no media.")
