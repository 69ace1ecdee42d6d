"""What a job promises about the age of its prices and how that is kept, as the API tells it."""

from decimal import Decimal

from pydantic import BaseModel, Field

from marketdata.domain.job import Slo
from marketdata.domain.promise import Standing, budget_remaining, share


class JobPromise(BaseModel):
    """What is promised about the age of a job's prices, and for what share of the time it was kept.

    Shares are percentages, taken over all symbols and rounded down; null where no time counted.
    """

    max_age_seconds: int
    target: str
    last_day: str | None
    last_30_days: str | None
    budget_remaining: str | None = Field(
        description="What is left of the time that may be broken, in percent of it; below 0: broken."
    )


def shown(slo: Slo, standing: Standing) -> dict[str, object]:
    """Return the fields of a JobPromise."""
    return {
        "max_age_seconds": slo.max_age_seconds,
        "target": slo.target,
        "last_day": _percent(share(standing.day)),
        "last_30_days": _percent(share(standing.month)),
        "budget_remaining": _percent(budget_remaining(slo, standing.month)),
    }


def _percent(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"
