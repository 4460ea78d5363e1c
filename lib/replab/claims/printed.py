"""Numbers as papers print them: `0.27M`, `6.61±0.16`, `> 60`."""

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal, localcontext

MULTIPLIERS = {"": 0, "k": 3, "M": 6, "G": 9}
_NUMBER = re.compile(
    r"(?P<bound>[<>])?\s*(?P<digits>[+-]?\d*\.?\d+)(?P<unit>[kMG]?)(?:\s*±\s*(?P<spread>\d*\.?\d+))?"
)


@dataclass(frozen=True)
class Printed:
    """A printed number.

    Attributes:
        text: as printed, trailing zeros included.
        value: the number, multiplier applied.
        decimals: digits printed after the point, before the multiplier.
        exponent: power of ten of the multiplier.
        bound: `<` or `>` if the print is a bound, else empty.
        spread: the ± part, if there is one, multiplier applied.
    """

    text: str
    value: float
    decimals: int
    exponent: int
    bound: str
    spread: float | None

    @property
    def half_digit(self) -> float:
        """Half a unit of the last printed digit."""
        return 0.5 * 10.0 ** (self.exponent - self.decimals)

    def matches(self, measured: float) -> bool:
        """Whether a number rounds to the print; a tie may have gone either way."""
        if not math.isfinite(measured):
            return False
        with localcontext() as context:
            context.prec = 50
            scaled = Decimal(repr(float(measured))).scaleb(-self.exponent)
            quantum = Decimal(1).scaleb(-self.decimals)
            printed = Decimal(repr(self.value)).scaleb(-self.exponent).quantize(quantum)
            return printed in {
                scaled.quantize(quantum, rounding=how) for how in (ROUND_HALF_UP, ROUND_HALF_DOWN)
            }


def parse(text: str) -> Printed:
    """Read a printed number.

    Raises:
        ValueError: the text is none.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"'{text}' is no printed number such as 8.75, +2.1, 0.27M, 6.61±0.16 or > 60"
        )
    digits, exponent = match["digits"], MULTIPLIERS[match["unit"]]
    return Printed(
        text=text.strip(),
        value=float(Decimal(digits).scaleb(exponent)),
        decimals=len(digits.partition(".")[2]),
        exponent=exponent,
        bound=match["bound"] or "",
        spread=float(Decimal(match["spread"]).scaleb(exponent)) if match["spread"] else None,
    )


def parse_list(text: str) -> list[Printed]:
    """Read printed numbers separated by commas.

    Raises:
        ValueError: one of them is none.
    """
    return [parse(part) for part in text.split(",")]
