"""A small collection of painted photos and their copies, for the tests of the library.

Each of five photos is a JPEG file and a half-size PNG file; of the first there is a copy of equal
bytes, too.
"""

import os

from make_sample import encode, photo

N_PHOTOS = 5


def paint(folder):
    folder.mkdir(parents=True)
    for seed in range(N_PHOTOS):
        picture = photo(seed, 320, 240)
        (folder / f"p{seed}.jpg").write_bytes(encode(picture, ".jpg"))
        (folder / f"q{seed}.png").write_bytes(encode(picture[::2, ::2], ".png"))
    (folder / "copy.jpg").write_bytes((folder / "p0.jpg").read_bytes())
    os.utime(folder / "p0.jpg", (1_600_000_000, 1_600_000_000))
    return folder
