"""Does the observation make both sides alike? Twenty synthetic people with known parameters, their scans processed as labs do.

    python scripts/validate_observation.py [--people 20] [--out FILE]

For every person and every processing: the cost at the true parameters with the observation, without it (as if nothing had been
done to the recording), and the noise floor: one simulated scan against another, both processed alike. Printed are means over
people with standard errors, and the share of people whose cost with the observation lies within the spread of the floor.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import mfm
from mfm.demo import _positions, generate_connectome, generate_maps
from optim.search.space import SearchSpace

TR_S, N_FRAMES = 0.72, 1200
_FLOOR_SCANS = 8


def observations(rng: np.random.Generator) -> dict[str, mfm.Observation]:
    """The processings by name; a fifth of the frames is lost in bursts of 5 to 20."""
    kept = np.ones(N_FRAMES, dtype=bool)
    while kept.mean() > 0.8:
        first = rng.integers(N_FRAMES)
        kept[first : first + rng.integers(5, 21)] = False
    band = {"high_pass_hz": 0.01, "low_pass_hz": 0.08}
    return {
        "nothing": mfm.Observation(),
        "band-pass": mfm.Observation(**band),
        "band-pass, GSR": mfm.Observation(**band, global_signal="regressed"),
        "20 % deleted": mfm.Observation(kept=tuple(kept)),
        "20 % interpolated, band-pass": mfm.Observation(**band, kept=tuple(kept), censored="interpolated"),
        "all": mfm.Observation(**band, global_signal="regressed", kept=tuple(kept), noise_share=0.3),
        "30 % noise": mfm.Observation(noise_share=0.3),
    }


def person(number: int):
    """A connectome, one candidate that stays within range with a realistic mean FC, and its maps."""
    rng = np.random.default_rng(1000 + number)
    positions = _positions()
    sc, maps = generate_connectome(positions, rng), generate_maps(positions, rng)
    space = SearchSpace(mfm.MapParameterisation(maps))
    protocol = mfm.Protocol(TR_S, N_FRAMES, hemo_dt_s=0.03, scheme="exponential")
    while True:
        p = space.parameterisation.to_parameters(space.to_coefficients(space.draw(200, rng)))
        lin = mfm.linear_response(p, sc, protocol)
        mean = mfm.upper_triangle(lin.fc).mean(dim=1)
        good = torch.nonzero(lin.stable & (mean > 0.12) & (mean < 0.5))[:, 0].tolist()
        for k in good[:4]:
            if mfm.simulate(p[k], sc, protocol, 1, number).within_range.all():
                return sc, p[k], protocol


def costs(number: int) -> dict[str, dict[str, float]]:
    """Of one person: cost with the observation, without it, and the floor, by processing."""
    sc, p, protocol = person(number)
    sim = mfm.simulate(p, sc, protocol, 1 + _FLOOR_SCANS, seed=7919 + number)
    bold, found = sim.bold[0].double(), {}
    window = protocol.window_frames
    for name, observation in observations(np.random.default_rng(number)).items():
        kept = observation.frames_kept(N_FRAMES)

        def statistics(series, kept=kept):
            return mfm.functional_connectivity(series[..., kept, :]), mfm.fcd_cdf(series.float(), window, kept=kept)

        fc, cdf = statistics(observation.apply(bold, TR_S, seed=number))
        targets = [mfm.Target(fc[k], cdf[k]) for k in range(len(fc))]
        plain_fc, plain_cdf = mfm.functional_connectivity(bold), mfm.fcd_cdf(bold.float(), window)
        others = range(1, len(fc))
        with_it = [float(mfm.cost(fc[k], cdf[k], targets[0]).total) for k in others]
        without = [float(mfm.cost(plain_fc[k], plain_cdf[k], targets[0]).total) for k in others]
        floor = [float(mfm.cost(fc[k], cdf[k], targets[j]).total) for k in others for j in others if j < k]
        found[name] = {"with": np.mean(with_it), "without": np.mean(without), "floor": np.mean(floor), "sd": np.std(floor)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    people = []
    for number in range(args.people):
        people.append(costs(number))
        print(f"person {number + 1} of {args.people}", flush=True)
    print(f"{'processing':<30}{'with':>16}{'floor':>16}{'without':>16}{'within 2 SD of the floor':>26}")
    for name in people[0]:
        table = {key: np.array([each[name][key] for each in people]) for key in ("with", "floor", "without", "sd")}
        cells = [f"{v.mean():.3f} +- {v.std() / len(v) ** 0.5:.3f}" for v in (table["with"], table["floor"], table["without"])]
        within = np.mean(np.abs(table["with"] - table["floor"]) < 2 * table["sd"])
        print(f"{name:<30}{cells[0]:>16}{cells[1]:>16}{cells[2]:>16}{within:>26.2f}")
    if args.out:
        args.out.write_text(json.dumps(people))


if __name__ == "__main__":
    main()
