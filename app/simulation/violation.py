"""What a judge says when a promise is broken."""


class Violation(Exception):  # noqa: N818  # the field's word, and not a failure of the program that raises it
    """A promise was broken.

    rule   the name of the judge
    text   what was seen, in one line
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text

    def __reduce__(self) -> tuple[type["Violation"], tuple[str, str]]:
        """Crosses from a worker process as it is."""
        return Violation, (self.rule, self.text)
