"""What commands print."""

import json
from typing import Any


def emit(value: Any, as_json: bool, text: str) -> None:
    """Print a result: JSON on request, else text."""
    print(json.dumps(value, indent=1, ensure_ascii=False) if as_json else text)
