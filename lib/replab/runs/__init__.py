"""Runs: jobs that produce numbers; what identifies them, where their records are, who executes them."""
