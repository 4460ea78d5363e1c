"""Poses in your own photographs: `predict("photo.jpg", weights="…")` in a notebook shows them.

From files to poses: `listing` says which pictures, `upright` reads them as people see them,
`boxes` and `detector` say where people are, `networks` which network looks, `estimate` does it,
`overlay` draws it and `results` writes it down.
"""

from replab.photos.api import predict, predict_each
from replab.photos.estimate import Photo, Unread

__all__ = ["Photo", "Unread", "predict", "predict_each"]
