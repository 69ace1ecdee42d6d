"""Sources of prices: each a plug-in named in the entry point group `marketdata.providers`.

`registry` finds them, `settings` says what the shipped ones may be told, and every other module
here is one provider. A provider imports its client library in its own module, so that a poller
without a job for it never pays for it. `docs/guides/add-a-provider.md` shows how to write one.
"""
