"""Old rows as they stay or go -> an error if too many went, as those of an unplugged drive."""

from dataclasses import dataclass

from imgdup.errors import ImgdupError

# A folder that lost more than half of more than this many files is taken for unmounted.
FEW_FILES = 100


@dataclass
class Losses:
    """How many of the rows that were known in a place are still there; `where` names it."""

    where: str
    n_old: int = 0
    n_lost: int = 0

    def count(self, *, stays: bool) -> None:
        """Count one old row."""
        self.n_old += 1
        self.n_lost += not stays

    def check(self) -> None:
        """Raise ImgdupError if all rows went, or over half of more than 100; new ones aside."""
        lost_all = self.n_lost > 0 and self.n_lost == self.n_old
        lost_most = self.n_old > FEW_FILES and self.n_lost * 2 > self.n_old
        if lost_all or lost_most:
            raise ImgdupError(
                f"{self.where}: {self.n_lost:,} of {self.n_old:,} indexed files are gone; is a "
                "drive not mounted? Nothing was changed. If they are meant to be gone, say "
                "--allow-removals"
            )
