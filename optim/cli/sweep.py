"""A sweep: one job for each combination of values, ``mfmfit fit -m optimizer.seed=1,2,3 ...``.

A job is called by what differs (``optimizer.seed=2``), whatever the order in which values are given, and writes into a folder
of that name: the same command, with more values or in another order, resumes those that are there. The failure of one leaves
the others alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from mfm.errors import ConfigError
from mfm.io.formats.system import home_expanded
from optim.cli.console import ExitCode, exit_code, say
from optim.cli.messages import Names
from optim.cli.overrides import Override, choices_of, read_word
from optim.cli.settings import composed, config_groups

_LONGEST_NAME = 120


@dataclass(frozen=True)
class Job:
    """One job of a sweep: its name, which is that of its folder, and the words of its command line."""

    name: str
    words: tuple[Override, ...]


def jobs_of(overrides: Sequence[str], name: str, kind: type) -> tuple[Job, ...]:
    """Return the jobs of a sweep, each once.

    Parameters
    ----------
    overrides : list of str
        Words of the command line; at least one has several values.
    name : str
        Of the configuration.
    kind : type
        Its class.

    Raises
    ------
    ConfigError
        If a word cannot be read, or none has several values.
    """
    words = [read_word(word, kind, config_groups(name)) for word in overrides]
    choices = [choices_of(word, kind) for word in words]
    swept = [k for k, values in enumerate(choices) if len(values) > 1]
    if not swept:
        raise ConfigError("A sweep needs a setting with several values.", found="one value each", fix="optimizer.seed=1,2,3")
    jobs = {}
    for texts in product(*choices):
        of_job = tuple(replace(word, text=text) for word, text in zip(words, texts, strict=True))
        called = job_name({of_job[k].path: of_job[k].text for k in swept})
        jobs[called] = Job(called, of_job)
    return tuple(jobs.values())


def job_name(values: Mapping[str, str]) -> str:
    """Return the name of a job, by its settings in the order of the alphabet.

    Examples
    --------
    >>> from optim.cli.sweep import job_name
    >>> job_name({"optimizer.seed": "2", "objective": "linear"})
    'objective=linear,optimizer.seed=2'
    """
    whole = ",".join(f"{path}={values[path]}" for path in sorted(values))
    plain = re.sub(r"[^A-Za-z0-9._+=,-]+", "-", whole)
    if plain == whole and len(plain) <= _LONGEST_NAME:
        return plain
    return f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(whole.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def run_sweep(
    overrides: Sequence[str],
    name: str,
    kind: type,
    run: Callable[..., int],
    names: Callable[[], Names] | None = None,
    result: Callable[[Path], str] = lambda folder: "",
) -> int:
    """Run the jobs of a sweep one after the other, and print how each ended.

    Parameters
    ----------
    overrides, name, kind
        As in `jobs_of`; the class has ``output.folder``, below which every job has its own.
    run : function of a configuration that returns an exit code
    names : function that returns a mapping, optional
        As in `optim.cli.console.exit_code`.
    result : function of a job's folder that returns text, optional
        What it came to, for the table.

    Returns
    -------
    int
        0 if all jobs are done, else the highest of their exit codes.
    """
    jobs = jobs_of(overrides, name, kind)
    ended: list[tuple[Job, int, str]] = []
    try:
        for number, job in enumerate(jobs, start=1):
            say(f"job {number} of {len(jobs)}: {job.name}")
            folder: list[Path] = []

            def run_one(job: Job = job, folder: list[Path] = folder) -> int:
                config = composed(job.words, name, kind)
                folder.append(home_expanded(config.output.folder) / job.name)
                return run(replace(config, output=replace(config.output, folder=str(folder[0]))))

            code = exit_code(run_one, names)
            ended.append((job, code, result(folder[0]) if folder and code == 0 else ""))
    finally:
        print(summary(ended, len(jobs)))
    return max(code for _, code, _ in ended)


def summary(ended: Sequence[tuple[Job, int, str]], n_jobs: int) -> str:
    """Return a table of how the jobs ended: name, exit code and what it means, result."""
    meanings = {int(one): one.meaning for one in ExitCode}
    width = max([len(job.name) for job, _, _ in ended] + [3])
    lines = [f"{'job':<{width}}  exit code  result"]
    for job, code, found in ended:
        lines.append(f"{job.name:<{width}}  {int(code):>9}  {found or meanings[int(code)]}")
    done = sum(code == 0 for _, code, _ in ended)
    return "\n".join([*lines, f"{done} of {n_jobs} jobs done"])
