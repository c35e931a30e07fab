"""A training in a process of its own, for tests that stop it; started by ``test_interruption.py``.

Takes the arguments of ``train`` as one JSON object. Says where it is by one word a line: the phase
of each progress report, and ``done``. Exits with 1 and ``Error: message`` on an error of PinText's.
"""

import json
import sys

from pintext.config import TrainConfig
from pintext.errors import PinTextError
from pintext.training.progress import Progress
from pintext.training.trainer import train


def say(progress: Progress) -> None:
    sys.stdout.write(progress.phase + "\n")
    sys.stdout.flush()


def main() -> None:
    arguments = json.loads(sys.argv[1])
    config = TrainConfig(**arguments.pop("config"))
    try:
        train(config=config, callback=say, **arguments)
    except PinTextError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
