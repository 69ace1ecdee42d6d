"""Which providers are installed, and what becomes of those that cannot be made."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from marketdata.errors import Misconfigured, UnknownProvider
from marketdata_poller.providers import registry, settings
from marketdata_poller.providers.registry import InstalledProviders


def test_the_four_shipped_providers_are_installed() -> None:
    assert InstalledProviders(environ={}).names() == ("alpha_vantage", "replay", "synthetic", "yfinance")


def test_an_unknown_provider_is_refused_with_the_names_of_those_installed() -> None:
    with pytest.raises(UnknownProvider, match="'bloomberg' is installed; installed: alpha_vantage, replay"):
        InstalledProviders(environ={}).get("bloomberg")


def test_a_provider_is_made_once() -> None:
    providers = InstalledProviders(environ={})

    assert providers.get("synthetic") is providers.get("synthetic")


def test_a_provider_without_its_settings_harms_no_other() -> None:
    providers = InstalledProviders(environ={})

    with pytest.raises(Misconfigured, match="ALPHA_VANTAGE_API_KEY is not set"):
        providers.get("alpha_vantage")
    assert providers.get("synthetic").name == "synthetic"


def test_a_provider_that_cannot_be_imported_says_so() -> None:
    broken = EntryPoint("broken", "no_such_module_at_all:create", registry.GROUP)

    with pytest.raises(Misconfigured, match="provider broken cannot be loaded: No module named"):
        InstalledProviders(environ={}, found=[broken]).get("broken")


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        ("synthetic", "MARKETDATA_SYNTHETIC_SED", "1"),
        ("synthetic", "MARKETDATA_SYNTHETIC_CURRENCY", "dollars"),
        ("yfinance", "MARKETDATA_YFINANCE_BATCH_SIZE", "91"),
        ("yfinance", "MARKETDATA_YFINANCE_BATCH_SIZE", "0"),
        ("yfinance", "MARKETDATA_YFINANCE_BASE_URL", "ftp://elsewhere"),
        ("yfinance", "MARKETDATA_YFINANCE_BATCHSIZE", "10"),
    ],
)
def test_a_misspelt_or_malformed_variable_is_named(name: str, variable: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=variable):
        InstalledProviders(environ={variable: value}).get(name)


def test_variables_of_other_parts_are_none_of_a_provider_s_business() -> None:
    environ = {"MARKETDATA_SYNTHETIC_SEED": "7", "MARKETDATA_POLLER_LEASE_SECONDS": "30"}

    assert InstalledProviders(environ=environ).get("synthetic").name == "synthetic"


def test_prefixes_are_those_of_the_installed_names() -> None:
    points = [EntryPoint(name, "x:y", registry.GROUP) for name in ("alpha_vantage", "my-feed")]

    assert InstalledProviders(environ={}, found=points).prefixes() == (
        "MARKETDATA_ALPHA_VANTAGE_",
        "MARKETDATA_MY_FEED_",
    )


def test_naming_making_and_parsing_import_no_yfinance() -> None:
    program = (
        "import sys\n"
        "from marketdata_poller.providers.registry import InstalledProviders\n"
        "providers = InstalledProviders(environ={})\n"
        "providers.names()\n"
        "providers.get('yfinance')\n"
        "print(sorted({'yfinance', 'pandas', 'numpy', 'curl_cffi'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MARKETDATA_SYNTHETIC_SEDE", "1"), ("MARKETDATA_YFINANCE_BATCH_SIZE", "91")],
)
def test_a_slip_in_a_shipped_provider_s_settings_is_found_at_the_start(variable: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=variable):
        settings.check({variable: value})
