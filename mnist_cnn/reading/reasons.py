"""Why there is no digit: codes for programs, and what they mean in English."""

from enum import StrEnum


class Reason(StrEnum):
    """Why there is no answer."""

    NO_INK = "no_ink"
    NO_SHAPE = "no_shape"
    NOT_ONE_DIGIT = "not_one_digit"
    NO_DIGIT = "no_digit"
    TOO_MUCH = "too_much"


SENTENCES = {
    Reason.NO_INK: "no ink was found",
    Reason.NO_SHAPE: "no ink has a digit's shape",
    Reason.NOT_ONE_DIGIT: "this does not look like one digit",
    Reason.NO_DIGIT: "nothing looks like a digit",
    Reason.TOO_MUCH: "too much writing for one picture",
}
