"""Files of a fitted model in the ONNX format. Only these modules need onnx and onnxruntime."""
