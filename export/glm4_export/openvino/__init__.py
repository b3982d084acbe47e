"""A checkpoint to OpenVINO IR."""
