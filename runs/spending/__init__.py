"""What was spent: the one door for pages, programs and alerts that ask about money.

    ask(Question(workspace, by=("pipeline", "day"), since=…, until=…, zone=…, only={"person": "bob@example.com"}))

returns an `Answer` with `lines` by the asked dimensions and their `total`, each a `Spending`; money is integer
micro-dollars. Every figure is exact at every moment and adds up from the same calls as the ledger: it is the daily
books of ended runs plus the spans of all that is not in the books yet, read in one snapshot.
"""

from runs.spending.answers import ask, by_hour
from runs.spending.question import DIMENSIONS, Answer, Key, Question, Spending

__all__ = ["DIMENSIONS", "Answer", "Key", "Question", "Spending", "ask", "by_hour"]
