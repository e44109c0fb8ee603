"""The market: sessions, bars, corporate actions. Pure: no files, no network, no clock."""
