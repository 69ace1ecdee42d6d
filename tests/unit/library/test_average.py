from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from marketdata.domain.average import MAX_WINDOW, MovingAverage, moving_average, moving_averages
from support import strategies

series = st.lists(strategies.prices, min_size=1, max_size=30)


def rounded(exact: Fraction) -> Decimal:
    """Return the fraction half-even at 12 decimals, by integers alone."""
    scaled = exact * 10**12
    below = scaled.numerator // scaled.denominator
    rest = scaled - below
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2 == 1)
    with localcontext(prec=60, rounding=ROUND_HALF_EVEN):
        return Decimal(below + up).scaleb(-12)


@given(st.lists(strategies.prices, min_size=1, max_size=MAX_WINDOW))
def test_the_average_is_the_exact_mean_rounded_once(prices: list[Decimal]) -> None:
    exact = sum(map(Fraction, prices), Fraction(0)) / len(prices)

    assert moving_average(prices) == MovingAverage(rounded(exact), len(prices))


@given(series, st.randoms(use_true_random=False))
def test_the_order_of_the_prices_does_not_matter(prices: list[Decimal], random: Random) -> None:
    shuffled = sorted(prices, key=lambda _: random.random())

    assert moving_average(shuffled) == moving_average(prices)


@given(series, st.integers(0, 35), st.integers(2, 7))
def test_a_run_of_averages_is_each_average_by_itself(prices: list[Decimal], skip: int, window: int) -> None:
    ends = range(skip + 1, len(prices) + 1)
    naive = [moving_average(prices[max(0, end - window) : end]).average for end in ends]

    assert moving_averages(prices, skip=skip, window=window) == naive


def test_a_tie_goes_to_the_even_digit() -> None:
    half = Decimal("0.000000000001")

    assert moving_average([half, Decimal(0)]).average == 0
    assert moving_average([half * 3, Decimal(0)]).average == Decimal("0.000000000002")


def test_the_thread_s_own_decimal_context_changes_nothing() -> None:
    prices = [Decimal("231.123456789012"), Decimal("231.5"), Decimal("0.1")]
    expected = moving_average(prices)

    with localcontext(prec=3):
        assert moving_average(prices) == expected
        assert moving_averages(prices, skip=2) == [expected.average]
