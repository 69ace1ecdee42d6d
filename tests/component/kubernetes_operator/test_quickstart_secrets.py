"""The quick start's Secrets against an API server that knows nothing but Secrets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketdata.clock import ManualClock
from marketdata_operator.quickstart_secrets import main, wanted
from support.json_server import JsonHandler, serving
from support.kubernetes import write_kubeconfig


class Vault:
    """Secrets by name, and how often the next requests are refused."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.refusals = 0


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """An API server that KUBECONFIG names."""
    vault = Vault()

    class Handler(JsonHandler):
        def do_POST(self) -> None:
            body = self.body()
            name = body["metadata"]["name"]
            assert self.path.split("?")[0] == "/api/v1/namespaces/prices/secrets"
            if vault.refusals:
                vault.refusals -= 1
                self.answer(403, {"kind": "Status", "code": 403, "message": "secrets is forbidden"})
            elif name in vault.secrets:
                self.answer(409, {"kind": "Status", "code": 409, "message": f"{name} already exists"})
            else:
                vault.secrets[name] = body
                self.answer(201, body)

    with serving(Handler) as url:
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path, url)))
        yield vault


def test_every_key_of_a_missing_secret_gets_a_password_of_its_own(vault: Vault) -> None:
    assert main(["prices", "md-postgresql=postgres-password,password"]) == 0
    made = vault.secrets["md-postgresql"]["stringData"]
    assert set(made) == {"postgres-password", "password"}
    assert len(set(made.values())) == 2
    assert all(len(password) >= 32 for password in made.values())


def test_a_secret_that_exists_is_left_as_it_is_and_the_others_are_made(vault: Vault) -> None:
    vault.secrets["md-postgresql"] = {"data": "of yesterday"}
    assert main(["prices", "md-postgresql=password", "md-redis=redis-password"]) == 0
    assert vault.secrets["md-postgresql"] == {"data": "of yesterday"}
    assert "md-redis" in vault.secrets


def test_a_right_that_comes_a_moment_late_is_waited_for(vault: Vault) -> None:
    vault.refusals = 3
    assert main(["prices", "md-redis=redis-password"], clock=ManualClock()) == 0
    assert "md-redis" in vault.secrets


def test_a_right_that_never_comes_is_told_in_a_sentence(
    vault: Vault, capsys: pytest.CaptureFixture[str]
) -> None:
    vault.refusals = 100
    assert main(["prices", "md-redis=redis-password"], clock=ManualClock()) == 1
    assert capsys.readouterr().err == "the Secret md-redis cannot be made: secrets is forbidden\n"


def test_no_password_is_ever_said(vault: Vault, capsys: pytest.CaptureFixture[str]) -> None:
    main(["prices", "md-redis=redis-password"])
    assert vault.secrets["md-redis"]["stringData"]["redis-password"] not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "name", "=key", "name=", "name=,"])
def test_what_names_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=KEY"):
        wanted(text)
