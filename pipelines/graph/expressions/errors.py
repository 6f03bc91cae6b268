"""What can be wrong with an expression."""


class ExpressionError(Exception):
    """An expression or template cannot be read or has no value.

    `code`: bad_expression, too_long, too_complex (refused when read); missing_value, wrong_type, bad_number,
    too_large, too_many_steps (met when evaluated). `message` is a sentence for the author.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
