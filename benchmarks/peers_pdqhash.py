"""Do our PDQ hashes agree with those of the package ``pdqhash``?

    python benchmarks/peers_pdqhash.py --images DIR [--list FILE] [--reduced] [--write FILE]

Both see each picture of DIR in full colour, as OpenCV decodes it; ``--reduced`` lets ours see what
indexing sees. ``--list`` names the pictures: the first column of a file such as
``tests/pdqhash_frozen.txt``, which ``--write`` makes. The package must be built where it has no
wheel (a C++ compiler, ``pip install pdqhash``); without it, this prints a message and ends.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from imgdup.errors import ImageError
from imgdup.hashing import hash_pictures
from imgdup.images.decode import decode
from imgdup.search import to_hex
from imgdup.system.limits import Limits

try:
    import pdqhash
except ImportError:
    pdqhash = None

MIN_QUALITY = 50  # of pictures whose hashes are compared, as PDQ recommends
ENDINGS = {".jpg", ".jpeg", ".png"}
HEADER = """\
# PDQ hashes and qualities by the package pdqhash, from full-colour decodes by OpenCV {version}.
# Made by benchmarks/peers_pdqhash.py. Columns, by tabs: file below IMGDUP_DATA, hash, quality.
"""


def listed(folder, list_file):
    """Names of the pictures, relative to their folder."""
    if list_file is None:
        files = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
        return sorted(path.relative_to(folder).as_posix() for path in files)
    lines = list_file.read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines if line and not line.startswith("#")]


def theirs(data):
    """Hex text, as in public hash lists, and quality; None if OpenCV cannot decode."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    bits, quality = pdqhash.compute(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    return np.packbits(bits.astype(bool)).tobytes().hex(), int(quality)


def ours(data, full):
    """Our hash in hex; None if imgdup refuses the file."""
    try:
        gray = decode(data, Limits(), full=full).gray
    except ImageError:
        return None
    return to_hex(hash_pictures([gray], "pdq", 256))[0]


def compare(folder, names, full):
    """Return the results of pdqhash by name, with the distances of ours from them."""
    results, distances = {}, []
    for name in names:
        data = (folder / name).read_bytes()
        reference, result = theirs(data), ours(data, full)
        if reference is None or result is None:
            continue
        results[name] = reference
        if reference[1] >= MIN_QUALITY:
            distances.append((int(reference[0], 16) ^ int(result, 16)).bit_count())
    return results, np.array(distances, dtype=int)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--list", type=Path)
    parser.add_argument("--reduced", action="store_true")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if pdqhash is None:
        sys.exit("the package pdqhash is not installed: pip install pdqhash (needs a C++ compiler)")
    names = listed(options.images, options.list)
    results, distances = compare(options.images, names, not options.reduced)
    print(f"{len(results)} of {len(names)} pictures decoded by both, OpenCV {cv2.__version__}")
    print(f"{len(distances)} of quality {MIN_QUALITY} or more: mean {distances.mean():.2f} bits")
    for most in (0, 4, 16, 31):
        agree = int((distances <= most).sum())
        print(f"  within {most:2} bits: {agree} ({agree / len(distances):.2%})")
    if options.write:
        lines = [f"{name}\t{text}\t{quality}\n" for name, (text, quality) in results.items()]
        text = HEADER.format(version=cv2.__version__) + "".join(lines)
        options.write.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
