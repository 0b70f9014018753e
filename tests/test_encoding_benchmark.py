import argparse

import pytest

from paddleseg_ext.benchmarks import encoding
from paddleseg_ext.benchmarks.encoding import FLOOR, OURS, PADDLESEG, Cost, ratio_rows


def test_ratios():
    costs = {FLOOR: Cost(0.5, 10_000_000), OURS: Cost(1.0, 0), PADDLESEG: Cost(60.0, 200_000_000)}
    floor, ours, theirs = ratio_rows("layer", costs)
    assert [ours[key] for key in ("faster than PaddleSeg's", "time / matrix products")] == ["60.0x", "2.00"]
    assert [row["less than PaddleSeg's"] for row in (floor, ours, theirs)] == ["20.0x", None, "1.0x"]


@pytest.mark.slow
def test_layer_and_step(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    encoding.add_arguments(parser)
    flags = f"--shape 2 64 24 24 --crop 2 64 64 --num_codes 16 --save_dir {tmp_path}"
    encoding.main(parser.parse_args(flags.split()))
    rows = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [row[2] for row in rows[2:]] == [FLOOR, OURS, PADDLESEG, OURS, PADDLESEG]
    assert (tmp_path / "encoding.json").is_file()
