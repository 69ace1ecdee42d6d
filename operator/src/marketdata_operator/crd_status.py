"""The schema of a PollingJob's status, every part of it bounded."""

from typing import Any

from marketdata.domain.symbol import PROVIDER_MAX_LENGTH, SYMBOL_MAX_LENGTH
from marketdata_operator.prose import joined
from marketdata_operator.resource import MAX_CONDITIONS, MAX_FAILED_SYMBOLS, MAX_MESSAGE_LENGTH

Node = dict[str, Any]


def status() -> Node:
    """Return the schema."""
    return {
        "type": "object",
        "description": joined("""
            How the job fares. Written at once when something happens, and for times and counts alone about
            once a minute. Prices are not here; the API has them."""),
        "properties": {
            "observedGeneration": _count(
                "The metadata.generation that this status speaks of.", width="int64"
            ),
            "jobID": _text(64, "The job's id at the REST API."),
            "provider": _text(
                PROVIDER_MAX_LENGTH,
                "Who is asked: spec.provider, or the deployment's default where that is left out.",
            ),
            "symbolCount": _count("How many symbols are polled."),
            "intervalSeconds": _count("spec.interval in seconds."),
            "lastScheduleTime": _time("When the last poll was recorded, whatever came of it."),
            "lastSuccessfulTime": _time("When a poll last brought a price for at least one symbol."),
            "nextPollTime": _time(
                """When the next poll is due. Left out while suspended, and for a job that is polled more
                often than this status is written."""
            ),
            "consecutiveFailures": _count("How many polls in a row brought no price at all."),
            "failedSymbols": _failed_symbols(),
            "failedSymbolCount": _count("How many symbols failed, those not listed included."),
            "slo": _promise(),
            "conditions": _conditions(),
        },
    }


def _text(longest: int, says: str) -> Node:
    return {"type": "string", "maxLength": longest, "description": joined(says)}


def _time(says: str) -> Node:
    return {"type": "string", "format": "date-time", "maxLength": 32, "description": joined(says)}


def _count(says: str, *, width: str = "int32") -> Node:
    return {"type": "integer", "format": width, "minimum": 0, "description": joined(says)}


def _failed_symbols() -> Node:
    return {
        "type": "array",
        "description": f"Symbols without a price in the last poll, at most {MAX_FAILED_SYMBOLS} of them.",
        "maxItems": MAX_FAILED_SYMBOLS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["symbol"],
        "items": {
            "type": "object",
            "required": ["symbol", "reason"],
            "properties": {
                "symbol": _text(SYMBOL_MAX_LENGTH, "The symbol."),
                "reason": _text(64, "Why it has no price, such as UnknownSymbol or RateLimited."),
                "message": _text(MAX_MESSAGE_LENGTH, "The same in words."),
                "since": _time("Since when it has been failing."),
            },
        },
    }


def _promise() -> Node:
    return {
        "type": "object",
        "description": joined("""
            How the promise in spec.slo is kept, in percent of the time, taken over all symbols of the job
            and rounded down. Time does not count while polling is suspended, in the first interval after
            it began or was resumed, and from the last price on while the provider confirms that a market
            is closed. A symbol without any price counts as too old. Left out where nothing is promised;
            a share is left out where no time counted yet."""),
        "required": ["target"],
        "properties": {
            "target": _text(8, "What is promised: spec.slo.target."),
            "lastDay": _text(16, "For what share of the last 24 hours no price was too old."),
            "last30Days": _text(16, "For what share of the last 30 days (UTC) no price was too old."),
            "budgetRemaining": _text(
                16,
                """What is left of the time that may be broken under the target, in percent of it, over the
                last 30 days. Below 0 the promise is broken.""",
            ),
        },
    }


def _conditions() -> Node:
    return {
        "type": "array",
        "description": joined("""
            Accepted: the spec is understood and allowed. Scheduled: polls are registered. Fresh: prices are
            served and as current as the interval promises. Ready: the summary; what to wait for."""),
        "maxItems": MAX_CONDITIONS,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": _text(316, "Accepted, Scheduled, Fresh or Ready."),
                "status": {
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                    "description": "True, False or Unknown.",
                },
                "observedGeneration": _count(
                    "The metadata.generation that this condition speaks of.", width="int64"
                ),
                "lastTransitionTime": _time("When status last changed."),
                "reason": {
                    **_text(1024, "Why, in one CamelCase word."),
                    "minLength": 1,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": _text(32768, "Why, in a sentence."),
            },
        },
    }
