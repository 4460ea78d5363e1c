"""Runs: jobs that produce numbers; their identity, their records, who executes them."""
