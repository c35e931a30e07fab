"""Simulated engagement with the pins of a catalogue, for load and demonstrations.

It is labelled wherever it goes: each ``event_id`` begins with
:data:`~pintext.events.form.SIMULATED`, a store of events counts such events, and a Parquet file
says in its metadata how it was made.

The names below are imported when they are first used.
"""

from typing import TYPE_CHECKING

from pintext.lazy import names_of

if TYPE_CHECKING:
    from pintext.simulation.settings import SimulationConfig
    from pintext.simulation.sinks import LABEL_KEY, send_messages, write_messages
    from pintext.simulation.stream import Simulation

__all__ = ["LABEL_KEY", "Simulation", "SimulationConfig", "send_messages", "write_messages"]

__getattr__, __dir__ = names_of(
    __name__,
    {
        "LABEL_KEY": "sinks",
        "Simulation": "stream",
        "SimulationConfig": "settings",
        "send_messages": "sinks",
        "write_messages": "sinks",
    },
)
