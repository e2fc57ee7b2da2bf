"""ONNX models in other number formats: int8 by ONNX Runtime's own quantiser, and fp16."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

CALIBRATION_BATCHES = 2
SEED = 0
NO_PREPROCESSING_NEEDED = {"onnx.quant.pre_process": "onnxruntime.quant"}


def quantised(model: bytes, *, batches: int = CALIBRATION_BATCHES) -> bytes:
    """The serialised fp32 `model` with 8-bit weights and activations (QDQ form).

    Weights are symmetric per output channel, activations unsigned with ranges from `batches` of random input, as
    `network_to_onnx` calibrates nothing: the result is for timing, not for accuracy.
    """
    source = onnx.load_model_from_string(model)
    helper.set_model_props(source, NO_PREPROCESSING_NEEDED)
    with tempfile.TemporaryDirectory(prefix="nas-quantised-") as folder:
        path = Path(folder) / "model.onnx"
        quantize_static(
            source,
            path,
            _RandomInputs(source, batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return path.read_bytes()


class _RandomInputs(CalibrationDataReader):  # type: ignore[misc]
    """Standard normal values for each input of a model."""

    def __init__(self, model: onnx.ModelProto, batches: int) -> None:
        self._left = self._draw(model, batches)

    @staticmethod
    def _draw(model: onnx.ModelProto, batches: int) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(SEED)
        for _ in range(batches):
            yield {
                source.name: rng.standard_normal(
                    [axis.dim_value for axis in source.type.tensor_type.shape.dim], dtype=np.float32
                )
                for source in model.graph.input
            }

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, {input name: array}; `None` at the end."""
        return next(self._left, None)


def halved(model: bytes) -> bytes:
    """The serialised fp32 `model` computing in fp16; its input and outputs stay fp32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = convert_float_to_float16(onnx.load_model_from_string(model), keep_io_types=True)
    return bytes(converted.SerializeToString())
