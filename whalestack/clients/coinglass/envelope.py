"""The envelope around every reply: code, message, data. Numbers may come as strings."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from whalestack.clients.coinglass.errors import (
    CoinglassBadReply,
    CoinglassUnreadable,
    error_of,
    is_ok,
)

Row = TypeVar("Row")


class Envelope(msgspec.Struct):
    """Code and message; `data` is left as it came."""

    code: str | int | None = None
    msg: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


_ENVELOPE = msgspec.json.Decoder(Envelope, strict=False)


def open_envelope(body: bytes, what: str) -> msgspec.Raw:
    """The data of a successful reply, undecoded.

    Args:
        body: the whole reply, decompressed.
        what: what was asked for; begins the text of every error.

    Raises:
        CoinglassUnreadable: the body is cut off or no JSON.
        CoinglassBadReply: it is JSON, but no envelope.
        WhalestackError: the code says an error; see `errors.error_of`.
    """
    try:
        envelope = _ENVELOPE.decode(body)
    except msgspec.ValidationError as error:
        raise CoinglassBadReply(f"{what}: the reply is no envelope of code and data: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CoinglassUnreadable(f"{what}: the reply of {len(body)} bytes is unreadable: {error}") from None
    if envelope.code is None:
        raise CoinglassBadReply(f"{what}: the reply has no code")
    if not is_ok(str(envelope.code)):
        raise error_of(what, str(envelope.code), envelope.msg or "")
    return envelope.data


def decode_data(body: bytes, what: str, decoder: msgspec.json.Decoder[Row]) -> Row:
    """The data of a successful reply as the decoder's type.

    Raises:
        CoinglassBadReply: the data has another shape.
        WhalestackError: as `open_envelope`.
    """
    data = open_envelope(body, what)
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise CoinglassBadReply(f"{what}: {error}") from None
