"""The command that serves."""

from pathlib import Path
from typing import Any

import click

from pintext.cli.options import config_from, quiet_option, setting_options
from pintext.cli.output import note
from pintext.server.settings import ServeConfig

__all__ = ["serve"]


@click.command()
@click.argument(
    "folder", metavar="FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings, as .toml or .json."
)
@quiet_option
@setting_options(ServeConfig)
def serve(folder: tuple[Path, ...], config_file: Path | None, quiet: bool, **typed: Any) -> None:
    """Serve FOLDER, an index or a model, over HTTP: API, web page and metrics.

    Several folders are shards, searched like one index. Shards of other services are named by the
    setting shards, beside the folder of their model.

    Logs go to standard error, one JSON object a line. SIGTERM or Ctrl-C ends the service after the
    requests that have begun. A new version that is put in the place of FOLDER is served within a
    second; SIGHUP looks for one at once.

    \b
    Example:
      pintext serve index/
      pintext serve model/ --port 8081 --workers 2
      pintext serve index/ --config serve.toml
      pintext serve shard-1/ shard-2/
      pintext serve model/ --shard http://10.0.0.7:8080 --shard http://10.0.0.8:8080
    """
    from pintext.server.run import serve as run

    config = config_from(ServeConfig, config_file, typed)
    name = " ".join(map(str, folder))

    def tell() -> None:
        if not quiet:
            note(f"{name} is served at http://{config.host}:{config.port}  (Ctrl-C ends it)")

    run(folder, config, tell)
