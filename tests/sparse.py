"""The file of a small network with sparse, shared weights, for machines that skip zeros."""

from pathlib import Path

SPARSE = Path(__file__).with_name("sparse.yaml")
