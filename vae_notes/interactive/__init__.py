"""Figures that move: in a notebook, in the built page and from disk, without a kernel or network.

Each call takes real data and returns an :class:`Interactive`, which a notebook stores as HTML with
its numbers and its script inside. Readers without scripts, and paper, get a picture and a text.

Examples
--------
>>> from vae_notes import data, interactive
>>> interactive.dial({"digits": data.digits()}, latent_dim=8).text[-34:]
', and 3 of 8 latent units survive.'
"""

from vae_notes.interactive._dial import dial
from vae_notes.interactive._document import Interactive
from vae_notes.interactive._plane import latent_plane
from vae_notes.interactive._schedule import schedule

__all__ = ["Interactive", "dial", "latent_plane", "schedule"]
