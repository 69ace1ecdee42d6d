"""What every market-data service shares; it never imports one of them."""
