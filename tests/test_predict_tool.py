"""tools/predict.py: PaddleSeg's predict, and exported networks on images and videos."""

import time

import cv2
import numpy as np
import paddle
import pytest
from deploy_support import export_folder, network
from paddleseg import core
from paddleseg import transforms as T
from paddleseg.core import infer
from picture_support import run_tool, write_config, write_dataset
from PIL import Image

from paddleseg_ext.builder import Builder, classes_of, load_config
from paddleseg_ext.command import UserError
from paddleseg_ext.deploy.drawing import Artist
from paddleseg_ext.deploy.streaming import ExportedSegmenter, predict_pictures, restore_size, stream
from paddleseg_ext.deploy.video import predict_video
from paddleseg_ext.segmenter import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data):
    """Flags that name a config and weights."""
    paddle.save(network().state_dict(), str(data / "weights.pdparams"))
    return {"config": write_config(data, type="FoldingCases"), "model_path": data / "weights.pdparams"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export_folder(folder)
    return folder


def outputs(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def labels(folder, name):
    return np.asarray(Image.open(folder / "pseudo_color_prediction" / name))


def test_unreadable_pictures_are_named_and_the_rest_is_done(data, trained, exported, tmp_path, capsys):
    pictures = tmp_path / "images" / "deeper"
    pictures.mkdir(parents=True)
    good = (data / "images/p0.png").read_bytes()
    for name, content in (("good.png", good), ("text.png", b"text"), ("cut.png", good[:2000])):
        (pictures / name).write_bytes(content)
    ways = {"paddle": trained, "inference": {"model_dir": exported, "backend": "inference"}}
    for way, flags in ways.items():
        assert run_tool("predict", image_path=pictures.parent, save_dir=tmp_path / way, **flags) == 1
        told = capsys.readouterr().err
        assert "error: 2 of 3 failed:" in told and "text.png: " in told and "cut.png: " in told
        assert outputs(tmp_path / way) == [
            "added_prediction/deeper/good.png",
            "pseudo_color_prediction/deeper/good.png",
        ]


def test_exported_draws_what_paddleseg_draws(data, trained, exported, tmp_path):
    colours = [10, 20, 30, 250, 200, 100]
    flags = {"image_path": data / "images", "custom_color": colours}
    assert run_tool("predict", save_dir=tmp_path / "a", **flags, **trained) == 0
    assert run_tool("predict", save_dir=tmp_path / "b", model_dir=exported, backend="inference", **flags) == 0
    assert outputs(tmp_path / "a") == outputs(tmp_path / "b") and len(outputs(tmp_path / "a")) == 6
    for name in ("p0.png", "p1.png", "p2.png"):
        a, b = (labels(tmp_path / way, name) for way in "ab")
        assert len(np.unique(a)) > 1 and (a == b).mean() >= 0.9999
        added = [cv2.imread(str(tmp_path / way / "added_prediction" / name)).astype(int) for way in "ab"]
        assert (np.abs(added[0] - added[1]).max(2) == 0).mean() >= 0.9999
    palettes = [Image.open(tmp_path / way / "pseudo_color_prediction/p0.png").getpalette() for way in "ab"]
    assert palettes[0] == palettes[1] and palettes[0][:6] == colours


def test_colours_of_the_data_set_and_a_legend(data, trained, tmp_path):
    """PaddleSeg's are those of `Dataset`; CamVid has its own."""
    flags = {"image_path": data / "images/p0.png", "save_dir": tmp_path, "legend": True}
    camvid = ["val_dataset.type=CamVid", "train_dataset.type=CamVid", "model.type=BiSeNetV2", "model.num_classes=11"]
    config = load_config(str(trained["config"]))
    config.dic["val_dataset"]["type"] = "CamVid"
    classes = classes_of(config)
    run_tool("predict", config=trained["config"], opts=camvid, **flags)
    palette = Image.open(tmp_path / "pseudo_color_prediction/p0.png").getpalette()
    assert palette[: 3 * len(classes)] == classes.colours[: len(classes)].ravel().tolist()
    drawn = cv2.imread(str(tmp_path / "added_prediction/p0.png"))
    strip = drawn[64:]
    assert drawn.shape[1] == 96 and len(strip) > 5
    (first, *_) = np.unique(labels(tmp_path, "p0.png"))
    assert (strip == classes.colours[first][::-1]).all(axis=-1).any()


@pytest.mark.parametrize("suffix", ["tif", "TIFF", "webp"])
def test_tiff_and_webp(data, trained, tmp_path, suffix):
    (tmp_path / "images").mkdir()
    Image.open(data / "images/p0.png").save(tmp_path / f"images/p.{suffix}")
    for pictures in (tmp_path / "images", tmp_path / f"images/p.{suffix}"):
        assert run_tool("predict", image_path=pictures, save_dir=tmp_path / "out", **trained) == 0
    assert outputs(tmp_path / "out") == [f"added_prediction/p.{suffix}", "pseudo_color_prediction/p.png"]


def test_what_paddleseg_predicts(data, trained, tmp_path):
    """With resizing, scales and flips, which PaddleSeg's own `predict` does."""
    opts = ["val_dataset.transforms=[{type: Resize, target_size: [64, 48]}, {type: Normalize}]"]
    flags = {"image_path": data / "images", "aug_pred": True, "scales": [0.75, 1.0], "flip_horizontal": True}
    assert run_tool("predict", save_dir=tmp_path / "ours", opts=opts, **flags, **trained) == 0
    paddle.set_device("cpu")
    builder = Builder(load_config(str(trained["config"]), opts=opts))
    core.predict(
        builder.model,
        model_path=str(trained["model_path"]),
        transforms=T.Compose(builder.val_transforms),
        image_list=[str(data / f"images/p{index}.png") for index in range(3)],
        image_dir=str(data / "images"),
        save_dir=str(tmp_path / "theirs"),
        aug_pred=True,
        scales=[0.75, 1.0],
        flip_horizontal=True,
    )
    assert outputs(tmp_path / "ours") == outputs(tmp_path / "theirs")
    for name in ("p0.png", "p1.png", "p2.png"):
        np.testing.assert_array_equal(labels(tmp_path / "ours", name), labels(tmp_path / "theirs", name))


def test_list_file_and_sliding_window(data, trained, tmp_path):
    flags = {"image_path": data / "val.txt", "save_dir": tmp_path, "is_slide": True, "crop_size": [64, 64]}
    assert run_tool("predict", stride=[32, 32], **flags, **trained) == 0
    assert len(outputs(tmp_path)) == 6


def test_a_list_in_the_current_folder(trained, tmp_path, monkeypatch):
    """Its images keep their folders: two may have one name."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        cv2.imwrite(f"{name}/1.png", np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "list.txt").write_text("a/1.png\nb/1.png\n")
    assert run_tool("predict", image_path="list.txt", save_dir="out", **trained) == 0
    assert outputs(tmp_path / "out/added_prediction") == ["a/1.png", "b/1.png"]


def test_results_do_not_replace_each_other_and_are_not_read_again(data, trained, tmp_path):
    results = ("added_prediction/a.jpg", "added_prediction/a.png", "added_prediction/b.png")
    maps = ("pseudo_color_prediction/a.jpg.png", "pseudo_color_prediction/a.png.png", "pseudo_color_prediction/b.png")
    names = ("a.jpg", "a.png", "b.png")
    for name in names:
        Image.open(data / "images/p0.png").save(tmp_path / name)
    for _ in range(2):
        assert run_tool("predict", image_path=tmp_path, save_dir=tmp_path, **trained) == 0
        assert outputs(tmp_path) == sorted([*names, *results, *maps])
    (tmp_path / "list.txt").write_text("b.png\nadded_prediction/b.png\n")
    for inputs in ("added_prediction", "added_prediction/b.png", "list.txt"):
        with pytest.raises(UserError, match="--save_dir .*: the results there could replace"):
            run_tool("predict", image_path=tmp_path / inputs, save_dir=tmp_path, **trained)


def write_video(path, count=7, size=(96, 64)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, size)
    for index in range(count):
        writer.write(np.full((size[1], size[0], 3), 30 * index, np.uint8))
    writer.release()


def test_each_process_takes_its_share_under_the_same_names(tmp_path, monkeypatch):
    paths = [str(tmp_path / name) for name in ("a.jpg", "a.png", "b.png")]
    for path in paths:
        cv2.imwrite(path, np.zeros((4, 6, 3), np.uint8))
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    for rank, names in enumerate([["a.jpg.png", "b.png"], ["a.png.png"]]):
        monkeypatch.setenv("PADDLE_TRAINER_ID", str(rank))
        out = tmp_path / str(rank)
        assert predict_pictures(paths, str(tmp_path), FakeSegmenter(lambda _: False), WHITE, str(out)).done
        assert outputs(out / "pseudo_color_prediction") == names


@pytest.mark.parametrize("way", ["paddle", "inference"])
def test_video(way, trained, exported, tmp_path):
    write_video(tmp_path / "drive.mp4")
    flags = trained if way == "paddle" else {"model_dir": exported, "backend": way, "threads": 1}
    assert run_tool("predict", image_path=tmp_path / "drive.mp4", save_dir=tmp_path / "out", **flags) == 0
    assert outputs(tmp_path / "out") == ["added_prediction/drive.mp4"]
    frames = read_video(tmp_path / "out/added_prediction/drive.mp4")
    assert len(frames) == 7 and frames[0].shape == (64, 96, 3)
    brightness = [frame.mean() for frame in frames]
    assert brightness == sorted(brightness)  # the frames kept their order


def read_video(path):
    video = cv2.VideoCapture(str(path))
    return [frame for decodes, frame in iter(video.read, (False, None)) if decodes]


class FakeSegmenter:
    """Labels all pixels 1, where `fails` is not true of the frame's number; that gives its brightness."""

    workers = 1

    def __init__(self, fails, error=ValueError):
        self.fails, self.error = fails, error

    def predict(self, image):
        if self.fails(round(image.mean() / 30)):
            raise self.error("odd")
        return np.ones(image.shape[:2], np.uint8)


WHITE = Artist(np.full((256, 3), 255, np.uint8))


def test_a_failed_frame_stays_in_the_video_as_it_was(tmp_path):
    write_video(tmp_path / "drive.mp4")
    summary = predict_video(str(tmp_path / "drive.mp4"), FakeSegmenter(lambda n: n == 4), WHITE, str(tmp_path / "out"))
    assert summary.done == 6 and summary.failed == ["frame 4: odd"]
    frames = read_video(tmp_path / "out/added_prediction/drive.mp4")
    expected = [30 * n if n == 4 else 0.6 * 30 * n + 0.4 * 255 for n in range(7)]
    np.testing.assert_allclose([frame.mean() for frame in frames], expected, atol=10)  # what the codec loses


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_video_is_replaced_by_a_whole_one_only(tmp_path, error):
    write_video(tmp_path / "drive.mp4")
    target = tmp_path / "out/added_prediction/drive.mp4"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"of an earlier run")
    fails = FakeSegmenter(lambda n: error is ValueError or n == 3, error)
    try:
        summary = predict_video(str(tmp_path / "drive.mp4"), fails, WHITE, str(tmp_path / "out"))
        assert summary.done == 0 and len(summary.failed) == 7
    except KeyboardInterrupt:
        assert error is KeyboardInterrupt
    assert outputs(tmp_path / "out") == ["added_prediction/drive.mp4"]
    assert target.read_bytes() == b"of an earlier run"


def test_a_video_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    write_video(tmp_path / "drive.mp4")
    monkeypatch.setattr(cv2, "VideoWriter_fourcc", lambda *letters: 0)  # of no codec
    with pytest.raises(UserError, match="drive.mp4: OpenCV cannot write an MP4 of 96x64"):
        predict_video(str(tmp_path / "drive.mp4"), FakeSegmenter(lambda n: False), WHITE, str(tmp_path / "out"))
    assert outputs(tmp_path) == ["drive.mp4"]


@pytest.mark.parametrize(
    "flags, message",
    [
        ({}, "--image_path is missing"),
        ({"image_path": "{data}", "precision": "int8"}, "--precision int8 is for exported networks: add --backend"),
        ({"image_path": "{data}", "threads": 1}, "--threads 1 is for exported"),
        ({"image_path": "{data}", "model_dir": "{exported}"}, "--model_dir .* is for exported"),
        ({"image_path": "nowhere"}, "--image_path nowhere"),
        ({"image_path": "{data}", "backend": "inference"}, "--backend inference needs --model_dir"),
        ({"image_path": "{data}", "backend": "inference", "model_dir": "{data}"}, "deploy.yaml: there is no such file"),
        ({"image_path": "{data}", "backend": "onnxruntime", "model_dir": "{exported}"}, "model.onnx: there is no such"),
        (
            {"image_path": "{data}", "backend": "inference", "model_dir": "{exported}", "aug_pred": True},
            "--aug_pred and",
        ),
        (
            {"image_path": "{data}/broken.mp4", "backend": "inference", "model_dir": "{exported}"},
            "broken.mp4: not a video",
        ),
        ({"image_path": "{data}/broken.mp4", "legend": True}, "--legend is for images, not for videos"),
        (
            {"image_path": "{data}", "backend": "inference", "model_dir": "{exported}", "threads": -1},
            "--threads -1: give the number",
        ),
    ],
)
def test_wrong_flags(data, trained, exported, flags, message, tmp_path):
    (data / "broken.mp4").write_text("no video")
    flags = {k: v.format(data=data, exported=exported) if isinstance(v, str) else v for k, v in flags.items()}
    with pytest.raises(UserError, match=message):
        run_tool("predict", save_dir=tmp_path / "out", **trained, **flags)
    assert not (tmp_path / "out").exists()


def test_exported_scores_are_refused(data, tmp_path):
    export_folder(tmp_path, output_op="none")
    with pytest.raises(UserError, match="export with --output_op argmax"):
        run_tool("predict", image_path=data, backend="inference", model_dir=tmp_path, save_dir=tmp_path / "out")


@pytest.mark.parametrize("workers", [1, 3])
def test_stream_keeps_order_and_notes_failures(workers):
    finished = []

    def work(item):
        time.sleep(0.002 * (item % 3))
        if item == 3:
            raise ValueError("no three")
        return item

    def collect(item):
        if item == 5:
            raise UserError("no five")
        finished.append(item)

    summary = stream(range(20), work, collect, workers)
    assert finished == [item for item in range(20) if item not in (3, 5)]
    assert summary.done == 18 and summary.failed == ["3: no three", "5: no five"]
    assert str(summary).startswith("18 in ")


def test_sessions_share_the_threads():
    opened = []

    def open_session(threads):
        opened.append(threads)
        return lambda pictures: pictures[:, 0]

    image = np.full((4, 6, 3), 7, np.uint8)
    for threads, workers, each in ((1, 1, 1), (3, 3, 1), (9, 4, 2)):
        opened.clear()
        segmenter = ExportedSegmenter(T.Compose([]), open_session, threads)
        assert segmenter.workers == workers
        for _ in range(2):
            np.testing.assert_array_equal(segmenter.predict(image), image[..., 0])
        assert opened == [each]  # one session for this thread, however often it calls


@pytest.mark.parametrize(
    "trans_info", [[("resize", (40, 30)), ("padding", (50, 50))], [(["resize"], (40, 30))], [("padding", (44, 33))], []]
)
def test_restored_size_is_paddlesegs(trans_info):
    labels = np.random.default_rng(0).integers(0, 4, (64, 64)).astype(np.int32)
    expected = infer.reverse_transform(paddle.to_tensor(labels[None, None]), trans_info).numpy()[0, 0]
    found = restore_size(labels, trans_info)
    assert found.dtype == np.uint8 and found.shape == expected.shape
    if not any("resize" in info[0] for info in trans_info):
        assert (found == expected).all()


def test_artist_colours():
    artist = Artist(np.array([1, 2, 3, 100, 150, 200] + [0] * 762, np.uint8).reshape(256, 3))
    blended = artist.blend(np.full((2, 2, 3), 50, np.uint8), np.array([[0, 1], [1, 0]], np.uint8))
    assert blended[0, 1].tolist() == [110, 90, 70]  # 0.6 * 50 + 0.4 * (200, 150, 100)


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [T.Normalize()],
        [T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])],
        [T.Resize([32, 16]), T.Normalize()],
    ],
)
def test_pictures_are_prepared_as_paddleseg_does(operations):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    ours, theirs = prepare(image, T.Compose(operations)), T.Compose(operations)({"img": image.astype(np.float32)})
    np.testing.assert_array_equal(ours["img"], theirs["img"])
    assert ours["img"].dtype == theirs["img"].dtype and ours["trans_info"] == theirs["trans_info"]
