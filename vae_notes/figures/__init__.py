"""What the chapters draw: one function a kind of figure, each taking and returning Matplotlib axes.

Colour never carries a meaning alone: markers, line styles and words say the same. The colours keep
their distance under red-green blindness and have a contrast of at least 3 to 1 on the white that
every figure brings along, on dark pages too. Everything is drawn from plain arrays.
"""

from vae_notes.figures._shared import style
from vae_notes.figures.images import decoded_plane, image_grid, latent_grid, latent_plane
from vae_notes.figures.lines import curves, estimate_against_exact, heat_map, schedule
from vae_notes.figures.units import by_seed, kl_per_unit, predicted_against_measured, spectrum

__all__ = [
    "by_seed",
    "curves",
    "decoded_plane",
    "estimate_against_exact",
    "heat_map",
    "image_grid",
    "kl_per_unit",
    "latent_grid",
    "latent_plane",
    "predicted_against_measured",
    "schedule",
    "spectrum",
    "style",
]
