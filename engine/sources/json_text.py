"""Decoding untrusted JSON so that every failure has a stable reason."""

from typing import Any, TypeVar

import msgspec

from engine.sources.records import Refused, shown

T = TypeVar("T")


def decode(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """`decoder.decode(data)`.

    Raises Refused: "nul_bytes", "malformed_json", "wrong_type" (valid JSON, but not the type the decoder
    asks for, or a number no program can hold), "not_utf8", "too_deep" (nested deeper than the parser goes).
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise Refused("wrong_type", f"The JSON is valid but does not fit: {shown(error, 200)}.") from None
    except RecursionError:
        raise Refused("too_deep", "The JSON is nested too deeply.") from None
    except UnicodeDecodeError as error:
        raise Refused("not_utf8", f"A JSON text is not UTF-8: {error.reason}.") from None
    except msgspec.DecodeError as error:
        if b"\0" in data:
            raise Refused("nul_bytes", "The JSON contains NUL bytes.") from None
        raise Refused("malformed_json", f"{shown(error, 200)}.") from None


def decode_object(data: bytes, decoder: msgspec.json.Decoder[Any]) -> dict[str, Any]:
    """Like `decode`, and Refused "wrong_type" when the value is not a JSON object."""
    value = decode(data, decoder)
    if not isinstance(value, dict):
        raise Refused("wrong_type", "The line is valid JSON but not an object.")
    return value
