"""Messages of which one must be stored before the next may leave: the revisions of one alert.

Revisions are rare, so waiting for one costs next to nothing, and all else is published without waiting.
"""


class Series:
    """Which messages have to wait, by their numbers.

    Messages belong together whose ids differ only behind the last dot, as ``<alert>.<revision>`` does.
    """

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._name: dict[int, str] = {}
        self._following: dict[int, int] = {}

    def may_leave(self, number: int, message_id: str) -> bool:
        """Take in a message; whether nothing of its series is under way. Call `done` for each one."""
        name = message_id.rpartition(".")[0]
        if not name:
            return True
        before = self._newest.get(name)
        self._newest[name] = number
        self._name[number] = name
        if before is None:
            return True
        self._following[before] = number
        return False

    def done(self, number: int) -> int | None:
        """The message is stored, or given up; which one may leave now."""
        name = self._name.pop(number, None)
        if name is None:
            return None
        if self._newest[name] == number:
            del self._newest[name]
        return self._following.pop(number, None)
