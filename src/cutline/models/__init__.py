"""Encoders, decoders, search; weights and checkpoints; export to one ONNX file."""
