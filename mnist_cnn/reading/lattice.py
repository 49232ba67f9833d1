"""Reading several digits: `read` turns a picture of writing into a `Reading`.

Neighbouring pieces of a line, a few at a time, are candidates for a digit. The
network reads them all in one batch, and the best way through the line decides which of them are
digits: a lattice searched for its best route, as in LeCun et al. 1998 (sections V and VI) and Matan
et al. 1992. What is not read for sure is cut along other slants, too; the best way of all is taken.
What a candidate is worth is stated in `Candidate.worth`, and what two neighbours cost in `_clash`,
in nats, so that a probability and a rule of geometry weigh alike.
"""

import dataclasses
import itertools
import math
import operator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch

from mnist_cnn.ink import SIDE, Ink, find_ink, frame
from mnist_cnn.network import Network
from mnist_cnn.reading.evaluation import evidence
from mnist_cnn.reading.pieces import (
    CUTTING,
    LAYOUT,
    Line,
    Page,
    Piece,
    around,
    cut_again,
    find_pieces,
)
from mnist_cnn.reading.prediction import Prediction, as_picture, read_frames
from mnist_cnn.reading.reasons import Reason


@dataclass(frozen=True)
class Shape:
    """What may be one digit, and how it is cut out. Lengths are in heights of the line.

    Set by hand, and checked as a whole with benchmarks/rows.py.
    """

    most_pieces: int = 8  # in one digit
    widest: float = 1.6  # nothing wider is one digit, unless it stands alone
    most_white: float = 0.3  # no digit has a wider gap from top to bottom
    flattest: float = 2.5  # widths per height: a stroke this flat is a minus or a rule
    healed: float = 0.5  # pen widths: what a cut took from a digit is given back, so far from it


@dataclass(frozen=True)
class Worth:
    """What a candidate is worth, and what it costs to leave ink unread, in nats.

    Fitted as a whole, to make the right texts of 480 generated rows of MNIST training digits and
    drawn ones (benchmarks/rows.py, seed 102, spaced ones counting twice) likelier than all other
    texts of the lattice (LeCun et al. 1998, section VI). Two networks gave nearly the same weights.
    Those of the evidence were scaled when the threshold was lowered.
    """

    least_prob: float = 1e-4  # the network's probability of a candidate counts as no less
    sure: float = 1.5  # per nat of that probability
    evidence: float = 1.6  # for evidence as high as the network's threshold …
    uncut: float = 1.2  # … and more for ink with white on both sides: it is seldom two digits …
    most_evidence: float = 2.9  # … for up to so many times the threshold
    digit: float = 1.5  # against each digit
    cut: float = 0.8  # against each stroke that is cut
    wide: float = 1.8  # against width over the usual, per line height
    usual_width: float = 0.8  # of the line's height
    low: float = 2.7  # against what a digit lacks of the usual height, per line height
    usual_height: float = 0.8  # of the line's height
    lying: float = 1.0  # against width over the digit's own height, per height
    skip: float = 6.0  # against leaving a piece as high as the line unread, by its height cubed …
    skip_any: float = 1.6  # … and any: a scrap that a cut left over costs little more


@dataclass(frozen=True)
class Clash:
    """What it costs, in nats, when two neighbours do not lie side by side, as halves of a digit do.

    Set by hand: of 611 touching pairs that were read right (benchmarks/rows.py, seed 4711), none
    had less than 0.74 of the height in common, and one in a hundred more than 0.79 of the width.
    """

    over: float = 10.0  # against one over the other: by what their common height …
    level: float = 0.75  # … lacks of this share of the shorter one's
    inside: float = 8.0  # against one in the other: by what their common width …
    reaching: float = 0.7  # … exceeds of the narrower one's; so far a 7's bar may reach


