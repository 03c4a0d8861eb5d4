"""The manifests that a start of the daemon would take into service, as far as they tell: nothing runs."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from contract.manifest import Manifest
from hostd import clock
from hostd.config import Plugins
from hostd.errors import HostdError, Refusal
from hostd.plugins import trust
from hostd.plugins.choice import Facts, choose
from hostd.plugins.folder import Folder
from hostd.plugins.inventory import Inventory


async def read_manifests(
    folder: Path, settings: Plugins, store: Path, on_refusal: Callable[[Path, Refusal], None]
) -> list[Manifest]:
    """Read every plugin of a folder, and choose as the daemon does where two have one name.

    A plugin that is well formed and yet does not start is among them: only `hostd check` finds that out.
    Raises HostdError when the folder cannot be read.
    """
    again = asyncio.Event()
    inventory = Inventory(Folder(folder, None, again.set), store, again.set, on_refusal)
    while True:
        again.clear()
        if not await inventory.look(clock.monotonic(), trust.policy(settings.trust)):
            raise HostdError(str(folder), "the plugins folder cannot be read", "name one with --plugins")
        if inventory.settled:
            break
        await again.wait()  # a file that was written just now may not be whole yet
    facts = Facts(inventory.files, {}, {}, settings.options, lambda _: False, {}, {}, {})
    return [want.artifact.manifest for want in choose(facts).wants.values()]
