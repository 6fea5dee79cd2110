"""The review page, on which a reviewer confirms, rejects and comments the landslides of a survey.

The server accepts connections only from this machine and only with the random token in its address. Another page in
the same browser can neither read nor write. Answers are appended to a journal; the next run, or `lsbatch run --until
inventory`, copies them into the inventory.

- ``answers``: the landslides, their images and the journal of answers.
- ``uncertainty``: the order that offers the most uncertain landslides first.
- ``server``: the HTTP server.
"""

from lsbatch.review.answers import Case
from lsbatch.review.server import serve

__all__ = ["Case", "serve"]
