"""Claims: what a paper says, how it is decided, and what was decided."""
