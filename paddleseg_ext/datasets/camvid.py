"""CamVid with its 11 classes."""

from __future__ import annotations

from paddleseg.cvlibs import manager

from paddleseg_ext.datasets.base import LabelTableDataset
from paddleseg_ext.datasets.palettes import CAMVID, LabelDecoder, camvid_decoder


@manager.DATASETS.add_component
class CamVid(LabelTableDataset):
    """CamVid (Brostow et al., 2009), http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid.

    Labels are index PNGs (0 to 10, 11 is void) or PNGs of the 32 CamVid colours; void becomes `IGNORE_INDEX`.
    Without lists, `dataset_root` holds train, trainannot, val, valannot, test, testannot (SegNet's copy), or
    train, train_labels, ... (Kaggle's), or images and labels (or the official 701_StillsRaw_full and
    LabeledApproved_full), which are split as SegNet did: 367, 101 and 233 images.

    Args:
        others: what becomes of the colours beyond the 11 classes: "ignore" them, as the authors of SANet do, or
            "merge" each into the nearest class, as SegNet does.

    The other arguments are those of `LabelTableDataset`, and so are the errors.

    Raises:
        ValueError: another value of `others`.
    """

    NUM_CLASSES = len(CAMVID)
    CLASSES = tuple(CAMVID)
    PALETTE = tuple(next(iter(colours.values())) for colours in CAMVID.values())
    LAYOUT = "camvid"

    def __init__(
        self,
        transforms: list,
        dataset_root: str,
        mode: str = "train",
        train_path: str | None = None,
        val_path: str | None = None,
        test_path: str | None = None,
        separator: str = " ",
        edge: bool = False,
        others: str = "ignore",
    ):
        if others not in ("ignore", "merge"):
            raise ValueError(f"others: {others}, expected ignore or merge")
        self.decoder = self.decoder_of({"others": others})
        super().__init__(transforms, dataset_root, mode, train_path, val_path, test_path, separator, edge)

    @classmethod
    def decoder_of(cls, settings: dict) -> LabelDecoder:
        """How labels are read with the arguments `settings`."""
        return camvid_decoder(settings.get("others", "ignore"))
