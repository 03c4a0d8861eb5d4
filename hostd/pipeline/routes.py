"""Where each source's next batch goes: decided by its head, and anew when other generations serve."""

from collections.abc import Callable

from hostd import events
from hostd.pipeline.commit import Committer
from hostd.pipeline.flow import QUIET_S, Flow
from hostd.pipeline.routing import Route, route
from hostd.pipeline.serving import Catalog, Generation
from hostd.pipeline.sources.file import HEAD_BYTES, FileSource
from hostd.workers.pool import Pool


class Routes:
    """Routes flows.

    `is_final(source)` tells whether what a source holds is all there will be, and `wake_later(flow, seconds)` has one
    looked at again that it is too early to tell of.
    """

    def __init__(
        self,
        catalog: Catalog,
        committer: Committer,
        pool: Pool,
        is_final: Callable[[FileSource], bool],
        wake_later: Callable[[Flow, float], None],
    ) -> None:
        self._catalog = catalog
        self._committer = committer
        self._pool = pool
        self._is_final = is_final
        self._wake_later = wake_later

    def generation_for(self, flow: Flow) -> Generation | None:
        """Return the generation that the source's next batch goes to, or None when it has to wait."""
        is_new = flow.routed_at_epoch != self._catalog.epoch or flow.media_type != flow.source.media_type
        if is_new or flow.route is None or flow.route.plugin is None:
            self._route(flow)
        if flow.route is None or flow.route.plugin is None:
            return None
        return self._catalog.current.get(flow.route.plugin)

    def _route(self, flow: Flow) -> None:
        source = flow.source
        head = source.head()
        if not head:
            return
        if (
            b"\n" not in head
            and len(head) < HEAD_BYTES
            and not self._is_final(source)
            and source.idle_for_s() < QUIET_S
        ):
            self._wake_later(flow, QUIET_S)  # too early to tell by its head
            return
        current, manifests = self._catalog.current, self._catalog.manifests
        present = flow.route.plugin if flow.route else None
        chosen = route(source.routed_as, head, source.processor, present, manifests, flow.memory, source.media_type)
        if present in current and chosen.plugin not in (None, *current):
            # A better one may take minutes to be there, if it comes at all; until then nothing changes.
            serving = {name: manifests[name] for name in current}
            chosen = route(source.routed_as, head, source.processor, present, serving, None, source.media_type)
        if chosen.plugin is not None and not self._committer.takes(chosen.plugin):
            chosen = Route(None, f"no sink takes records of {chosen.plugin}; add one, or widen a sink's processors")
        flow.routed_at_epoch, flow.media_type = self._catalog.epoch, source.media_type
        if chosen.plugin is not None and chosen.plugin not in current:
            flow.route = Route(None, f"{chosen.plugin}, which accepts it, is being started")
            self._pool.starts.hurry(chosen.plugin)
            return
        if chosen == flow.route:
            return
        flow.route = chosen
        if chosen.plugin is not None:
            events.emit(events.SOURCE_ROUTED, source=source.name, plugin=chosen.plugin, why=chosen.why)
        else:
            events.emit(events.SOURCE_UNROUTED, source=source.name, reason=chosen.why)
