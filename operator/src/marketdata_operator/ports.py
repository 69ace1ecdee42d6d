"""What the operator needs from outside, as seen from here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from marketdata.domain.job import PollingJob
from marketdata.domain.job_status import JobStatus, KnownJob
from marketdata.storage.job_book import JobView, SyncCounts
from marketdata_operator.observed import Observed
from marketdata_operator.report import Happening
from marketdata_operator.status import Status


class Kubernetes(Protocol):
    """The API server. Every call blocks, for a bounded time.

    Each raises KubernetesUnavailable and KubernetesForbidden.
    """

    def pages(self) -> Iterator[Sequence[Mapping[str, object]]]:
        """Yield all PollingJobs of this operator's namespaces, as one moment's list, page by page.

        A list is complete only if the iteration ends without an error. Idempotent.
        """

    def apply_status(self, observed: Observed, status: Status) -> int:
        """Make `status` the object's and return the object's new version; other writers' fields stay.

        Raises ObjectChanged where the object is no longer as observed (then nothing is written),
        ObjectGone where it is deleted, ObjectRefused.
        """

    def post_event(self, observed: Observed, happening: Happening) -> None:
        """Post an event about the object. Not idempotent. Raises ObjectGone, ObjectRefused."""


class JobBook(Protocol):
    """Where the wishes are written. Every call blocks, is idempotent, and raises StoreUnavailable.

    Returning proves that the change is committed.
    """

    def sync(self, release: str, jobs: Sequence[PollingJob], *, retire: Sequence[str] = ()) -> SyncCounts: ...

    def get(self, job_id: UUID) -> JobView | None: ...


class JobStatuses(Protocol):
    """What is known of this release's rows. Every call blocks and raises StoreUnavailable."""

    def known(self) -> Mapping[str, KnownJob]: ...

    def statuses(self) -> Mapping[str, JobStatus]: ...
