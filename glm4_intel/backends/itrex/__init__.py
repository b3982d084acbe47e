"""The backend over weights packed by ITREX."""

from .backend import create, fingerprint, plan

__all__ = ["create", "fingerprint", "plan"]
