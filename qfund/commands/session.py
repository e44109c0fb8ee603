"""What every command finds in ``ctx.obj``: the console, the settings, the way to the store.

How a command is written (the whole convention)::

    '''`qfund data`: what is stored, and what is missing.'''          # module docstring: promise, never does

    from __future__ import annotations
    from typing import Annotated
    import typer
    from qfund.commands.options import JobsOption, SinceOption, SymbolsOption, day, symbols
    from qfund.commands.session import Session
    from qfund.console import Column, Outcome, Table

    app = typer.Typer(help="What is stored, and what is missing.", no_args_is_help=True)


    def register(root: typer.Typer) -> None:
        '''Add ``qfund data`` to the command line.'''
        root.add_typer(app, name="data", rich_help_panel="Data")    # or root.command(name=..)(..)


    @app.command()
    def status(
        ctx: typer.Context,
        vendor: Annotated[str | None, typer.Option(metavar="NAME", help="Only this vendor.")] = None,
    ) -> None:
        '''Show how far the stored bars reach.

        Example: qfund data status --vendor sample
        '''
        from qfund.store import coverage                             # heavy imports live in the body

        session = Session.of(ctx)
        with session.open_store() as store:
            rows = coverage.status(store, vendor=vendor)
        session.console.show(
            Outcome(
                command="data.status",         # the words joined by a dot
                data={"rows": rows},           # dates, Decimals, NaN, numpy are converted
                blocks=(Table(("symbol", Column("bars", "right")), [(r.symbol, r.bars) for r in rows]),),
                next=("qfund backtest strategies/sma_cross.py",),
            )
        )

``--json``, ``--profile NAME``, ``--config FILE``, ``-q/--quiet``, ``-v/--verbose`` and ``--no-color`` are
taken off the command line before Typer sees it, wherever they stand (up to ``--``): a command never declares
them. Failures are raised as `qfund.errors`; ``cli.main`` prints them and sets the exit code. An outcome with
``exit_code`` or ``errors`` sets the exit code by being shown: no ``typer.Exit`` is needed. Ctrl-C arrives as
``KeyboardInterrupt`` (SIGTERM too): a command that kept something turns it into ``InterruptedRunError`` with
a sentence on what was kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qfund.commands.everywhere import GlobalOptions
from qfund.console import Console

if TYPE_CHECKING:
    from qfund.config import Settings
    from qfund.store import Store


@dataclass
class Session:
    """One run of the program: made by ``cli.main``, found by commands in ``ctx.obj``."""

    console: Console
    cwd: Path
    environ: Mapping[str, str]
    options: GlobalOptions = field(default_factory=GlobalOptions)

    @classmethod
    def of(cls, ctx: typer.Context) -> Session:
        """The session of a command's context."""
        session = ctx.find_object(cls)
        if session is None:
            raise RuntimeError("the command was started without a session")
        return session

    @cached_property
    def settings(self) -> Settings:
        """The configuration, read on first use.

        Raises:
            ConfigError: see `qfund.config.load`.
        """
        from qfund.config import load

        return load(
            self.cwd,
            profile=self.options.profile,
            files=self.options.config,
            environ=self.environ,
        )

    @contextmanager
    def open_store(self) -> Iterator[Store]:
        """The database of the settings: joined or started, its schema brought up to date.

        Raises:
            ConfigError, UpstreamError: it cannot be reached; see `qfund.store.open_store`.
        """
        from qfund.store import open_store

        settings = self.settings
        url = settings.store.url.reveal() if settings.store.url else None
        with open_store(url, settings.home, on_wait=self.console.note) as store:
            yield store
