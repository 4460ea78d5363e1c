"""Report: what a ledger looks like, in tables, figures and rendered notebooks."""
