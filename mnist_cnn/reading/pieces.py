"""From ink to pieces of writing: the lines, and within a line the parts that a digit is made of.

A digit is one piece or several neighbours in a row: writing is cut too often rather than too
seldom, and `mnist_cnn.read` decides which pieces belong together (LeCun et al. 1998, section V).
"""

import dataclasses
import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_cnn.ink import stroke_width

INKED = 0.3  # ink above this belongs to a component: weaker edges of two digits may run together


@dataclass(frozen=True)
class Layout:
    """Which parts share a line, and which belong to one digit.

    Lengths are in heights of the taller part. Set by hand, and checked with benchmarks/rows.py.
    """

    # Lower than this a component is a part of its neighbour or a speck: a hat, a bar, a comma, a
    # minus sign. In MNIST and in the generated strokes no whole digit is so low.
    small: float = 0.4
    beside: float = 0.5  # how far a small part may lie from what it belongs to
    above: float = 0.2  # a hat floats no higher than this
    speck: float = 0.12  # a small part no longer than this is dust or a dot
    same_line: float = 0.5  # of the lower one: neighbours that overlap this much share a line
    rule: float = 1.3  # of the line: a small part that is wider is a rule, below several digits
    within: float = 0.6  # of its width: a small part so far over a tall one belongs to it
    stacked: float = 0.8  # of the narrower one's width: halves of a digit lie over each other


@dataclass(frozen=True)
class Cutting:
    """How a line is cut. Set by hand, and checked with benchmarks/rows.py."""

    soft_edge: int = 3  # pixels: fainter ink so near a piece is its soft edge
    raster: int = 48  # pixels: the height at which seams are searched
    through: tuple[int, ...] = (12, 24, 36)  # rows of it through which seams are sought
    narrow: float = 0.4  # of the line's height: what is no wider holds one digit
    apart: float = 0.12  # of the line's height: seams lie no closer, about a pen's width
    bend: float = 0.15  # ink pixels that a seam pays for each step aside
    most_strokes: float = 3.5  # a seam that crosses more goes through a digit, not between two
    least_area: float = 0.03  # of the line's height, squared: with less ink it is no piece
    most_on_page: int = 2000  # a page of 500 digits has as many pieces, and takes seconds


LAYOUT, CUTTING = Layout(), Cutting()
SLANTS = np.linspace(-0.5, 0.7, 13)  # pixels to the left per pixel downwards; most hands lean right


@dataclass(frozen=True)
class Piece:
    """A part of a line that is not cut any further; lengths are in pixels of the ink."""

    number: int  # its value in `Page.numbers`
    box: tuple[int, int, int, int]  # left, top, right, bottom; the last two lie one pixel outside
    start: float  # where it lies along the line, with the line's slant taken out
    end: float
    cut: float  # strokes that were cut to part it from its left neighbour; 0 if there was white


@dataclass(frozen=True)
class Line:
    """The pieces of a line from left to right."""

    pieces: tuple[Piece, ...]
    height: float  # of its digits, pixels of the ink
    slant: float  # pixels to the left per pixel downwards
    is_part: bool = False  # of a line that has more pieces
    cut: float = 0.0  # strokes that were cut to part it from what follows


@dataclass(frozen=True, eq=False)
class Page:
    """All writing of a picture."""

    numbers: np.ndarray  # (H, W) int32: which piece a pixel belongs to, 0 for none
    lines: tuple[Line, ...]  # from top to bottom
    pen: float  # mean width of the strokes, pixels of the ink


