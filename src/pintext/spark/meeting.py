"""Where pins and queries meet that share a token: tasks of about equal work, and who goes to which.

A token is a place to meet. One with too much work for a task (very many pins carry it, or very many
queries ask for it) is several places: its pins are divided among them and its queries go to all, or
the other way round where the queries are more. Places that follow each other, which are those of
near tokens, make a task; so most of what a query asks for is in few tasks.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import I32, I64

__all__ = ["Goes", "Meeting", "padded", "plan_meeting", "who_goes"]

_FILE = "meeting.npz"


class Meeting(NamedTuple):
    """The places and tasks of tokens.

    Attributes:
        starts: ``(n_tokens + 1,)`` the first place of each token, and the end.
        divides_pins: ``(n_tokens,)`` whether a token of several places divides its pins, not its
            queries.
        tasks: ``(places,)`` the task of each place, from 0 on, never falling.
    """

    starts: I64
    divides_pins: NDArray[np.bool_]
    tasks: I32

    @property
    def divided(self) -> int:
        """How many tokens are several places."""
        return int((np.diff(self.starts) > 1).sum())

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        np.savez(folder / _FILE, **self._asdict())

    @classmethod
    def load(cls, folder: Path) -> "Meeting":
        """Read what :meth:`save` wrote."""
        with np.load(folder / _FILE) as found:
            return cls(*(found[name] for name in cls._fields))


def plan_meeting(carried: I32, asked: I32, n_tokens: int, tasks: int) -> Meeting:
    """Divide the work of comparing into tasks.

    Args:
        carried: ``(n, m)`` the tokens of pins, of a sample or all; -1 is none.
        asked: ``(q, p)`` the tokens that queries ask for.
        n_tokens: how many tokens there are.
        tasks: how many tasks to make, about.
    """
    pins = np.bincount(carried[carried >= 0], minlength=n_tokens)
    queries = np.bincount(asked[asked >= 0], minlength=n_tokens)
    work = pins * queries + pins + queries + 1.0
    places = np.minimum(np.ceil(work * tasks / work.sum()), tasks).astype(np.int64)
    ends = np.cumsum(np.repeat(work / places, places))
    middle = ends - np.repeat(work / places, places) / 2
    task = np.minimum(middle * tasks / ends[-1], tasks - 1).astype(np.int32)
    return Meeting(np.concatenate([[0], np.cumsum(places)]), pins >= queries, task)


class Goes(NamedTuple):
    """Who goes to which task.

    Attributes:
        who: ``(n,)`` numbers of rows; a row goes to a task once.
        task: ``(n,)`` where each goes.
        ends: ``(n,)`` where its places end in ``places``.
        places: one behind the other.
    """

    who: I64
    task: I32
    ends: I64
    places: I64


def who_goes(meeting: Meeting, tokens: I32, numbers: I64, *, pins: bool) -> Goes:
    """Where some pins, or some queries, go.

    Args:
        meeting: the places.
        tokens: ``(n, m)`` of each row; -1 behind the last.
        numbers: ``(n,)`` that choose the place where a token divides them.
        pins: whether they are pins.
    """
    held = tokens >= 0
    row, token = np.nonzero(held)[0], tokens[held]
    copies = meeting.starts[token + 1] - meeting.starts[token]
    divided = meeting.divides_pins[token] == pins
    first = meeting.starts[token] + np.where(divided, numbers[row] % copies, 0)
    times = np.where(divided, 1, copies)
    step = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    row, place = np.repeat(row, times), np.repeat(first, times) + step
    task = meeting.tasks[place]
    order = np.lexsort((task, row))
    row, place, task = row[order], place[order], task[order]
    last = np.flatnonzero(np.diff(row, append=-1) | np.diff(task, append=-1))
    return Goes(row[last], task[last], last + 1, place)


def padded(ends: I64, places: I64, first: int) -> I32:
    """Places of rows as a matrix, counted from ``first`` on; -1 behind the last."""
    sizes = np.diff(ends, prepend=0)
    made = np.full((len(ends), int(sizes.max(initial=0))), -1, np.int32)
    made[np.arange(made.shape[1]) < sizes[:, None]] = places - first
    return made
