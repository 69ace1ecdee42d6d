"""What a sweep has to change: objects against rows, and the brake on mistaken absence.

Pure. An object that is gone with a DELETED event never comes here: it was acted on at once. Here is
what is merely absent from a list, and a list can be short for other reasons: another cluster, a
namespace made again, a restored backup. So a large absence has to be seen by two sweeps.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from uuid import UUID

from marketdata.domain.job import PollingJob
from marketdata.domain.job_status import KnownJob, as_known
from marketdata_operator.observed import Observed, Refusal

ALWAYS_RETIRED = 5
RETIRED_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """`upserts` and `retire` (uids) to be done; `pauses` are jobs to be suspended as they stand.

    `held` uids are absent but not retired: the brake is on while there are any.
    """

    upserts: tuple[PollingJob, ...]
    pauses: tuple[UUID, ...]
    retire: tuple[str, ...]
    held: frozenset[str]

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return not (self.upserts or self.pauses or self.retire)


def plan(
    wished: Mapping[str, Observed], known: Mapping[str, KnownJob], *, held_before: AbstractSet[str]
) -> SyncPlan:
    """Return what makes the rows `known` follow the objects `wished`, both by uid.

    `held_before` is what the sweep before held back. The last accepted spec of an object that is
    refused now goes on being polled; only being suspended is obeyed.
    """
    upserts = []
    pauses = []
    for uid, observed in wished.items():
        row, wish = known.get(uid), observed.wish
        if isinstance(wish, Refusal):
            if row is not None and wish.suspended and not row.suspended:
                pauses.append(row.job_id)
        elif row is None or row != as_known(wish):
            upserts.append(wish)
    absent = known.keys() - wished.keys()
    allowed = max(ALWAYS_RETIRED, int(len(known) * RETIRED_SHARE))
    retired = absent if len(absent) <= allowed else absent & held_before
    return SyncPlan(
        upserts=tuple(upserts),
        pauses=tuple(pauses),
        retire=tuple(sorted(retired)),
        held=frozenset(absent - retired),
    )