@dataclass(frozen=True)
class Doubt:
    """When a line is looked at again, and what is passed over or accepted after all."""

    # From the line's slant: how doubtful digits are cut, too. Four slants take 1.3 to 1.7 times as
    # long as two, and read 495 of 640 touching rows where two read 472 (benchmarks/rows.py, seeds
    # 4711, 5822, 6933 and 7044).
    leans: tuple[float, ...] = (-0.4, -0.2, 0.2, 0.4)
    leaning: float = 1.0  # nats against them
    most: int = 24  # stretches of a page that are cut again; one with more holds no digits
    # Connected ink that is not one sure digit is no writing if the best way through it is worth
    # little. Of 182 letters, shapes and doodles of which digits were read, 95 are passed over by
    # this, and of 278 rows (benchmarks/rows.py, seed 8155) that were read right, one is lost.
    least_worth: float = -0.5  # nats: no less …
    most_unread: float = 0.1  # … and where more of the ink than this share is left unread …
    worth_of_each: float = 1.5  # … no less for each digit
    # A digit that the network refuses is read among digits: there it is more likely to be one.
    among: float = 0.5  # of a line's digits must be accepted …
    least_among: float = 0.35  # … and its evidence be so much of the threshold: a plus has less


SHAPE, WORTH, CLASH, DOUBT = Shape(), Worth(), Clash(), Doubt()


@dataclass(frozen=True, eq=False)
class ReadDigit:
    """One digit of a reading.

    Attributes:
        box: x, y, width and height in pixels of the picture as given.
        digit: index of the class.
        label: name of the class: "7", or "Q" for a network that reads letters.
        confidence: probability of `digit`, in [0, 1].
        probs: `(classes,)` float32, sums to 1.
        frame: `(28, 28)` uint8, what the network saw.
    """

    box: tuple[int, int, int, int]
    digit: int
    label: str
    confidence: float
    probs: np.ndarray = field(repr=False)
    frame: np.ndarray = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Box, digit, label, confidence and probs as JSON holds them."""
        return {
            "box": list(self.box),
            "digit": self.digit,
            "label": self.label,
            "confidence": self.confidence,
            "probs": self.probs.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Reading:
    """All digits of a picture.

    Attributes:
        lines: from top to bottom, the digits of each from left to right.
        reason: why there is no digit; None if there is one.
    """

    lines: tuple[tuple[ReadDigit, ...], ...]
    reason: Reason | None = None

    @property
    def digits(self) -> tuple[ReadDigit, ...]:
        """The digits in reading order."""
        return tuple(digit for line in self.lines for digit in line)

    @property
    def text(self) -> str:
        """The digits in reading order, one line of text per line of writing."""
        return "\n".join("".join(digit.label for digit in line) for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Text, digits and reason as JSON holds them."""
        return {
            "text": self.text,
            "digits": [digit.to_dict() for digit in self.digits],
            "reason": self.reason and self.reason.value,
        }


@dataclass(frozen=True, eq=False)
class Candidate:
    """A run of pieces that may be one digit."""

    line: int
    start: int  # its first piece in the line
    stop: int  # one past its last
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels of the ink
    height: float  # in line heights, like all lengths below
    width: float
    cut: float  # strokes cut on its left
    uncut: bool  # nothing is cut on its left and right
    frame: np.ndarray

    def worth(self, answer: Prediction, support: float) -> float:
        """How likely it is that this is one digit, in nats; `support` is evidence in thresholds."""
        return (
            WORTH.sure * math.log(max(answer.confidence, WORTH.least_prob))
            + (WORTH.evidence + WORTH.uncut * self.uncut) * min(support, WORTH.most_evidence)
            - WORTH.digit
            - WORTH.cut * self.cut
            - WORTH.wide * max(0, self.width - WORTH.usual_width)
            - WORTH.low * max(0, WORTH.usual_height - self.height)
            - WORTH.lying * max(0, self.width / self.height - 1)
        )


@dataclass(frozen=True, eq=False)
class Step:
    """On a way through a line: a digit, or a piece that is left unread."""

    start: int  # its first piece in the line
    stop: int  # one past its last
    worth: float  # nats
    candidate: Candidate | None = None
    answer: Prediction | None = None
    support: float = 0.0  # evidence of a digit, in thresholds
    clash: float = 0.0  # what it costs to lie as it does beside the digit before it, nats


