"""The second road: weight-only quantization by ITREX, in an environment of its own (quantize/README.md)."""
