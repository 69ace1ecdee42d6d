"""Yahoo Finance through the library yfinance, the real one, held on a short lead.

yfinance has no bulk price call and its network habits are costly: a 429 makes it send three
requests, an unknown symbol up to nine, its cookie is fetched before every request where its cache
cannot be written, and its timeouts bound a request but not a call. So this adapter uses its
cookie-and-crumb transport alone (`yfinance.data.YfData`), with a session of our own under it:

    provider   the plug-in; imports the rest at its first fetch
    fetching   what to ask, in which order, and when to fall back from quote batches to charts
    transport  yfinance's transport, set up and kept honest
    session    the one session: gate, deadline, size, redirects and recording of every request
    reading    what an answer's bytes say; pure, needs no yfinance
    verdicts   what an answer's status and headers say; pure

`yfinance.data` is not public: pyproject.toml pins the minor release, and a contract test holds
the attributes used. Yahoo's terms allow personal use only, see docs/guides/add-a-provider.md.
"""

from marketdata_poller.providers.yfinance.provider import create

__all__ = ["create"]
