"""Paint pairs of pictures that look alike but differ in what matters, by kind.

Each kind is a function of a random generator and returns two RGB pictures: an invoice with another
digit, an X-ray with another label, a stripe of another colour. `KINDS` holds them by name.
"""

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def write(picture, words, place, size=0.5, colour=BLACK, weight=1):
    cv2.putText(picture, words, place, FONT, size, colour, weight, cv2.LINE_AA)


def paper(height, width, colour=WHITE):
    return np.full((height, width, 3), colour, np.uint8)


def scene(rng, height=480, width=640):
    """A picture with the smooth and the fine detail of a photo."""
    picture = np.zeros((height, width, 3))
    for cells, strength in ((4, 90), (12, 45), (40, 25), (120, 14)):
        grid = rng.normal(0, 1, (cells * height // width + 1, cells, 3))
        grid += 1.5 * rng.normal(0, 1, (*grid.shape[:2], 1))
        picture += strength * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 1.8
    return np.clip(picture + 120, 0, 255).astype(np.uint8)


def noisy(rng, picture, deviation):
    noise = rng.normal(0, deviation, picture.shape[:2])[..., None]
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def two_digits(rng):
    a, b = rng.choice(10, 2, replace=False)
    return str(a), str(b)


def price_tag(rng):
    return tuple(_tag(d) for d in two_digits(rng))


def _tag(digit):
    picture = paper(300, 400)
    write(picture, f"1{digit}.99", (60, 190), 3.0, (200, 20, 20), 6)
    return picture


def form_entry(rng):
    words = rng.integers(100, 1000, 30)
    return tuple(_form(words, d) for d in two_digits(rng))


def _form(words, digit):
    picture = paper(900, 640, (250, 250, 250))
    for i, word in enumerate(words):
        cv2.rectangle(picture, (150, 20 + 28 * i), (600, 42 + 28 * i), BLACK, 1)
        write(picture, f"field {word}", (10, 36 + 28 * i), 0.4)
        write(picture, f"{word}{digit if i == 17 else 0}", (160, 36 + 28 * i), 0.4)
    return picture


def small_print(rng):
    lines = rng.integers(10, 99, (40, 12))
    return tuple(_print(lines, d) for d in two_digits(rng))


def _print(lines, digit):
    picture = paper(1000, 700)
    for i, numbers in enumerate(lines):
        words = " ".join(map(str, numbers))
        write(picture, words + (f" 4{digit}" if i == 20 else " 40"), (30, 30 + 24 * i), 0.35)
    return picture


def gray_print(rng):
    return tuple(_faint(d) for d in two_digits(rng))


def _faint(digit):
    picture = paper(400, 500)
    cv2.rectangle(picture, (0, 0), (500, 60), (40, 60, 120), -1)
    write(picture, f"total 10{digit}", (60, 200), 0.5, (170, 170, 170))
    write(picture, "thank you", (60, 300), 0.8)
    return picture


def xray(rng):
    body = cv2.GaussianBlur(noisy(rng, paper(512, 512, (30, 30, 30)), 5), (0, 0), 2)
    cv2.ellipse(body, (256, 256), (150, 200), 0, 0, 360, (150, 150, 150), -1)
    body = cv2.GaussianBlur(body, (0, 0), 20)
    pair = []
    for label in "LR":
        picture = body.copy()
        write(picture, label, (30, 50), 0.8, (230, 230, 230), 2)
        pair.append(noisy(rng, picture, 6))
    return tuple(pair)


def barcode(rng):
    pair = []
    for _ in range(2):
        picture = paper(300, 500)
        for x in range(40, 460, 4):
            if rng.random() < 0.5:
                cv2.rectangle(picture, (x, 40), (x + 3, 260), BLACK, -1)
        pair.append(picture)
    return tuple(pair)


def barcode_one_bar(rng):
    first = barcode(rng)[0]
    second = first.copy()
    x = 40 + 4 * int(rng.integers(100))
    second[40:260, x : x + 4] = 255 - second[40:260, x : x + 4]
    return first, second


def qr_code(rng):
    cells = rng.integers(0, 2, (29, 29)).astype(np.uint8) * 255
    other = cells.copy()
    for _ in range(12):
        y, x = rng.integers(8, 29, 2)
        other[y, x] = 255 - other[y, x]
    return tuple(_enlarged(c, 12) for c in (cells, other))


def _enlarged(cells, factor):
    size = (cells.shape[1] * factor, cells.shape[0] * factor)
    large = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST)
    return np.repeat(large[..., None], 3, axis=2) if large.ndim == 2 else large


def gradient(rng):
    pair = []
    for _ in range(2):
        ends = rng.integers(0, 256, (2, 1, 3)).astype(np.float64)
        share = np.linspace(0, 1, 500)[None, :, None]
        row = ends[0] * (1 - share) + ends[1] * share
        pair.append(np.repeat(row, 400, axis=0).astype(np.uint8))
    return tuple(pair)


def gray_gradient(rng):
    pair = []
    for _ in range(2):
        low, high = np.sort(rng.integers(0, 256, 2))
        row = np.linspace(low, high, 500).astype(np.uint8)
        pair.append(np.repeat(np.repeat(row[None, :, None], 400, axis=0), 3, axis=2))
    return tuple(pair)


def stripes(rng):
    period = int(rng.integers(8, 40))
    return tuple(_striped(period + d, rng.integers(0, 256, (2, 3))) for d in (0, 1))


def striped_colours(rng):
    period = int(rng.integers(8, 40))
    return tuple(_striped(period, rng.integers(0, 256, (2, 3))) for _ in range(2))


def _striped(period, colours):
    phase = (np.arange(500) // period) % 2
    return np.repeat(colours[phase][None].astype(np.uint8), 400, axis=0)


def flag(rng):
    pair = []
    for _ in range(2):
        rows = np.repeat(rng.integers(0, 256, (3, 1, 3)), 100, axis=0)
        pair.append(np.repeat(rows, 450, axis=1).astype(np.uint8))
    return tuple(pair)


def flag_one_band(rng):
    first = flag(rng)[0]
    second = first.copy()
    second[100:200] = rng.integers(0, 256, 3)
    return first, second


def swatch(rng):
    colour = rng.integers(20, 236, 3)
    return paper(300, 300, colour), paper(300, 300, colour + rng.choice([-12, 12], 3))


def sprite(rng):
    cells = rng.integers(0, 4, (16, 16))
    other = cells.copy()
    for _ in range(4):
        y, x = rng.integers(0, 16, 2)
        other[y, x] = (other[y, x] + 1) % 4
    palette = rng.integers(0, 256, (4, 3)).astype(np.uint8)
    return tuple(_enlarged(palette[c], 24) for c in (cells, other))


def palette_swap(rng):
    cells = rng.integers(0, 4, (16, 16))
    return tuple(
        _enlarged(rng.integers(0, 256, (4, 3)).astype(np.uint8)[cells], 24) for _ in range(2)
    )


def screenshot(rng):
    return tuple(_window(d) for d in two_digits(rng))


def _window(digit):
    picture = paper(720, 1024, (240, 240, 245))
    cv2.rectangle(picture, (0, 0), (1024, 40), (60, 60, 70), -1)
    for i in range(8):
        cv2.rectangle(picture, (20, 60 + 80 * i), (240, 120 + 80 * i), (210, 215, 225), -1)
        write(picture, f"item {i}", (40, 95 + 80 * i), 0.5, (80, 80, 80))
    write(picture, f"balance 1{digit}07.20", (400, 300), 0.5, (30, 30, 30))
    return picture


def map_route(rng):
    streets = rng.integers(0, 600, (30, 4))
    pair = []
    for _ in range(2):
        picture = paper(600, 600, (235, 230, 220))
        for x, y, u, v in streets.tolist():
            cv2.line(picture, (x, y), (u, v), (255, 255, 255), 5)
        x, y = rng.integers(50, 550, 2).tolist()
        cv2.circle(picture, (x, y), 8, (200, 30, 30), -1)
        pair.append(picture)
    return tuple(pair)


def plot_curve(rng):
    pair = []
    for _ in range(2):
        picture = paper(480, 640)
        for i in range(10):
            cv2.line(picture, (60, 40 + 40 * i), (600, 40 + 40 * i), (220, 220, 220), 1)
            write(picture, str(10 - i), (30, 45 + 40 * i), 0.4)
        heights = 220 + np.cumsum(rng.normal(0, 12, 55))
        points = np.stack([60 + 10 * np.arange(55), heights], axis=1).astype(np.int32)
        cv2.polylines(picture, [points], False, (30, 90, 200), 2, cv2.LINE_AA)
        pair.append(picture)
    return tuple(pair)


def time_stamp(rng):
    photo = scene(rng)
    pair = []
    for digit in two_digits(rng):
        picture = photo.copy()
        write(picture, f"2024-05-1{digit} 03:02", (430, 465), 0.5, (255, 160, 0))
        pair.append(picture)
    return tuple(pair)


def white_stamp(rng):
    photo = scene(rng)
    pair = []
    for digit in two_digits(rng):
        picture = photo.copy()
        write(picture, f"CAM1 12:0{digit}", (10, 20), 0.4, WHITE)
        pair.append(noisy(rng, picture, 4))
    return tuple(pair)


def moved_object(rng):
    photo = scene(rng)
    pair = []
    for _ in range(2):
        picture = photo.copy()
        x, y = rng.integers(40, 440, 2).tolist()
        cv2.ellipse(picture, (x, y), (6, 12), 0, 0, 360, (40, 40, 50), -1, cv2.LINE_AA)
        pair.append(noisy(rng, picture, 5))
    return tuple(pair)


def other_face(rng):
    photo = scene(rng)
    pair = []
    for _ in range(2):
        picture = photo.copy()
        cv2.ellipse(picture, (320, 200), (22, 28), 0, 0, 360, (220, 180, 150), -1, cv2.LINE_AA)
        for x in (311, 329):
            cv2.circle(picture, (x, 193), int(rng.integers(2, 5)), (40, 30, 30), -1, cv2.LINE_AA)
        bend = int(rng.integers(-6, 7))
        cv2.ellipse(picture, (320, 213), (9, abs(bend) + 1), 0, 0, 180, (150, 40, 40), 2)
        pair.append(picture)
    return tuple(pair)


def shirt(rng):
    return tuple(_shirt(rng.integers(0, 256, 3).tolist()) for _ in range(2))


def gray_shirt(rng):
    first, second = rng.choice(np.arange(40, 230, 25), 2, replace=False).tolist()
    return _shirt([first] * 3), _shirt([second] * 3)


def _shirt(colour):
    picture = paper(400, 400)
    points = np.array([[100, 80], [300, 80], [370, 160], [320, 200], [290, 170], [290, 360]])
    mirrored = np.stack([400 - points[::-1, 0], points[::-1, 1]], axis=1)
    shape = [np.concatenate([points[1:], mirrored[:-1]]).astype(np.int32)]
    cv2.fillPoly(picture, shape, colour)
    cv2.polylines(picture, shape, True, BLACK, 2)
    return picture


def shaded_shirt(rng):
    shade = cv2.GaussianBlur(rng.normal(0, 1, (400, 400)), (0, 0), 15)
    shade = 1 + 0.15 * shade / shade.std()
    pair = []
    for _ in range(2):
        picture = _shirt(rng.integers(40, 216, 3).tolist()).astype(np.float64)
        inside = picture.min(axis=2) < 250
        picture[inside] *= shade[inside][:, None]
        pair.append(np.clip(picture, 0, 255).astype(np.uint8))
    return tuple(pair)


def recoloured_car(rng):
    photo = scene(rng)
    pair = []
    for _ in range(2):
        picture = photo.copy()
        colour = rng.integers(30, 226, 3).tolist()
        cv2.ellipse(picture, (320, 260), (90, 40), 0, 0, 360, colour, -1, cv2.LINE_AA)
        pair.append(picture)
    return tuple(pair)


def chess(rng):
    board = (np.add.outer(np.arange(8), np.arange(8)) % 2 * 80 + 140).astype(np.uint8)
    pieces = rng.integers(0, 8, (14, 2))
    moved = pieces.copy()
    moved[3] = (moved[3] + [0, 1]) % 8
    pair = []
    for places in (pieces, moved):
        picture = _enlarged(board, 60)
        for i, (x, y) in enumerate(places.tolist()):
            colour = WHITE if i % 2 else BLACK
            cv2.circle(picture, (60 * x + 30, 60 * y + 30), 18, colour, -1, cv2.LINE_AA)
        pair.append(picture)
    return tuple(pair)


def sheet_music(rng):
    notes = rng.integers(0, 9, (5, 20))
    other = notes.copy()
    other[2, 10] = (other[2, 10] + 1) % 9
    return tuple(_music(n) for n in (notes, other))


def _music(notes):
    picture = paper(700, 700)
    for row, line in enumerate(notes):
        top = 60 + 130 * row
        for i in range(5):
            cv2.line(picture, (30, top + 10 * i), (670, top + 10 * i), BLACK, 1)
        for i, note in enumerate(line.tolist()):
            centre = (60 + 30 * i, top + 5 * note)
            cv2.ellipse(picture, centre, (6, 4), -20, 0, 360, BLACK, -1, cv2.LINE_AA)
            cv2.line(picture, (centre[0] + 5, centre[1]), (centre[0] + 5, centre[1] - 30), BLACK, 1)
    return picture


def circuit(rng):
    wires = rng.integers(2, 38, (25, 3)) * 15
    pair = []
    for gap in (0, 1):
        picture = paper(600, 600)
        for i, (x, y, length) in enumerate(wires.tolist()):
            end = x + length // 2
            cv2.line(picture, (x, y), (end, y), BLACK, 2)
            cv2.circle(picture, (x, y), 4, BLACK, -1)
            if i == 12 and gap:
                cv2.rectangle(picture, (x + 12, y - 6), (x + 30, y + 6), WHITE, -1)
                cv2.rectangle(picture, (x + 12, y - 6), (x + 30, y + 6), BLACK, 1)
        pair.append(picture)
    return tuple(pair)


def licence_plate(rng):
    photo = scene(rng)
    pair = []
    for digit in two_digits(rng):
        picture = photo.copy()
        cv2.rectangle(picture, (270, 300), (370, 325), (240, 240, 230), -1)
        write(picture, f"AB 12{digit}4", (275, 319), 0.55, BLACK, 2)
        pair.append(picture)
    return tuple(pair)


def thermometer(rng):
    first, second = rng.choice(20, 2, replace=False).tolist()
    pair = []
    for height in (first, second):
        picture = paper(500, 300)
        cv2.rectangle(picture, (140, 50), (160, 450), BLACK, 2)
        cv2.rectangle(picture, (142, 430 - 15 * height), (158, 448), (220, 30, 30), -1)
        pair.append(picture)
    return tuple(pair)


def traffic_light(rng):
    pair = []
    for lit in rng.choice(3, 2, replace=False).tolist():
        picture = scene(np.random.default_rng(5))
        cv2.rectangle(picture, (300, 150), (330, 240), (30, 30, 30), -1)
        colours = ((230, 40, 40), (230, 200, 40), (40, 220, 60))
        for i, colour in enumerate(colours):
            shown = colour if i == lit else (60, 60, 60)
            cv2.circle(picture, (315, 165 + 30 * i), 11, shown, -1, cv2.LINE_AA)
        pair.append(picture)
    return tuple(pair)


def similar_digit(rng):
    first, second = (("6", "8"), ("3", "8"), ("1", "7"), ("5", "6"))[int(rng.integers(4))]
    return tuple(_print(np.full((40, 12), 37), d) for d in (first, second))


def star_field(rng):
    stars = rng.integers(0, 500, (120, 2))
    pair = []
    for extra in (0, 1):
        picture = paper(500, 500, (8, 8, 14))
        for x, y in stars.tolist() + ([[250, 240]] if extra else []):
            cv2.circle(picture, (x, y), 2, (240, 240, 230), -1, cv2.LINE_AA)
        pair.append(noisy(rng, picture, 3))
    return tuple(pair)


def check_box(rng):
    answers = rng.integers(0, 2, 20)
    other = answers.copy()
    other[7] = 1 - other[7]
    pair = []
    for ticks in (answers, other):
        picture = paper(700, 500)
        for i, tick in enumerate(ticks.tolist()):
            top = 30 + 32 * i
            cv2.rectangle(picture, (30, top), (44, top + 14), BLACK, 1)
            write(picture, f"question number {i}", (60, top + 12), 0.45)
            if tick:
                cv2.line(picture, (32, top + 2), (42, top + 12), BLACK, 1)
                cv2.line(picture, (42, top + 2), (32, top + 12), BLACK, 1)
        pair.append(picture)
    return tuple(pair)


KINDS = {
    function.__name__.replace("_", " "): function
    for function in (
        *(price_tag, form_entry, small_print, gray_print, xray, barcode, barcode_one_bar, qr_code),
        *(gradient, gray_gradient, stripes, striped_colours, flag, flag_one_band, swatch, sprite),
        *(palette_swap, screenshot, map_route, plot_curve, time_stamp, white_stamp, moved_object),
        *(other_face, shirt, gray_shirt, shaded_shirt, recoloured_car, chess, sheet_music),
        *(circuit, licence_plate, thermometer, traffic_light, similar_digit, star_field),
        *(check_box,),
    )
}
