"""Validators for the gateway's tests: they answer batches with receipts under real seals."""

from gridwitness.agreeing import Authorities

__all__ = ["Authorities"]
