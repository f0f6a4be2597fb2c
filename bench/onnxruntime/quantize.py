"""ONNX Runtime's own dynamic quantisation: quantize.py IN OUT."""

import logging
import sys

from onnxruntime.quantization import quantize_dynamic

logging.disable(logging.WARNING)  # advice on steps that a converted graph has behind it
quantize_dynamic(sys.argv[1], sys.argv[2], per_channel=True)
