"""Figures of a fit: all four are written whole, whatever is missing in the fit."""

import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import mfm
from mfm.models.fic import EI_RATIO, FIC
from optim.fit.result import StageScore
from optim.report.figures import _by_region, _hemisphere, write_figures
from optim.search.run import Generation

NAMES = ["fc.png", "fcd_cdf.png", "ei_ratio.png", "convergence.png"]


def statistics(n_regions: int, seed: int):
    """FC and FCD CDF of noise with a common part."""
    generator = torch.Generator().manual_seed(seed)
    shape = (120, n_regions)
    bold = torch.randn(shape, generator=generator) + torch.randn((shape[0], 1), generator=generator)
    return mfm.functional_connectivity(bold), mfm.fcd_cdf(bold.double(), window_frames=20, n_bins=200, n_threads=1)


def values(*terms) -> mfm.CostValues:
    return mfm.CostValues(dict(zip(mfm.Cost.TERMS, terms, strict=True)))


def generations(start: int, n: int, empty: tuple[int, ...] = ()) -> list[Generation]:
    """Rows of a trace; no candidate was within range in the `empty` ones."""
    rows = []
    for g in range(n):
        best = float("nan") if g in empty else 1 / (g + 1)
        share = 0.0 if g in empty else 0.5
        rows.append(Generation(start, g, values(best / 3, best / 3, best / 3), 2.0, 0.2 * 0.9**g, share, 8, 1.0))
    return rows


def fake_fit(labels=None, trace=None, in_range=True, diverged=False, n_repeats=3):
    """What the figures read of a FitResult."""
    labels = tuple(labels or (f"ctx-{side}-{k}" for side in ("lh", "rh") for k in range(5)))
    fc, cdf = statistics(len(labels), 1)
    fc_sim, cdf_sim = statistics(len(labels), 2)
    ratio = torch.linspace(0.8, 1.4, len(labels), dtype=torch.float64)
    terms = (0.4, 0.1, 0.2)
    if diverged:
        fc_sim, cdf_sim, ratio = (torch.full_like(x, float("nan")) for x in (fc_sim, cdf_sim, ratio))
        terms = (float("nan"),) * 3
    return SimpleNamespace(
        subject=SimpleNamespace(subject_id="01", labels=labels, test=SimpleNamespace(target=mfm.Target(fc, cdf, labels))),
        test=SimpleNamespace(fc=fc_sim[None], fcd_cdf=cdf_sim[None]),
        model=FIC,
        ei_ratio=ratio,
        stages=(
            StageScore("search", values(0.3, 0.1, 0.1), n_repeats, 80, True, 0.006),
            StageScore("validation", values(0.4, 0.1, 0.1), n_repeats, 5, in_range, 0.006),
            StageScore("test", values(*terms), n_repeats, 1, in_range, 0.0005),
        ),
        trace=tuple(generations(0, 6) if trace is None else trace),
        in_range=in_range,
    )


def size_of_png(path) -> tuple[int, int]:
    """Width and height, of a file that begins and ends as a PNG."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content[-8:-4] == b"IEND"
    return struct.unpack(">II", content[16:24])


def draw(result, path) -> list[tuple[int, int]]:
    """Sizes of the figures, all four of them and nothing else."""
    files = write_figures(result, SimpleNamespace(path=path))
    assert files == [path / "figures" / name for name in NAMES]
    assert sorted(file.name for file in (path / "figures").iterdir()) == sorted(NAMES)
    return [size_of_png(file) for file in files]


def test_four_pngs_of_sensible_size_from_inputs_left_alone(tmp_path):
    result = fake_fit()
    arrays = (result.subject.test.target.fc, result.test.fc, result.test.fcd_cdf, result.ei_ratio)
    before = [array.clone() for array in arrays]
    for width, height in draw(result, tmp_path):
        assert 600 < width < 2500
        assert 300 < height < 2500
    assert all(torch.equal(array, copy) for array, copy in zip(arrays, before, strict=True))


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(lambda: fake_fit(trace=generations(0, 1), n_repeats=1, in_range=False), id="least of everything"),
        pytest.param(lambda: fake_fit(trace=generations(0, 8, empty=(0, 3, 4, 7))), id="generations without a winner"),
        pytest.param(lambda: fake_fit(trace=generations(0, 4) + generations(1, 4, empty=(0, 1, 2, 3))), id="one start in vain"),
        pytest.param(lambda: fake_fit(trace=[row for k in range(9) for row in generations(k, 3)]), id="nine starts"),
        pytest.param(lambda: fake_fit(in_range=False, diverged=True), id="diverged test"),
        pytest.param(lambda: fake_fit(labels=("a_$x^", "b_$_L", "c$_R", "$d^_$")), id="names like formulae"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_unusual_fits_are_drawn_without_a_warning(result, tmp_path):
    draw(result(), tmp_path)


def test_the_ei_figure_grows_with_the_regions():
    sizes = [_by_region(EI_RATIO, fake_fit(labels=[f"region-{k}" for k in range(n)])).get_size_inches() for n in (10, 40, 100)]
    assert sizes[0][1] < sizes[1][1]
    assert sizes[1][0] < sizes[2][0]
    assert all(height > 0.16 * rows for (_, height), rows in zip(sizes, (10, 40, 50), strict=True))


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("ctx-lh-bankssts", "left"),
        ("ctx_rh_entorhinal", "right"),
        ("17Networks_LH_DefaultA_PFCd_1", "left"),
        ("Precentral_R", "right"),
        ("L_V1_ROI", "left"),
        ("Right-Hippocampus", "right"),
        ("region-001", None),
        ("lingual", None),
        ("rhinal", None),
    ],
)
def test_hemisphere_by_name(name, side):
    assert _hemisphere(name) == side


def test_no_global_state_of_matplotlib(tmp_path):
    # pycma, which the types of a fit bring along, imports pyplot itself; so does reading rcParams["backend"], as == does.
    code = f"""
import sys, types
from pathlib import Path
import matplotlib
settings = matplotlib.rcParams.copy()
sys.modules["cma"] = types.ModuleType("cma")
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_figures import draw, fake_fit
draw(fake_fit(), Path({str(tmp_path)!r}))
assert "matplotlib.pyplot" not in sys.modules
assert dict.__eq__(matplotlib.rcParams, settings)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
