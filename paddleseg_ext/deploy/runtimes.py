"""What runs a network, behind one small interface: eager Paddle, Paddle Inference, ONNX Runtime.

A session is called with images (N, C, H, W) in float32 and returns the network's first output as an array: labels
(N, H, W) or scores (N, K, H, W), as exported. `device` "gpu" means one if there is one, as everywhere in PaddleSeg.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import paddle
from paddleseg.deploy.infer import DeployConfig
from paddleseg.transforms import Compose

from paddleseg_ext.command import UserError, one_line
from paddleseg_ext.files import below, read_yaml

ONNX_FILES = {"float32": "model.onnx", "int8": "model_int8.onnx"}
DESCRIPTION = "deploy.yaml"
PARAMS_MARK = "paddleseg_ext.params_sha256"  # in the ONNX file: which model.pdiparams it was made from


class Deployment:
    """An exported folder: the files that ``deploy.yaml`` names.

    Attributes:
        transforms: from a path or an image (H, W, C) in BGR to the network's input, as PaddleSeg's `Compose`.
        input_shape: (N, C, H, W) with -1 for sides that may vary.
        output_op: "argmax", "softmax" or "none".
        digests: SHA-256 of the files, by name; PaddleSeg's own export writes none.

    Raises:
        UserError: a file is missing or changed, or ``deploy.yaml`` is not what export writes.
    """

    def __init__(self, folder: str):
        self.folder = folder
        path = os.path.join(folder, DESCRIPTION)
        _require_file(path)
        content = read_yaml(path)
        try:
            description = content["Deploy"]
            self.model, self.params = (below(folder, description[key]) for key in ("model", "params"))
            self.input_shape, self.output_op = ([*map(int, description["input_shape"])], description["output_op"])
            # PaddleSeg's own are for three channels
            self.transforms = Compose(DeployConfig(path).transforms.transforms, img_channels=self.input_shape[1])
            self.digests = dict(description.get("sha256", {}))
        except Exception as error:  # whatever a wrong value leads to
            raise UserError(f"{path}: not as export writes it ({one_line(error)}): export again") from error
        self._require_whole(self.model)
        self._params_digest = self._require_whole(self.params)

    def require_labels(self) -> None:
        """Raises `UserError` if the network gives scores."""
        if self.output_op != "argmax":
            raise UserError(f"{self.folder}: its output is {self.output_op!r}: export with --output_op argmax")

    def onnx_file(self, precision: str = "float32") -> str:
        if precision not in ONNX_FILES:
            raise UserError(f"--precision {precision}: ONNX Runtime has {' and '.join(ONNX_FILES)} here")
        path = os.path.join(self.folder, ONNX_FILES[precision])
        self._require_whole(path)
        return path

    def _require_whole(self, path: str) -> str:
        """A file's digest; refuses a changed one before Paddle Inference reads it, which hangs on some damaged ones."""
        _require_file(path)
        digest = file_digest(path)
        if self.digests.get(os.path.relpath(path, self.folder), digest) != digest:
            raise UserError(f"{path}: changed since its export (sha256 in {DESCRIPTION}): copy it or export again")
        return digest

    def session(
        self, backend: str, device: str = "cpu", threads: int | None = None, precision: str = "float32"
    ) -> Session:
        """Open "inference" or "onnxruntime"; `threads` None is one for each core."""
        session: Session
        if backend == "inference":
            session = InferenceSession(self.model, self.params, device, threads, precision)
        else:
            path = self.onnx_file(precision)
            session = OnnxSession(path, device, threads)
            if session.metadata.get(PARAMS_MARK) != self._params_digest:
                raise UserError(
                    f"{path}: it was made from another network than {self.params}: export again with --onnx"
                )
        session.input_shape = self.input_shape
        return session


