"""A page on this machine with which a person goes through a survey's landslides, confirms, rejects and comments.

It answers to this machine alone, and to nobody who does not know the random word in its address: another page in the same browser
can neither read nor write here. Answers are only ever added to a journal; the next run, or `lsbatch run --until inventory`,
carries them into the inventory.
"""

from lsbatch.review.answers import Case
from lsbatch.review.server import serve

__all__ = ["Case", "serve"]
