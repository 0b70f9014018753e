"""PaddleSeg's own networks through every tool: untrained, on four small images."""

import json

import pytest
from picture_support import run_tool, write_config, write_dataset

NETWORKS = {
    "PPLiteSeg": {"type": "PPLiteSeg", "backbone": {"type": "STDC1"}},
    "DDRNet_23": {"type": "DDRNet_23"},  # with two outputs in training
    "ENCNet": {"type": "ENCNet", "backbone": {"type": "ResNet18_vd"}, "mid_channels": 16},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_tool_takes_it(name, tmp_path, capsys):
    config = write_config(write_dataset(tmp_path / "data", size=(160, 128)), **NETWORKS[name])
    flags = {"config": config, "opts": "val_dataset.mode=val"}
    run_tool("val", boundary=True, save_dir=tmp_path / "val", **flags)
    assert "class 3" in capsys.readouterr().out and (tmp_path / "val/boundary.json").is_file()
    for tool, written in {
        "predict": "added_prediction/p0.png",
        "segmentation_image": "panel/p0.png",
        "boundary_image": "panel/p0.png",
        "report": "report.html",
        "heat_map": "p0",
    }.items():
        pictures = {"image_path": tmp_path / "data/images"} if tool == "predict" else {}
        assert not run_tool(tool, save_dir=tmp_path / tool, **flags, **pictures), tool
        assert (tmp_path / tool / written).exists(), tool
    assert "Heat maps (" in (tmp_path / "report/report.html").read_text()
    run_tool("export", save_dir=tmp_path / "export", **flags)
    assert json.loads((tmp_path / "export/comparison.json").read_text())
    assert (tmp_path / "export/deploy.yaml").is_file()
