"""A worker with something wrong: `python -m tests.faults.odd_worker ODDITY [celery's arguments]`.

`poison`: a note that says "poison" kills its process, as a native library may. `clock+3600`, `clock-3600`: this
process's clock is wrong by so many seconds; its monotonic clock runs on as it should.
"""

import datetime as real
import os
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any


def poison() -> None:
    """Let the tool that writes notes end the whole process when it is asked to write "poison"."""
    from runs.execution import tools

    write = tools._RUNNERS["notes.append@1"]

    async def run(args: Mapping[str, Any], call: Any) -> Any:
        if args["text"] == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        return await write(args, call)

    tools._RUNNERS["notes.append@1"] = run  # type: ignore[index]


def wrong_clock(seconds: int) -> None:
    """Shift what `time.time` and `datetime.now` say, before anything else of ours is imported."""
    right_time, right_datetime = time.time, real.datetime
    shift = real.timedelta(seconds=seconds)

    class AnyDatetime(type):
        """Takes every datetime for its own, so that code which asks `isinstance` notices nothing."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, right_datetime)

    class Datetime(right_datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return right_datetime.now(tz) + shift

        @classmethod
        def utcnow(cls) -> Any:
            return right_datetime.now(real.UTC).replace(tzinfo=None) + shift

    time.time = lambda: right_time() + seconds
    real.datetime = Datetime  # type: ignore[misc]


def main() -> None:
    oddity, arguments = sys.argv[1], sys.argv[2:]
    if oddity.startswith("clock"):
        wrong_clock(int(oddity.removeprefix("clock")))
    from celery.__main__ import main as celery
    from celery.signals import worker_init

    if oddity == "poison":
        worker_init.connect(lambda **_: poison(), weak=False)
    sys.argv = ["celery", *arguments]
    celery()


if __name__ == "__main__":
    main()
