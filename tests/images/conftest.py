"""A fixture for tests of files that must be refused by their header."""

import cv2
import pytest
import simplejpeg
from PIL import Image, ImageFile


@pytest.fixture
def no_decoder(monkeypatch):
    """Let the test fail if a decoder is asked for pixels."""

    def decoded(*args, **options):
        pytest.fail("a decoder was called")

    monkeypatch.setattr(cv2, "imdecode", decoded)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", decoded)
    for image in (Image.Image, ImageFile.ImageFile):
        monkeypatch.setattr(image, "load", decoded)
