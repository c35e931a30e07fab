"""A training in a process of its own, for tests that stop it; started by ``test_interruption.py``.

Waits for a line on stdin, a JSON object: the arguments of ``train``, and ``pause``, the seconds to
sleep after each progress report, so that it can be caught in the act on a fast machine. Says where
it is by one word a line, the phase of each report. Exits with 1 and ``Error: message`` on an error
of PinText's.
"""

import json
import sys
import time

from pintext.config import TrainConfig
from pintext.errors import PinTextError
from pintext.training.progress import Progress
from pintext.training.trainer import train


def main() -> None:
    arguments = json.loads(sys.stdin.readline())
    pause = arguments.pop("pause")

    def say(progress: Progress) -> None:
        sys.stdout.write(progress.phase + "\n")
        sys.stdout.flush()
        time.sleep(pause)

    config = TrainConfig(**arguments.pop("config"))
    try:
        train(config=config, callback=say, **arguments)
    except PinTextError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
