"""Numbers on the command line: click's, called in help and messages what a person calls them."""

import math
from typing import Any

import click


class IntegerRange(click.IntRange):
    """A whole number within bounds."""

    name = "integer"


class NumberRange(click.FloatRange):
    """A number within bounds; what is none, such as nan, is refused, though it compares with no bound."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        return number
