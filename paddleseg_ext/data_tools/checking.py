"""Checks a data set as a whole: every image and label, then what only several of them show."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from tqdm import tqdm

from paddleseg_ext.data_tools.inspection import Finding, inspect
from paddleseg_ext.data_tools.kinds import Problem
from paddleseg_ext.data_tools.splits import Sample, Split

OUTLIER = 10  # times the pixels of the median image


def check(splits: list[Split], num_workers: int) -> dict[str, list[Finding]]:
    """Look into every file, in `num_workers` processes (0: in this one); the findings of each split, in its order."""
    jobs = [(split, sample) for split in splits for sample in split.samples]
    if num_workers == 0:
        findings = [inspect(*job) for job in tqdm(jobs, unit="image")]
    else:
        with ProcessPoolExecutor(num_workers, initializer=_share, initargs=(jobs,)) as pool:
            results = pool.map(_inspect_job, range(len(jobs)), chunksize=4)
            findings = list(tqdm(results, total=len(jobs), unit="image"))
    by_split: dict[str, list[Finding]] = {split.name: [] for split in splits}
    for (split, _), finding in zip(jobs, findings):
        by_split[split.name].append(finding)
    return by_split


_jobs: list[tuple[Split, Sample]] = []


def _share(jobs: list[tuple[Split, Sample]]) -> None:
    """Give a process the jobs once, so that a job travels as its number."""
    _jobs[:] = jobs


def _inspect_job(number: int) -> Finding:
    return inspect(*_jobs[number])


def find_duplicates(splits: list[Split], findings: dict[str, list[Finding]]) -> list[Problem]:
    """Images that are in more than one split, pixel by pixel."""
    first: dict[bytes, tuple[str, str]] = {}
    problems = []
    for split in splits:
        for sample, finding in zip(split.samples, findings[split.name]):
            if finding.digest is None:
                continue
            other_split, other = first.setdefault(finding.digest, (split.name, sample.image))
            if other_split != split.name:
                detail = f"equals {other} of {other_split}"
                problems.append(Problem("duplicate", split.name, sample.image, detail, 1.0, sample.image, sample.label))
    return problems


def find_outsized(splits: list[Split], findings: dict[str, list[Finding]]) -> list[Problem]:
    """Images of more than `OUTLIER` times the pixels of the median one of all splits."""
    sized = [
        (split, sample, *finding.size)
        for split in splits
        for sample, finding in zip(split.samples, findings[split.name])
        if finding.size
    ]
    median = np.median([width * height for *_, width, height in sized]) if sized else 0
    return [
        Problem(
            "size_outlier",
            split.name,
            sample.image,
            f"{width}x{height}, {width * height / median:.0f} times the median image",
            image=sample.image,
            label=sample.label,
        )
        for split, sample, width, height in sized
        if width * height > OUTLIER * median
    ]


def all_problems(splits: list[Split], findings: dict[str, list[Finding]], ignore: Iterable[str] = ()) -> list[Problem]:
    """What is wrong with the lists, with single files and with the data set as a whole, except the kinds `ignore`."""
    problems = [problem for split in splits for problem in split.problems]
    problems += [problem for split in splits for finding in findings[split.name] for problem in finding.problems]
    problems += find_duplicates(splits, findings) + find_outsized(splits, findings)
    return [problem for problem in problems if problem.kind not in ignore]
