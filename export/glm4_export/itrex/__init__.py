"""A checkpoint to weights packed by ITREX."""
