"""How commands come to a vendor: the plug-in, its settings, and its way to the network.

Promises: a key that the vendor does not know is told with the nearest right one; a secret that stands in the
configuration itself instead of being referred to is refused. Asks the vendor nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from qfund.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from qfund.commands.session import Session
    from qfund.config import Secret
    from qfund.ingest.meter import Deadline
    from qfund.ingest.network import Line
    from qfund.store import Store
    from qfund.vendors.contract import Capabilities, Setup, Vendor
    from qfund.vendors.wire import Network

_REFERENCE = re.compile(r"(?:env|file|gcp-sm|keyring):.+")


def known(name: str | None) -> str:
    """The name, if a vendor of it is installed; asked before anything is started for it.

    Raises:
        UsageError: no name; the message has the installed ones.
        NotFoundError: no such vendor.
    """
    from qfund import plugins

    if name is None:
        installed = ", ".join(plugins.names("qfund.vendors"))
        raise UsageError(
            f"Which vendor? Installed: {installed}.",
            fix="qfund ingest --vendor sample",
            code="VENDOR_REQUIRED",
        )
    plugins.load("qfund.vendors", name)
    return name


def opened(
    session: Session,
    name: str,
    *,
    network: Network | None = None,
    options: Mapping[str, str] | None = None,
) -> Vendor:
    """The vendor of a name, made with what the configuration and the command line say.

    Args:
        session: whose configuration counts.
        name: the plug-in's name.
        network: what its wires share; None where nothing may be sent.
        options: what the command line says for this run, such as ``path``.

    Raises:
        UsageError: an option that the vendor does not take.
        NotFoundError: no such vendor.
        ConfigError: a setting that it does not have, or a secret that is not a reference.
    """
    from qfund import plugins

    plugin = plugins.load("qfund.vendors", name)
    made = plugin(setup(session, name, plugin.capabilities, network=network, options=options or {}))
    return cast("Vendor", made)


def line_to(
    store: Store, name: str, *, max_requests: int | None = None, deadline: Deadline | None = None
) -> Line:
    """The way to a vendor for one run, a context; see `qfund.ingest.network.network`."""
    from qfund import plugins
    from qfund.ingest.network import network

    charged = plugins.load("qfund.vendors", name).capabilities.credits_per_request
    return network(store, name, max_requests=max_requests, deadline=deadline, credits_per_request=charged)


@contextmanager
def connected(session: Session, store: Store, name: str) -> Iterator[Vendor]:
    """The vendor with its way to the network, paced and counted like an ingest's.

    Raises:
        UsageError, NotFoundError, ConfigError: see `opened`.
    """
    with line_to(store, name) as line:
        yield opened(session, name, network=line.network)


def setup(
    session: Session,
    name: str,
    capabilities: Capabilities,
    *,
    network: Network | None,
    options: Mapping[str, str],
) -> Setup:
    """What a vendor is made with: defaults, then ``[vendors.NAME]``, then the command line."""
    from qfund.vendors.contract import Setup

    said = session.settings.vendors.get(name, {})
    settings = {one.name: one for one in capabilities.settings}
    allowed = {one.name: one for one in capabilities.options}
    for key in said:
        if key not in settings:
            raise ConfigError(
                f"{session.settings.origins[f'vendors.{name}.{key}'].source}: the vendor {name} has no "
                f"setting '{key}'.{did_you_mean(key, settings)}",
                fix="qfund data vendors --settings",
                code="UNKNOWN_SETTING",
                details={"key": f"vendors.{name}.{key}"},
            )
    for key in options:
        if key not in allowed:
            raise _no_option(name, key, capabilities)
    values: dict[str, str] = {}
    secrets: dict[str, Secret] = {}
    for key, one in {**settings, **allowed}.items():
        if one.secret:
            secrets |= _secret(session, name, key, said.get(key), one.default)
        elif key in options:
            values[key] = options[key]
        elif key in said:
            values[key] = said[key].reveal()
        elif one.default is not None:
            values[key] = one.default
    return Setup(values, secrets, network, session.cwd)


def _no_option(vendor: str, key: str, capabilities: Capabilities) -> UsageError:
    """An option that a vendor does not take, as it was typed, and those that it takes."""

    def typed(option: str) -> str:
        return "--path" if option == "path" else f"--with {option}"

    takes = [one.name for one in capabilities.options]
    listed = ", ".join(typed(one) for one in takes) or "nothing further"
    return UsageError(
        f"The vendor {vendor} takes no {typed(key)}.{did_you_mean(key, takes)} It takes {listed}.",
        fix="qfund data vendors",
        code="UNKNOWN_OPTION",
        details={"option": key, "takes": takes},
    )


def _secret(
    session: Session, vendor: str, key: str, said: Secret | None, default: str | None
) -> dict[str, Secret]:
    """A secret's reference: as configured, else the customary variable where that is set."""
    from qfund.config import Secret

    where = f"vendors.{vendor}.{key}"
    if said is not None:
        if not _REFERENCE.fullmatch(said.written):
            raise ConfigError(
                f"{session.settings.origins[where].source}: {where} holds a secret itself; qfund takes only"
                " a reference to it, so that it is in no file that is shared.",
                fix=f"write env:NAME or file:PATH as {where}",
                code="SECRET_NOT_A_REFERENCE",
                details={"key": where},
            )
        return {key: said}
    variable = (default or "").removeprefix("env:")
    if not session.environ.get(variable):
        return {}  # the vendor says what is missing and where it was looked for, if it needs it at all
    return {key: Secret(f"env:{variable}", where, session.settings.project, session.environ)}


def options(texts: list[str] | None, *, path: str | None = None) -> dict[str, str]:
    """``--with name=value``, repeated, and ``--path``, as a vendor's options.

    Raises:
        UsageError: no ``=``, no name, or a name twice.
    """
    from qfund.commands.options import params

    found = params(texts, "--with")
    return {**found, "path": path} if path else found