@dataclass(frozen=True, eq=False)
class Way:
    """Where the search for a route stands: its last step, and the way before it, shared by many."""

    worth: float  # of all its steps, nats
    last: Step | None = None
    before: "Way | None" = None

    def steps(self) -> list[Step]:
        """Its steps, from left to right."""
        way: Way | None = self
        steps: list[Step] = []
        while way and way.last:
            steps.append(way.last)
            way = way.before
        return steps[::-1]


@dataclass(frozen=True, eq=False)
class Route:
    """A way through a line, or through a part of it."""

    page: Page
    line: Line  # of the page
    steps: list[Step]  # from left to right

    @property
    def worth(self) -> float:
        """In nats. What lies beside its ends does not count."""
        return sum(step.worth for step in self.steps) - sum(step.clash for step in self.steps[1:])

    @property
    def is_sure(self) -> bool:
        """Whether it is one digit that the network accepts."""
        return len(self.steps) == 1 and getattr(self.steps[0].answer, "digit", None) is not None

    def areas(self) -> np.ndarray:
        """How many pixels are left unread, and how many its digits cover; `(2,)`."""
        of_piece, areas = np.bincount(self.page.numbers.ravel()), np.zeros(2, int)
        for step in self.steps:
            for piece in self.line.pieces[step.start : step.stop]:
                areas[int(step.candidate is not None)] += of_piece[piece.number]
        return areas

    def part(self, start: int, stop: int | None = None) -> "Route":
        """The steps from one to another."""
        return Route(self.page, self.line, self.steps[start:stop])

    def stretches(self) -> list["Route"]:
        """The parts that have white between them."""
        starts = [n for n, step in enumerate(self.steps) if not self.line.pieces[step.start].cut]
        bounds = sorted({0, *starts, len(self.steps)})
        return [self.part(*each) for each in itertools.pairwise(bounds)]


def read(model: Network, image: Any) -> Reading:
    """Read all digits of one picture, as `predict` takes it, line by line: see `read_ink`.

    Raises:
        ValueError: the picture cannot be read.
    """
    return read_ink(model, find_ink(as_picture(image)))


def read_ink(model: Network, ink: Ink, thorough: bool = True) -> Reading:
    """Read all digits of a picture whose ink was found.

    Specks far smaller than the line's digits (dust, decimal points), flat strokes (minus signs),
    what the network refuses and what can be cut into digits only with ink to spare are passed over.

    Args:
        model: a network that takes `(B, 28, 28)` uint8 frames and returns logits.
        ink: what `find_ink` found.
        thorough: cut what is doubtful along other slants, too.
    """
    levels = ink.levels
    page = find_pieces(levels)
    if not page.lines:
        return Reading((), Reason.NO_INK)
    if sum(len(line.pieces) for line in page.lines) > CUTTING.most_on_page:
        return Reading((), Reason.TOO_MUCH)
    found = candidates(page, levels)
    if not found:
        return Reading((), Reason.NO_SHAPE)
    routes = [route.stretches() for route in _routes(model, page, found)]
    doubtful = [each for route in routes for each in route if not each.is_sure]
    if not thorough or len(doubtful) > DOUBT.most:
        doubtful = []
    lines = []
    for route in routes:
        parts: list[Route] = []
        for each in route:
            cut = _cut_otherwise(model, levels, each) if each in doubtful else [each]
            if len(each.steps) == 1 or _is_writing(cut):
                parts += cut
        digits = [
            (step.candidate, step.answer, step.support)
            for part in parts
            for step in part.steps
            if step.candidate and step.answer
        ]
        accepted = sum(answer.digit is not None for _, answer, _ in digits)
        among = accepted >= DOUBT.among * len(digits)
        line = tuple(
            _digit(candidate, answer, ink.scale)
            for candidate, answer, support in digits
            if answer.digit is not None or (among and support >= DOUBT.least_among)
        )
        if line:
            lines.append(line)
    return Reading(tuple(lines), None if lines else Reason.NO_DIGIT)


