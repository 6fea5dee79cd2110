"""A web page on this machine on which a person confirms, rejects and comments the landslides of a survey.

It answers to this machine alone, and to nobody who does not know the random word in its address: another page in the
same browser can neither read nor write here. Answers are only ever added to a journal; the next run, or `lsbatch run
--until inventory`, carries them into the inventory.
"""

from lsbatch.review.answers import Case
from lsbatch.review.server import serve

__all__ = ["Case", "serve"]
