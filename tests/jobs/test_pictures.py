"""Pictures of parts: a PNG is the pixels it was made of, and a decision's are those that its words name."""

import io
import json
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs import fit_classifier
from jobs.parts.pictures import Drawing, PatchShape, png_of
from raypipe.contracts.estimator import VectorSet
from raypipe.report.page.cells import pictures
from tests.report.browser import CHROMIUM, Browser


def pixels_of(png: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(b64decode(png))))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 1), (4, 2, 3)])
def test_a_png_holds_its_pixels(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    read = pixels_of(b64encode(png_of(pixels)).decode())
    np.testing.assert_array_equal(read.reshape(shape), pixels)


def test_black_is_the_least_number_that_was_learned_from_and_white_the_largest():
    sets = np.empty(2, object)
    sets[:] = [VectorSet(np.array([[-1.0, 0, 0.5, 1, 99]])), VectorSet(np.array([[0.0, 0, 3, 0, -99], [0] * 5]))]
    drawing = Drawing.of(PatchShape.of("2x2"), sets)  # what stands behind the patch is no shade
    np.testing.assert_array_equal(pixels_of(drawing.png(np.array([-1.0, 3, 1, 7, 0]))), [[0, 255], [128, 255]])


@pytest.mark.parametrize("words", ["7", "7x", "x", "0x3", "7x7x2", "7x7x3x1", "65x1", "-1x2", "a x b"])
def test_what_is_no_shape_is_refused(words):
    with pytest.raises(ValueError, match=f"patch must be HEIGHTxWIDTH.* such as 7x7; got '{words}'"):
        PatchShape.of(words)


@pytest.fixture
def config(tmp_path: Path) -> fit_classifier.Config:
    """Images of three patches of 2 x 2 with their place, of a class by where a patch is bright."""
    rng, rows = np.random.default_rng(0), []
    for at in range(36):
        parts = rng.uniform(0, 0.2, (3, 5))
        parts[:, 4] = [0, 1, 2]
        parts[0, at % 2 : at % 2 + 2] = 1
        rows.append({"parts": parts.tolist(), "label": ("left", "right")[at % 2]})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return fit_classifier.Config(
        rows=(f"{tmp_path}/rows.jsonl",), columns=("parts",), method="st-protopnet", folds=2, output=f"{tmp_path}/run",
        set=("n_prototypes=1", "n_epochs=1", "hidden=8", "n_dimensions=4"), patch="2x2",
    )  # fmt: skip


def test_the_report_draws_the_parts_that_a_decision_names_beside_its_words(config):
    assert fit_classifier.main(config) == 0
    found = json.loads(Path(f"{config.output}/classifier/evaluation.json").read_text())["decisions"]
    assert [one["row"] for one in found] == ["3 vectors"] * 4
    for one in found:
        lines = one["why"].split("; ")
        assert len(lines) == len(one["pictures"])
        for line, drawn in zip(lines, one["pictures"], strict=True):
            named = f"vector {drawn['part']} is {drawn['cosine']:.2f} like vector {drawn['place']} of training row"
            assert line.startswith(f"{named} {drawn['row']} ")
            assert pixels_of(drawn["own"]).shape == pixels_of(drawn["like"]).shape == (2, 2)
    page = Path(f"{config.output}/report.html").read_text()
    sources = re.findall('<img src="data:image/png;base64,([^"]+)"', page)
    assert sources == [drawn[side] for one in found for drawn in one["pictures"] for side in ("own", "like")]
    assert "img-src data:;" in page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium isn't installed (Debian: apt-get install chromium).")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_draws_them_fetches_nothing_and_has_room_for_them(config, width):
    assert fit_classifier.main(config) == 0
    with Browser() as browser:
        browser.resize(width)
        browser.open(Path(f"{config.output}/report.html"))
        assert set(browser.evaluate("[...document.images].map(one => one.naturalWidth)")) == {2}
        assert set(browser.evaluate("[...document.images].map(one => one.getBoundingClientRect().width)")) == {44}
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        asked = [one["request"]["url"].partition(":")[0] for one in browser.named("Network.requestWillBeSent")]
        assert set(asked) <= {"file", "data"}
        assert browser.named("Log.entryAdded") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "nearest-centroid", "set": ()}, "on a column of lists .* got '2x2' with --method nearest-centroid"),
        ({"columns": ("text",)}, "patch is for pictures of --method st-protopnet on a column of lists of patches"),
        ({"patch": "3x3"}, "patch must fit into a vector: 3x3x1 are 9 numbers, vectors have 5"),
    ],
)
def test_pictures_that_cannot_be_drawn_are_refused(config, changes, said):
    with pytest.raises(ValueError, match=said):
        fit_classifier.main(replace(config, **changes))
    assert not Path(f"{config.output}/classifier/evaluation.json").exists()


@pytest.mark.parametrize("wrong", ['"><script>', "bm90IGEgcG5n"])
def test_what_is_no_png_does_not_come_into_a_page(wrong):
    png = b64encode(png_of(np.zeros((1, 1, 1), np.uint8))).decode()
    assert "<img" in pictures([(png, png, "1.00")])
    with pytest.raises(ValueError):
        pictures([(png, wrong, "1.00")])
