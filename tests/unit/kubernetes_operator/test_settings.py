"""Settings of the operator: what is missing or mistyped stops it with one sentence."""

import pytest

from marketdata.errors import Misconfigured
from marketdata_operator.settings import read

GIVEN = {
    "DATABASE_URL": "postgresql://u:p@db/x",
    "MARKETDATA_OPERATOR_NAMESPACES": "default",
    "MARKETDATA_OPERATOR_RELEASE": "ns/release",
}


@pytest.mark.parametrize(
    ("text", "watched"),
    [("default", {"default"}), (" a , b,", {"a", "b"}), ("*", None)],
)
def test_namespaces_are_a_list_or_all(text, watched):
    settings = read({**GIVEN, "MARKETDATA_OPERATOR_NAMESPACES": text})

    assert settings.operator.watched() == watched


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"MARKETDATA_OPERATOR_NAMESPACES": " "}, "MARKETDATA_OPERATOR_NAMESPACES"),
        ({"MARKETDATA_OPERATOR_RELEASE": ""}, "MARKETDATA_OPERATOR_RELEASE"),
        ({"MARKETDATA_OPERATOR_SWEEP_SECONDS": "0"}, "MARKETDATA_OPERATOR_SWEEP_SECONDS"),
        ({"MARKETDATA_PROVIDERS": ","}, "MARKETDATA_PROVIDERS"),
        ({"MARKETDATA_PROVIDERS": "Bad!"}, "MARKETDATA_PROVIDERS"),
        ({"MARKETDATA_DEFAULT_PROVIDER": "bloomberg"}, "MARKETDATA_DEFAULT_PROVIDER"),
        ({"MARKETDATA_OPERATOR_NAMESPACE": "typo"}, "MARKETDATA_OPERATOR_NAMESPACE is not a setting"),
    ],
)
def test_what_is_wrong_is_named(change, names):
    with pytest.raises(Misconfigured, match=names):
        read({**GIVEN, **change})


def test_an_admission_is_what_the_settings_say():
    admission = read(
        {**GIVEN, "MARKETDATA_PROVIDERS": "yfinance,synthetic", "MARKETDATA_OPERATOR_MAX_SYMBOLS": "9"}
    ).admission()

    assert (admission.release, admission.providers) == ("ns/release", ("yfinance", "synthetic"))
    assert (admission.default_provider, admission.max_symbols) == ("synthetic", 9)
