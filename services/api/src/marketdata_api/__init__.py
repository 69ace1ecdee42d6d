"""The API: answers latest prices, averages, jobs, raw answers and the ledger over HTTP."""
