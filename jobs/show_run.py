"""Show the state of a run, live or finished: python -m jobs.show_run --run runs/demo --watch.

With --serve as a page in a browser of this machine, which refreshes itself.
"""

import time
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live

from raypipe.report import terminal
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.idle import refuse_idle
from .parts.live_page import HOST, LivePage, server_of


@dataclass(frozen=True)
class Config:
    """What to show."""

    run: str
    """Run folder (path or URI)."""
    watch: bool = False
    """Refresh until the run has finished."""
    every_s: float = 3.0
    """Seconds between two looks."""
    serve: bool = False
    """Serve a page on this machine alone that shows state and report, and refreshes itself, until Ctrl-C."""
    port: int = 8270
    """Of that page; 0: any that is free."""
    summary: bool = False
    """Also read the score columns: what came out, by domain."""


def main(config: Config) -> None:
    """Print the run's state once, or until it has finished."""
    run, console = Folder(config.run), Console()
    if not config.serve:
        refuse_idle(config, ["port"], because="without --serve")
    try:
        if config.serve:
            serve(run, console, every_s=config.every_s, port=config.port)
        elif config.watch and not terminal.is_finished(run):
            watch(run, console, every_s=config.every_s)
        else:
            console.print(terminal.status(run))
        if config.summary:
            console.print(terminal.summary(run))
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from error


def serve(run: Folder, console: Console, *, every_s: float, port: int) -> None:
    """Serve the live page until Ctrl-C, which stops looking, not the run."""
    live = LivePage(run, every_s)
    live.state()  # a folder without a run ends here
    with server_of(live, port=port) as server:
        console.print(f"Live page: http://{HOST}:{server.server_address[1]}/  (Ctrl-C ends it)", soft_wrap=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("Stopped serving; the run goes on.")


def watch(run: Folder, console: Console, *, every_s: float) -> None:
    """Keep the run's state on the screen until it has finished; Ctrl-C stops looking, not the run."""
    try:
        with Live(terminal.status(run), console=console, auto_refresh=False) as live:
            while not terminal.is_finished(run):
                time.sleep(every_s)
                live.update(terminal.status(run), refresh=True)
    except KeyboardInterrupt:
        console.print("Stopped watching; the run goes on.")


if __name__ == "__main__":
    main(settings.parse(Config))
