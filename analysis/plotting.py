"""Matplotlib and seaborn as every figure uses them: drawn into files, never in a window."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

__all__ = ["Figure", "plt", "sns"]
