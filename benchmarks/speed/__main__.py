"""`make bench`: the suite beside a plain script and the bare passes, and growth; writes the report.

python -m benchmarks.speed --help
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.growth import AXES, Axis, grow, quick
from benchmarks.speed.measuring import ROOT, Measured, best_of, machine, size_of_test_set
from benchmarks.speed.study import Side, Study

FOLDER = ROOT / "reports" / "benchmark"
SIDES: tuple[Side, ...] = ("suite", "script", "bound", "comparison")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dataset", default=Study.dataset, help="fashionmnist (default), or digits, which needs no data"
    )
    parser.add_argument("--images", type=int, default=Study.images, help="test images; 64 by default")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch-size", type=int, default=Study.batch_size, help="images in a pass; 64 by default")
    parser.add_argument("--compile", action="store_true", help="the suite compiles the networks (torch.compile)")
    parser.add_argument("--data-root", help="folder of the dataset files; else SAQ_EVAL_DATA_ROOT")
    parser.add_argument("--quick", action="store_true", help="eight images and two networks, and little growth")
    parser.add_argument("--growth", action="store_true", help="measure growth as well")
    parser.add_argument("--only", choices=[axis.name for axis in AXES], action="append", help="growth along this alone")
    parser.add_argument("--whole", action="store_true", help="growth with images of whole comparisons as well: long")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES, help="print these sides, write no report")
    parser.add_argument("--repeat", type=int, default=1, help="the best of so many runs of each side; 1 by default")
    parser.add_argument(
        "--output", type=Path, default=FOLDER, help="folder of the report; reports/benchmark by default"
    )
    return parser


def main() -> None:
    given = options().parse_args()
    if given.data_root:
        os.environ["SAQ_EVAL_DATA_ROOT"] = str(Path(given.data_root).expanduser().resolve())
    study = Study(given.dataset, given.images, device=given.device, batch_size=given.batch_size, compile=given.compile)
    study = study.quick() if given.quick else study
    count = size_of_test_set(study.dataset)
    if not 1 <= study.images <= count:
        raise SystemExit(
            f"images lie between 1 and {count}, the size of the {study.dataset} test set, not {study.images}"
        )
    with tempfile.TemporaryDirectory(prefix="saq_eval-benchmark-") as folder:
        arrays = {side: Path(folder) / f"{side}.npz" for side in given.sides}
        sides = [_announced(side, study, arrays[side], given.repeat) for side in given.sides]
        _say_ratios(sides)
        if set(given.sides) != set(SIDES):
            return
        rows = [row for axis in _axes(given, count) for row in grow(study, axis, _say)]
        _report(study, sides, arrays, rows, given.output)


def _axes(given: argparse.Namespace, images: int) -> list[Axis]:
    """Return what growth is measured along, with no more images than there are."""
    axes = [axis for axis in AXES if given.growth and axis.name in (given.only or [axis.name])]
    axes = [quick(axis) for axis in axes] if given.quick else axes
    fitting = [
        dataclasses.replace(axis, points=tuple(point for point in axis.points if point <= images))
        if axis.name == "images"
        else axis
        for axis in axes
    ]
    return [
        dataclasses.replace(axis, sides=(*axis.sides, "comparison")) if given.whole and axis.name == "images" else axis
        for axis in fitting
    ]


def _announced(side: Side, study: Study, arrays: Path, repeat: int) -> Measured:
    _say(f"{side} …")
    measured = best_of(side, study, arrays, repeat)
    _say(
        f"{side}: {measured.processor_s:.1f} s of processor time, {measured.wall_s:.1f} s of wall time, "
        f"peak {measured.peak_mib:.0f} MiB"
    )
    return measured


def _say_ratios(sides: list[Measured]) -> None:
    by_name = {measured.side: measured for measured in sides}
    for other in ("script", "bound"):
        if "suite" in by_name and other in by_name:
            ours, theirs = by_name["suite"], by_name[other]
            _say(
                f"suite / {other}: {ours.processor_s / theirs.processor_s:.2f} in processor time, "
                f"{ours.wall_s / theirs.wall_s:.2f} in wall time, {ours.peak_mib / theirs.peak_mib:.2f} in peak memory"
            )


def _report(
    study: Study, sides: list[Measured], arrays: dict[Side, Path], rows: list[dict[str, Any]], folder: Path
) -> None:
    # Imported now that nothing is measured any more: they would make this process large; see `measuring`.
    from benchmarks.speed.agreement import agreement
    from benchmarks.speed.report import refresh, write

    agreed = agreement(study, arrays["suite"], arrays["script"])
    for row in agreed.itertuples():
        if not row.agrees:
            _say(f"NOT THE SAME: {row.what}, {row.difference:.3g}, {row.within:.3g}")
    _say(f"{int(agreed['agrees'].sum())} of {len(agreed)} maps and scores are the same on both sides")
    write(folder, study, machine(study.device), sides, agreed, rows)
    _say(f"report: {folder / 'README.md'}")
    if folder == FOLDER:
        readme = ROOT / "README.md"
        readme.write_text(refresh(readme.read_text(encoding="utf-8"), folder), encoding="utf-8")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
