"""``python -m pintext`` is the command ``pintext``."""

from pintext.cli import main

main()