def _is_writing(stretch: list[Route]) -> bool:
    """Whether connected ink is digits, by its parts: a stroke cut out of a letter is a good 1."""
    worth = sum(route.worth for route in stretch)
    digits = sum(step.candidate is not None for route in stretch for step in route.steps)
    areas = np.sum([route.areas() for route in stretch], axis=0)
    if areas[0] > DOUBT.most_unread * areas.sum() and worth < DOUBT.worth_of_each * digits:
        return False
    return worth >= DOUBT.least_worth


def _routes(model: Network, page: Page, found: list[Candidate]) -> list[Route]:
    """The best way through each of the page's lines, by its candidates."""
    steps: list[list[Step]] = [[] for _ in page.lines]
    if found:
        answers = read_frames(model, np.stack([candidate.frame for candidate in found]))
        supports = _supports(model, answers)
        for each, answer, support in zip(found, answers, supports, strict=True):
            worth = each.worth(answer, support)
            steps[each.line].append(Step(each.start, each.stop, worth, each, answer, support))
    return [
        Route(page, line, _best_route(line, own))
        for line, own in zip(page.lines, steps, strict=True)
    ]


def _cut_otherwise(model: Network, ink: np.ndarray, stretch: Route) -> list[Route]:
    """The stretch, in parts, each cut along the slant that makes it worth most."""
    rest = _best_slant(model, ink, stretch)
    parts: list[Route] = []
    # Two neighbours may part along another slant than the next two.
    while len(rest.steps) > 1 and len(rest.steps) + len(parts) > 2:
        pair = rest.part(0, 2)
        better = _best_slant(model, ink, pair)
        done = 1 if better is pair else 2
        parts.append(rest.part(0, 1) if better is pair else better)
        rest = rest.part(done)
    return [*parts, rest]


def _best_slant(model: Network, ink: np.ndarray, route: Route) -> Route:
    """The route, or a way through the same ink cut along another slant."""
    best, start, stop = route, route.steps[0].start, route.steps[-1].stop
    for lean in DOUBT.leans:
        again = cut_again(route.page, ink, route.line, start, stop, lean)
        for way in _routes(model, again, candidates(again, ink)):
            if way.worth > max(best.worth, route.worth + DOUBT.leaning):
                best = way
    return best


def _supports(model: Network, answers: list[Prediction]) -> list[float]:
    """The evidence of a digit in each answer, in thresholds."""
    config = model.config
    # The temperature is taken out again; an even shift of all logits does not change the evidence.
    probs = np.maximum(np.stack([answer.probs for answer in answers]), np.finfo(np.float32).tiny)
    support = evidence(torch.from_numpy(np.log(probs)) * config.temperature)
    # A network that refuses nothing has learned no measure of its evidence.
    support = support / config.threshold if config.threshold else torch.ones_like(support)
    return support.tolist()


def candidates(page: Page, ink: np.ndarray) -> list[Candidate]:
    """All runs of neighbouring pieces that have a digit's shape, line by line."""
    found = []
    for number, line in enumerate(page.lines):
        for start in range(len(line.pieces)):
            for stop in range(start + 1, min(start + SHAPE.most_pieces, len(line.pieces)) + 1):
                candidate = _candidate(page, ink, number, start, stop)
                if candidate is not None:
                    found.append(candidate)
    return found


