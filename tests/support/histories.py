"""Histories of a few series: on time, late, repeated, corrected, confirmed, from two providers."""

from uuid import UUID

from hypothesis import strategies as st

from marketdata.domain.price import PricePoint
from support.builders import a_price, at

_answers = st.integers(min_value=0, max_value=3)


@st.composite
def _events(draw: st.DrawFn) -> PricePoint:
    observed = draw(st.integers(min_value=0, max_value=14))
    answer = draw(_answers)
    fetched = draw(st.sampled_from([100, 101]))
    series = draw(st.sampled_from([("synthetic", "AAPL"), ("synthetic", "MSFT"), ("yfinance", "AAPL")]))
    # One answer says one thing of an instant: the price follows from what identifies the answer.
    prices = ["1", "2.5", "2.5", "-3.1", "0.000000000001", "1000000000"]
    return a_price(
        provider=series[0],
        symbol=series[1],
        observed_at=at(observed),
        fetched_at=at(fetched),
        raw_response_id=UUID(int=answer),
        price=prices[(observed * 7 + answer * 5 + fetched) % len(prices)],
    )


histories = st.lists(_events(), min_size=1, max_size=40)
