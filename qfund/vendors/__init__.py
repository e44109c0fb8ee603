"""Vendors: where market data come from. One file per vendor; ``contract`` says what a vendor must offer."""