def _candidate(page: Page, ink: np.ndarray, number: int, start: int, stop: int) -> Candidate | None:
    line = page.lines[number]
    run = line.pieces[start:stop]
    box = around(run)
    height = (box[3] - box[1]) / line.height
    width = (max(piece.end for piece in run) - min(piece.start for piece in run)) / line.height
    alone = len(run) == len(line.pieces) and not line.is_part
    white = _white(run) / line.height
    if (
        height < LAYOUT.small
        or width > SHAPE.flattest * height
        or (width > SHAPE.widest and not alone)
    ):
        return None
    if white > SHAPE.most_white:
        return None
    seen = frame(_ink_of(run, page, ink))
    cut = run[0].cut, (line.pieces[stop] if stop < len(line.pieces) else line).cut
    return Candidate(number, start, stop, box, height, width, cut[0], not any(cut), seen)


def _ink_of(run: tuple[Piece, ...], page: Page, ink: np.ndarray) -> np.ndarray:
    """The ink of some pieces and nothing else."""
    left, top, right, bottom = around(run)
    # The soft edge lies around the box. An MNIST record stays whole, so that its frame is itself.
    edge = SIDE if ink.shape == (SIDE, SIDE) else CUTTING.soft_edge
    part = np.s_[max(top - edge, 0) : bottom + edge, max(left - edge, 0) : right + edge]
    numbers = page.numbers[part]
    own = (numbers >= run[0].number) & (numbers <= run[-1].number)
    # Where digits cross, the ink is both's: to either side of a cut half a pen's width is kept.
    reach = (2 * round(SHAPE.healed * page.pen) + 1,) * 2
    near = cv2.dilate(own.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, reach))
    own = (near > 0) & (numbers > 0)
    return np.where(own, ink[part], 0).astype(np.float32)


def _white(run: tuple[Piece, ...]) -> float:
    """The width of the gaps between the pieces, pixels of the ink."""
    white, end = 0.0, run[0].end
    for piece in run[1:]:
        white += max(0.0, piece.start - end)
        end = max(end, piece.end)
    return white


def _best_route(line: Line, steps: list[Step]) -> list[Step]:
    """The best way through the line: every piece is in one digit, or skipped (Viterbi 1967)."""
    skips = []
    for start, piece in enumerate(line.pieces):
        height = (piece.box[3] - piece.box[1]) / line.height
        skips.append(Step(start, start + 1, -WORTH.skip * height**3 - WORTH.skip_any))
    ends: dict[int, list[Way]] = {0: [Way(0.0)]}  # the ways up to a piece, one per last step
    for step in sorted([*skips, *steps], key=lambda step: step.stop):
        ways = ends[step.start]
        clashes = [_clash(way.last, step) for way in ways]
        worths = [way.worth - clash for way, clash in zip(ways, clashes, strict=True)]
        best = int(np.argmax(worths))
        last = dataclasses.replace(step, clash=clashes[best])
        ends.setdefault(step.stop, []).append(Way(worths[best] + step.worth, last, ways[best]))
    return max(ends[len(line.pieces)], key=operator.attrgetter("worth")).steps()


def _clash(last: Step | None, step: Step) -> float:
    """What it costs a digit to lie as it does beside the step before it, nats.

    They must be next to each other: a piece between them that is skipped parts them.
    """
    if last is None or last.candidate is None or step.candidate is None:
        return 0.0
    a, b = last.candidate.box, step.candidate.box
    # Shares of the narrower one's width and of the shorter one's height.
    common_width, common_height = (
        (min(a[far], b[far]) - max(a[near], b[near])) / min(a[far] - a[near], b[far] - b[near])
        for near, far in ((0, 2), (1, 3))
    )
    if common_width <= 0:
        return 0.0
    over, inside = CLASH.level - common_height, common_width - CLASH.reaching
    return CLASH.over * max(0.0, over) + CLASH.inside * max(0.0, inside)


def _digit(candidate: Candidate, answer: Prediction, scale: tuple[float, float]) -> ReadDigit:
    left, top, right, bottom = candidate.box
    x, y = round(left * scale[0]), round(top * scale[1])
    box = x, y, round(right * scale[0]) - x, round(bottom * scale[1]) - y
    digit = int(answer.probs.argmax())
    return ReadDigit(
        box, digit, answer.class_names[digit], answer.confidence, answer.probs, answer.frame
    )
