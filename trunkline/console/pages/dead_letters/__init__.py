"""Dead letters: by fingerprint, one by one, and what to do with them."""

from trunkline.console.pages.dead_letters.section import dead_letters

__all__ = ["dead_letters"]
