import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain import symbol
from marketdata.errors import InvalidInput
from support import strategies


@pytest.mark.parametrize(
    "text", ["AAPL", "BRK-B", "^GSPC", "EURUSD=X", "BTC-USD", "0700.HK", "7203.T", "A" * 32]
)
def test_what_a_provider_calls_a_symbol_is_one(text: str) -> None:
    assert symbol.parse_symbol(text) == text


@pytest.mark.parametrize("text", [" aapl ", "Aapl", "aapl\n"])
def test_a_symbol_is_normalised_once_at_the_edge(text: str) -> None:
    assert symbol.parse_symbol(text) == "AAPL"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "AA PL",
        "-A",
        ".A",
        "=X",
        "A/B",
        "A:B",
        "A" * 33,
        "ÄPFEL",
        "AAPL\x00",
        "٣",
        "A'; drop table",
        "ß",
    ],
)
def test_anything_else_is_refused_with_the_field_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="symbols/3") as caught:
        symbol.parse_symbol(text, field="symbols/3")

    assert caught.value.field == "symbols/3"


@given(st.text(max_size=40))
def test_whatever_is_accepted_is_in_the_grammar_and_stays_what_it_is(text: str) -> None:
    try:
        parsed = symbol.parse_symbol(text)
    except InvalidInput:
        return
    assert re.fullmatch(symbol.SYMBOL_PATTERN, parsed)
    assert len(parsed) <= symbol.SYMBOL_MAX_LENGTH
    assert symbol.parse_symbol(parsed) == parsed


@given(strategies.symbols)
def test_every_word_of_the_grammar_is_accepted(text: str) -> None:
    assert symbol.parse_symbol(text) == text
    assert symbol.parse_symbol(text.lower()) == text


@given(strategies.providers)
def test_every_provider_name_of_the_grammar_is_accepted(name: str) -> None:
    assert symbol.parse_provider(name) == name


@pytest.mark.parametrize("name", ["", "any", "YFinance", "-a", "a-", "_a", "a b", "a:b", "a" * 64, "é"])
def test_no_other_provider_name_is(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        symbol.parse_provider(name)

    assert caught.value.field == "provider"


@given(strategies.providers, strategies.symbols)
def test_a_cache_key_or_event_key_can_be_taken_apart_again(provider: str, text: str) -> None:
    assert ":" not in provider
    assert ":" not in text
    assert "_" not in text