class Session(ABC):
    """A network that is ready to run.

    Raises:
        UserError: when it is called with an input that the network does not take.
    """

    backend: str
    input_shape: Sequence[int] = (-1, -1, -1, -1)

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        if any(side not in (-1, given) for side, given in zip(self.input_shape, pictures.shape)):
            raise UserError(
                f"the network was exported for an input of {_dimensions(self.input_shape)}, not of "
                f"{_dimensions(pictures.shape)}: resize in `transforms`, or export without --input_shape"
            )
        try:
            return self._run(np.ascontiguousarray(pictures, dtype=np.float32))
        except Exception as error:
            raise UserError(
                f"{self.backend}: the network does not take an input of {_dimensions(pictures.shape)}: "
                f"{one_line(error)}"
            ) from error

    @abstractmethod
    def _run(self, pictures: np.ndarray) -> np.ndarray:
        """The network's output for a float32 input (N, C, H, W)."""


class EagerSession(Session):
    """A network as PaddleSeg runs it, or as wrapped by `WrappedModel`."""

    backend = "paddle"

    def __init__(self, network: paddle.nn.Layer):
        network.eval()
        self.network = network

    @paddle.no_grad()
    def _run(self, pictures):
        return self.network(paddle.to_tensor(pictures))[0].numpy()


class InferenceSession(Session):
    """Paddle Inference; on a CPU with oneDNN.

    Raises:
        UserError: the files cannot be loaded, or the device does not have this precision.
    """

    backend = "inference"

    def __init__(self, model: str, params: str, device="cpu", threads=None, precision="float32"):
        from paddle.inference import Config, PrecisionType, create_predictor

        config = Config(model, params)
        config.disable_glog_info()
        if device == "gpu" and paddle.device.get_device().startswith("gpu"):
            kinds = {"float32": "Float32", "float16": "Half", "bfloat16": "Bfloat16"}
            if precision not in kinds:
                raise UserError(f"--precision {precision}: Paddle Inference on a GPU has {', '.join(kinds)}")
            config.enable_use_gpu(100, 0, getattr(PrecisionType, kinds[precision]))
        else:
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(threads or os.cpu_count())
            config.enable_mkldnn()
            config.delete_pass("onednn_placement_pass")  # Paddle 3.3 cannot run single operators on oneDNN
            if precision == "bfloat16":
                config.enable_mkldnn_bfloat16()
            elif precision != "float32":
                raise UserError(f"--precision {precision}: Paddle Inference on a CPU has float32, bfloat16")
        try:
            self.predictor = create_predictor(config)
        except Exception as error:
            raise UserError(f"{model}: Paddle Inference cannot load it: {one_line(error)}") from error
        self.input = self.predictor.get_input_handle(self.predictor.get_input_names()[0])
        self.output = self.predictor.get_output_handle(self.predictor.get_output_names()[0])

    def _run(self, pictures):
        self.input.reshape(pictures.shape)
        self.input.copy_from_cpu(pictures)
        self.predictor.run()
        return self.output.copy_to_cpu()


class OnnxSession(Session):
    """ONNX Runtime.

    Raises:
        UserError: it is not installed, or the file cannot be loaded.
    """

    backend = "onnxruntime"

    def __init__(self, path: str, device="cpu", threads=None):
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError("ONNX Runtime is not installed: pip install 'paddleseg_ext[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count()
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        if device == "gpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, "CUDAExecutionProvider")
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:
            raise UserError(f"{path}: ONNX Runtime cannot load it: {one_line(error)}") from error
        self.metadata = self.session.get_modelmeta().custom_metadata_map
        self.input_name = self.session.get_inputs()[0].name

    def _run(self, pictures):
        return self.session.run(None, {self.input_name: pictures})[0]


def _dimensions(shape) -> str:
    return "x".join("?" if side == -1 else str(side) for side in shape)


def file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _require_file(path: str) -> None:
    if not os.path.isfile(path):
        raise UserError(f"{path}: there is no such file: give a complete folder that export wrote")
