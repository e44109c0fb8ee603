"""Ingest: what is missing → fetch → check → commit. A gap is the calendar minus what was answered before."""
