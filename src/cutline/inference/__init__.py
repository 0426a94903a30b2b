"""Engines: what runs a captioner. Pixels in, word ids and log-probabilities out.

Each file is one alternative; every engine gives the same words, and a batch equals its pictures
one by one. `onnx` needs neither torch nor anything else of training.
"""
