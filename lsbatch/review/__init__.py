"""The page on which a survey is looked at and reviewed: a map, a list, images, and answers by reviewers.

The server accepts connections only from this machine and only with the random token in its address. Another page in
the same browser can neither read nor write. Answers are appended to a journal; the next run, or `lsbatch run --until
inventory`, copies them into the inventory.

- ``answers``: the landslides and the journal of answers; ``drawn``: outlines that reviewers draw.
- ``uncertainty``: the order that offers the most uncertain landslides first.
- ``listing``: the list and the records; ``radar_series``: Sentinel-1 series.
- ``map_images``, ``image_tiles``: national maps and the cube as tiles; ``outline_tiles``, ``vector_tile``: outlines.
- ``publication``: the page as files, for any web server.
- ``site``: the content by its path; ``server``: the HTTP server.
"""

from lsbatch.review.answers import Case
from lsbatch.review.server import serve
from lsbatch.review.site import Site

__all__ = ["Case", "Site", "serve"]