@dataclass(frozen=True, eq=False)
class _Part:
    """Connected ink, or several such parts that certainly belong together."""

    x: np.ndarray  # (n,) columns of its pixels
    y: np.ndarray  # (n,) rows

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom; right and bottom lie one pixel outside."""
        return int(self.x.min()), int(self.y.min()), int(self.x.max()) + 1, int(self.y.max()) + 1

    @property
    def height(self) -> int:
        return int(np.ptp(self.y)) + 1

    @property
    def width(self) -> int:
        return int(np.ptp(self.x)) + 1

    def across(self, slant: float) -> np.ndarray:
        """`(n,)` places along the line with the slant taken out."""
        return self.x + slant * self.y


def find_pieces(ink: np.ndarray) -> Page:
    """The lines and pieces of `(H, W)` ink in [0, 1], until there are too many for one page."""
    numbers, lines, count = np.zeros(ink.shape, np.int32), [], 0
    for parts in _lines(_components(ink)):
        tallest = max(part.height for part in parts)
        height = float(np.median([p.height for p in parts if p.height >= LAYOUT.small * tallest]))
        parts = [
            p for p in parts if p.height >= LAYOUT.small * height or p.width <= LAYOUT.rule * height
        ]
        slant = _slant(parts)
        pieces = _number(_cut_all(parts, slant, height), slant, numbers, count)
        lines.append(Line(pieces, height, slant))
        count += len(pieces)
        if count > CUTTING.most_on_page:
            break
    return Page(_with_soft_edges(numbers, ink), tuple(lines), stroke_width(ink))


def around(run: tuple[Piece, ...]) -> tuple[int, int, int, int]:
    """The box around pieces: left, top, right, bottom."""
    lefts, tops, rights, bottoms = zip(*(piece.box for piece in run), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def cut_again(page: Page, ink: np.ndarray, line: Line, start: int, stop: int, lean: float) -> Page:
    """Neighbouring pieces of a line alone, cut anew along another slant than the line's.

    A 7 and a 4 part along another slant than a 1 and a 4.

    Args:
        page: what `find_pieces` has found in this ink.
        ink: `(H, W)` in [0, 1].
        line: one of the page's lines.
        start: the first piece.
        stop: one past the last.
        lean: pixels to the left per pixel downwards, added to the line's slant.
    """
    run = line.pieces[start:stop]
    left, top, right, bottom = around(run)
    margin = CUTTING.soft_edge + round(
        page.pen
    )  # with the ink on the other side of the cuts at its ends
    left, top = max(left - margin, 0), max(top - margin, 0)
    part = np.s_[top : bottom + margin, left : right + margin]
    before = page.numbers[part]
    inside = (before >= run[0].number) & (before <= run[-1].number)
    own = np.where(inside, ink[part], 0)
    numbers, slant = np.zeros(own.shape, np.int32), line.slant + lean
    cuts = _cut_all(_components(own), slant, line.height)
    pieces = [_moved(piece, left, top, slant) for piece in _number(cuts, slant, numbers, 0)]
    pieces[0] = dataclasses.replace(pieces[0], cut=run[0].cut)
    other = (before > 0) & ~inside
    whole = np.zeros(ink.shape, np.int32)
    whole[part] = np.where(other, len(pieces) + 1, _with_soft_edges(numbers, own))
    is_part = line.is_part or len(run) < len(line.pieces)
    cut = line.pieces[stop].cut if stop < len(line.pieces) else line.cut
    return Page(whole, (Line(tuple(pieces), line.height, slant, is_part, cut),), page.pen)


def _moved(piece: Piece, left: int, top: int, slant: float) -> Piece:
    """The piece as it lies on a page of which its part begins there."""
    x, y, right, bottom = piece.box
    box = x + left, y + top, right + left, bottom + top
    along = left + slant * top
    return Piece(piece.number, box, piece.start + along, piece.end + along, piece.cut)


def _with_soft_edges(numbers: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Give faint ink to the nearest piece, so that its frame has the stroke's full width."""
    ground = (numbers == 0).astype(np.uint8)
    if ground.all():
        return numbers
    distance, nearest = cv2.distanceTransformWithLabels(
        ground, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number_of = np.zeros(nearest.max() + 1, np.int32)
    number_of[nearest[ground == 0]] = numbers[ground == 0]
    soft = (ink > 0) & (ink <= INKED) & (distance <= CUTTING.soft_edge)
    return np.where(soft, number_of[nearest], numbers)


def _components(ink: np.ndarray) -> list[_Part]:
    mask = (ink > INKED).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    parts = []
    for label in range(1, count):
        left, top, width, height, _ = stats[label]
        rows, columns = np.nonzero(labels[top : top + height, left : left + width] == label)
        parts.append(_Part(columns + left, rows + top))
    return parts


def _lines(parts: list[_Part]) -> list[list[_Part]]:
    """Parts in lines from top to bottom. Specks are left out."""
    boxes = np.array([part.box for part in parts]).reshape(-1, 4)
    owners = _owners(boxes)
    tall = np.flatnonzero(owners == np.arange(len(parts)))
    line_of = dict(zip(tall, _line_numbers(boxes[tall]), strict=True))
    lines: dict[int, list[int]] = {}
    for index, owner in enumerate(owners):
        size = (boxes[index, 2:] - boxes[index, :2]).max()
        if owner == index or size > LAYOUT.speck * (boxes[owner, 3] - boxes[owner, 1]):
            lines.setdefault(line_of[owner], []).append(index)
    middles = boxes[:, 1] + boxes[:, 3]
    ordered = sorted(lines.values(), key=lambda line: middles[line].mean())
    return [[parts[index] for index in line] for line in ordered]


def _owners(boxes: np.ndarray) -> np.ndarray:
    """For each part the tall part that it is small beside, or itself if it is tall."""
    owners = np.arange(len(boxes))
    heights = boxes[:, 3] - boxes[:, 1]
    tall = np.zeros((0, 4), int)
    for index in np.argsort(-heights, kind="stable"):
        left, top, right, bottom = boxes[index]
        height = tall[:, 3] - tall[:, 1]
        aside = np.maximum(np.maximum(tall[:, 0] - right, left - tall[:, 2]), 0) / height
        above = np.maximum(np.maximum(tall[:, 1] - bottom, top - tall[:, 3]), 0) / height
        small = (
            (heights[index] < LAYOUT.small * height)
            & (aside < LAYOUT.beside)
            & (above < LAYOUT.above)
        )
        if small.any():
            distance = np.where(small, aside + above, np.inf)
            owners[index] = np.flatnonzero((boxes == tall[distance.argmin()]).all(1))[0]
        else:
            tall = np.vstack([tall, boxes[index]])
    return owners


def _line_numbers(boxes: np.ndarray) -> np.ndarray:
    """The line of each box. A box joins the line of the nearest one on its left at its height.

    The nearest one, because a line may climb or fall: its far ends need not be at one height.
    """
    numbers = np.arange(len(boxes))
    for index in np.argsort(boxes[:, 0], kind="stable"):
        left, top, _, bottom = boxes[index]
        overlap = np.minimum(bottom, boxes[:, 3]) - np.maximum(top, boxes[:, 1])
        lower = np.minimum(bottom - top, boxes[:, 3] - boxes[:, 1])
        earlier = (boxes[:, 0] < left) | ((boxes[:, 0] == left) & (np.arange(len(boxes)) < index))
        beside = np.flatnonzero(earlier & (overlap >= LAYOUT.same_line * lower))
        if len(beside):
            nearest = beside[boxes[beside, 2].argmax()]
            numbers[numbers == numbers[index]] = numbers[nearest]
    return numbers


def _cut_all(parts: list[_Part], slant: float, height: float) -> list[tuple[_Part, float]]:
    """The pieces of a line from left to right, each with the strokes that were cut on its left."""
    groups = _groups(parts, slant, height)
    cuts = [piece for group in groups for piece in _cut(group, slant, height)]
    return sorted(cuts, key=lambda piece: np.median(piece[0].across(slant)))


def _number(
    cuts: list[tuple[_Part, float]], slant: float, numbers: np.ndarray, before: int
) -> tuple[Piece, ...]:
    """The pieces, with their pixels numbered in `numbers` from `before + 1` on."""
    pieces = []
    for number, (part, cut) in enumerate(cuts, start=before + 1):
        numbers[part.y, part.x] = number
        across = part.across(slant)
        pieces.append(Piece(number, part.box, across.min(), across.max() + 1, cut))
    return tuple(pieces)


def _slant(parts: list[_Part]) -> float:
    """The shear that stands the line's strokes upright: its columns are then fullest.

    Fullness is the sum of the squared projection, which grows when columns are full or empty.
    """
    x, y = (np.concatenate([getattr(part, axis) for part in parts]) for axis in "xy")
    counts = [np.bincount((x + s * y - (x + s * y).min()).astype(int)) for s in SLANTS]
    fullness = [(count.astype(float) ** 2).sum() for count in counts]
    # A slant must be seen clearly: without one in particular, upright wins.
    return float(SLANTS[np.argmax(np.array(fullness) * (1 - 0.2 * np.abs(SLANTS)))])


def _groups(parts: list[_Part], slant: float, height: float) -> list[_Part]:
    """Join what lies over each other: a hat and its 5, the halves of a broken stroke."""
    groups: list[_Part] = []
    for part in sorted(parts, key=lambda part: -part.height):
        home = next((g for g in groups if _over_each_other(part, g, slant, height)), None)
        if home is None:
            groups.append(part)
        else:
            joined = np.concatenate([home.x, part.x]), np.concatenate([home.y, part.y])
            groups[groups.index(home)] = _Part(*joined)
    return groups


def _over_each_other(part: _Part, group: _Part, slant: float, height: float) -> bool:
    a, b = part.across(slant), group.across(slant)
    overlap = min(a.max(), b.max()) + 1 - max(a.min(), b.min())
    share = overlap / min(np.ptp(a) + 1, np.ptp(b) + 1)
    if part.height < LAYOUT.small * height:
        return bool(share >= LAYOUT.within)
    # Two tall parts side by side under one roof (a 1 under a 7's bar) are two digits.
    shared_rows = min(part.box[3], group.box[3]) - max(part.box[1], group.box[1])
    return share >= LAYOUT.stacked and shared_rows < LAYOUT.same_line * part.height


def _cut(group: _Part, slant: float, height: float) -> list[tuple[_Part, float]]:
    """The pieces of a group, each with the strokes that were cut on its left."""
    across = group.across(slant)
    if np.ptp(across) + 1 <= CUTTING.narrow * height:
        return [(group, 0.0)]
    scale = CUTTING.raster / group.height
    # The group upright and `CUTTING.raster` pixels high.
    left, top = across.min(), group.y.min()
    raster = _raster(group, slant, scale)
    if stroke_width(raster) > CUTTING.raster / 2:
        return [(group, 0.0)]  # a flat stroke, a minus: not two digits however long
    seams, strokes = _seams(raster, CUTTING.apart * height * scale)
    row = np.minimum((group.y - top) * scale, CUTTING.raster - 1).astype(int)
    place = np.zeros(len(group.x), int)
    for seam in seams:
        place += (across - left) * scale >= seam[row]
    return _pieces(group, place, strokes, CUTTING.least_area * height**2)


def _pieces(
    group: _Part, place: np.ndarray, strokes: list[float], least: float
) -> list[tuple[_Part, float]]:
    pieces, start = [], 0
    for seam in range(len(strokes) + 1):
        rest = (place > seam).sum()
        chosen = (place >= start) & (place <= seam)
        if chosen.sum() < least or 0 < rest < least:
            continue
        pieces.append((_Part(group.x[chosen], group.y[chosen]), strokes[start - 1] if start else 0))
        start = seam + 1
    return pieces or [(group, 0.0)]


def _raster(group: _Part, slant: float, scale: float) -> np.ndarray:
    left, top, right, bottom = group.box
    mask = np.zeros((bottom - top, right - left), np.float32)
    mask[group.y - top, group.x - left] = 1
    start = group.across(slant).min()
    # From the mask's pixels to the raster's: x + slant · y, less the first, times scale.
    shift = left + slant * top - start
    matrix = np.array([[scale, scale * slant, scale * shift], [0, scale, 0]])
    width = int(np.ceil((np.ptp(group.across(slant)) + 1) * scale))
    return cv2.warpAffine(mask, matrix, (width, CUTTING.raster))


def _seams(raster: np.ndarray, apart: float) -> tuple[list[np.ndarray], list[float]]:
    """Cheap ways through the ink from top to bottom, from left to right.

    A seam may step one pixel aside in every row, so it follows the gap between two digits that
    lean over each other, and crosses the ink where it is thin, like the drop that falls between
    two digits in Congedo et al. 1995, but by the best way instead of the next.

    Returns:
        seams: `(H,)` columns each.
        strokes: how many stroke widths of ink each crosses.
    """
    (down, up), (steps_up, steps_down) = _cheapest(np.stack([raster, raster[::-1]]))
    cost = (down + up[::-1] - raster) / stroke_width(raster)  # of the best seam through each pixel
    seams: list[np.ndarray] = []
    strokes: list[float] = []
    columns = range(round(apart / 2), round(raster.shape[1] - apart / 2))
    points = [(cost[row, column], row, column) for row in CUTTING.through for column in columns]
    for crossed, row, column in sorted(points):
        near = any(abs(column - seam[row]) < apart for seam in seams)
        if crossed <= CUTTING.most_strokes and not near:
            seams.append(_trace(steps_up, steps_down, row, column))
            strokes.append(float(crossed))
    order = np.argsort([seam.mean() for seam in seams], kind="stable")
    # Where seams cross, the right one follows the left one.
    ordered = list(itertools.accumulate((seams[index] for index in order), np.maximum))
    return ordered, [strokes[index] for index in order]


def _cheapest(rasters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ink on the cheapest way from the first row to each pixel, and the steps back.

    For several rasters `(n, H, W)` at once.
    """
    total, steps = rasters.copy(), np.zeros(rasters.shape, int)
    above = np.full((len(rasters), rasters.shape[2] + 2), np.inf, np.float32)
    for row in range(1, CUTTING.raster):
        above[:, 1:-1] = total[:, row - 1]
        straight, left, right = (
            above[:, 1:-1],
            above[:, :-2] + CUTTING.bend,
            above[:, 2:] + CUTTING.bend,
        )
        ways = np.stack([straight, left, right])
        steps[:, row] = np.array([0, -1, 1])[ways.argmin(0)]
        total[:, row] += ways.min(0)
    return total, steps


def _trace(steps_up: np.ndarray, steps_down: np.ndarray, row: int, column: int) -> np.ndarray:
    """The best seam through a pixel."""
    seam = np.full(CUTTING.raster, column)
    for above in range(row - 1, -1, -1):
        seam[above] = seam[above + 1] + steps_up[above + 1, seam[above + 1]]
    for below in range(row + 1, CUTTING.raster):
        seam[below] = seam[below - 1] + steps_down[CUTTING.raster - below, seam[below - 1]]
    return seam
