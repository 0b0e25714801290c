"""Names of sensors and private data, the same from every source of Apple's."""

import re

RESOURCES = {"microphone": "mic", "address_book": "contacts"}
"""Where the canonical name is not Apple's own in lower case with underscores."""

SERVICE_PREFIX = "kTCCService"

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def resource(name: str) -> str:
    """ "mediaLibrary" -> "media_library", "microphone" -> "mic"."""
    spelled = _WORD_START.sub("_", name).replace("-", "_").lower()
    return RESOURCES.get(spelled, spelled)


def resource_of_service(service: str) -> str:
    """ "kTCCServiceAddressBook" -> "contacts"."""
    return resource(service.removeprefix(SERVICE_PREFIX))
