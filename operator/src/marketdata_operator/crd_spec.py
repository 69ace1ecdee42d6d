"""The schema of a PollingJob's spec: the domain's rules as the API server checks them.

Patterns are rules with a message, not `pattern`, because a refusal has to say what to write instead.
"""

from typing import Any

from marketdata.domain.job import (
    DEFAULT_FAILURE_THRESHOLD,
    DEFAULT_INTERVAL_SECONDS,
    DEFAULT_SLO_TARGET,
    MAX_FAILURE_THRESHOLD,
    MAX_INTERVAL_SECONDS,
    MAX_SLO_AGE_SECONDS,
    MIN_INTERVAL_SECONDS,
    SLO_TARGET_PATTERN,
)
from marketdata.domain.symbol import (
    ANY_PROVIDER,
    MAX_SYMBOLS,
    PROVIDER_MAX_LENGTH,
    PROVIDER_PATTERN,
    SYMBOL_MAX_LENGTH,
    SYMBOL_PATTERN,
)
from marketdata_operator.prose import joined

_INTERVAL_PATTERN = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?$"
_INTERVAL_RULE = f"""
    type(self) == int
      ? (self >= {MIN_INTERVAL_SECONDS} && self <= {MAX_INTERVAL_SECONDS})
      : (self != '' && self.matches('{_INTERVAL_PATTERN}')
         && duration(self) >= duration('{MIN_INTERVAL_SECONDS}s')
         && duration(self) <= duration('{MAX_INTERVAL_SECONDS}s'))
"""


Node = dict[str, Any]


def spec() -> Node:
    """Return the schema."""
    return {
        "type": "object",
        "description": "What to watch, from whom, and how often.",
        "required": ["symbols"],
        "properties": {
            "symbols": _symbols(),
            "provider": _provider(),
            "interval": _interval(),
            "suspend": {
                "type": "boolean",
                "description": joined("""
                    Set to true to stop polling and keep the job and its prices. A resumed job is polled at
                    once."""),
                "default": False,
            },
            "failureThreshold": {
                "type": "integer",
                "format": "int32",
                "description": joined("""
                    After how many polls in a row without any price the job is not Ready. One price makes it
                    Ready again."""),
                "minimum": 1,
                "maximum": MAX_FAILURE_THRESHOLD,
                "default": DEFAULT_FAILURE_THRESHOLD,
            },
            "slo": _slo(),
        },
    }


def _rule(rule: str, message: str) -> Node:
    return {"rule": joined(rule), "message": joined(message)}


def _symbols() -> Node:
    return {
        "type": "array",
        "description": joined(f"""
            The symbols to watch, 1 to {MAX_SYMBOLS}, each once, in the provider's spelling and in upper case:
            AAPL, BRK-B, ^GSPC, EURUSD=X, 0700.HK. A symbol that the provider does not know is shown in
            status.failedSymbols; the others go on."""),
        "minItems": 1,
        "maxItems": MAX_SYMBOLS,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": SYMBOL_MAX_LENGTH,
            "x-kubernetes-validations": [
                _rule(
                    f"self.matches('{SYMBOL_PATTERN}')",
                    """write the symbol in upper case: letters, digits and . = ^ -, beginning with a letter,
                    a digit or ^ (AAPL, BRK-B, ^GSPC, EURUSD=X)""",
                )
            ],
        },
    }


def _provider() -> Node:
    return {
        "type": "string",
        "description": joined("""
            Who is asked: synthetic (a random walk without network), yfinance, alpha_vantage, or a plug-in of
            this deployment. Left out, the deployment's default is taken; status.provider shows which. A
            provider that this deployment does not have makes the job Accepted=False."""),
        "minLength": 1,
        "maxLength": PROVIDER_MAX_LENGTH,
        "x-kubernetes-validations": [
            _rule(
                f"self.matches('{PROVIDER_PATTERN}')",
                """write the provider's name in lower-case letters, digits, - and _ (yfinance, alpha_vantage,
                synthetic)""",
            ),
            _rule(
                f"self != '{ANY_PROVIDER}'",
                f"{ANY_PROVIDER} is a reserved name; leave provider out to take the deployment's default",
            ),
        ],
    }


def _interval() -> Node:
    return {
        "description": joined("""
            How often to poll: seconds (60) or a duration ("60s", "5m", "1h30m"), from 1s to 24h. Polls lie on
            a fixed grid and do not drift; those missed while the service was away are one."""),
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "default": DEFAULT_INTERVAL_SECONDS,
        "maxLength": 16,
        "x-kubernetes-validations": [
            _rule(
                _INTERVAL_RULE,
                'interval is seconds (60) or a duration ("60s", "5m"), from 1s to 24h',
            )
        ],
    }


def _slo() -> Node:
    return {
        "type": "object",
        "description": joined("""
            A promise about the age of these prices, measured and alerted on by the service. Without it none
            is made."""),
        "required": ["maxAgeSeconds"],
        "properties": {
            "maxAgeSeconds": {
                "type": "integer",
                "format": "int32",
                "description": joined("""
                    No price of the job should be older than this, in seconds, by the provider's clock
                    (observed_at). status.slo says what time counts."""),
                "minimum": 1,
                "maximum": MAX_SLO_AGE_SECONDS,
            },
            "target": {
                "type": "string",
                "description": joined("""
                    For what share of the time that should hold, in percent, taken over all symbols, as a
                    string between quotes, such as "99.9"."""),
                "minLength": 1,
                "maxLength": 8,
                "default": DEFAULT_SLO_TARGET,
                "x-kubernetes-validations": [
                    _rule(
                        f"self.matches('{SLO_TARGET_PATTERN}') && double(self) > 0.0",
                        'target is a percentage between 0 and 100 as a string, such as "99.9"',
                    )
                ],
            },
        },
    }
