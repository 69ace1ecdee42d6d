"""The schema and the polling jobs of a run, brought into the database before anything polls."""

from collections.abc import Iterator, Sequence

from pydantic import SecretStr

from marketdata.domain.job import PollingJob
from marketdata.settings import PostgresSettings
from marketdata.storage import schema
from marketdata.storage.engine import create_engine
from marketdata.storage.job_book import JobView, PostgresJobBook, SyncCounts
from marketdata_tools.run.samples import RELEASE

_PAGE = 500


def prepare(database_url: str, jobs: Sequence[PollingJob]) -> SyncCounts:
    """Migrate, then make the rows of this launcher's documents equal to `jobs`; idempotent.

    A job whose document is gone is removed: it might name a provider that runs only in another
    mode. Jobs made over REST stay. Raises StoreUnavailable, SchemaMismatch.
    """
    engine = create_engine(PostgresSettings(url=SecretStr(database_url)), application="marketdata-run")
    try:
        # 1. Dying here leaves the old schema or the new one.
        schema.migrate(engine)
        # 2. One transaction; dying before it leaves the jobs of the last run.
        book = PostgresJobBook(engine)
        wanted = {job.origin.uid for job in jobs if job.origin is not None}
        gone = [uid for uid in _uids(book) if uid not in wanted]
        return book.sync(RELEASE, jobs, retire=gone)
    finally:
        engine.dispose()


def _uids(book: PostgresJobBook) -> Iterator[str]:
    after = None
    while page := book.page(limit=_PAGE, after=after):
        yield from _local(page)
        after = (page[-1].created_at, page[-1].job.job_id)


def _local(page: Sequence[JobView]) -> Iterator[str]:
    for view in page:
        origin = view.job.origin
        if origin is not None and origin.release == RELEASE:
            yield origin.uid
