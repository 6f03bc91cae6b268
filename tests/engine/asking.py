"""People who answer whatever a run asks, some time: an open question is one more thing to be done, in any order."""

import random
from dataclasses import dataclass
from typing import Any

from runs.engine.decision import Decision
from runs.engine.facts import Answered, Fact
from tests.engine.playing import Player


@dataclass(frozen=True)
class Asked:
    """An open question, which somebody answers some time: the same in every order."""

    path: str
    request: str
    kind: str

    def answer(self, seed: int) -> Answered:
        rng = random.Random(f"{seed}/{self.request}")
        if self.kind == "failure":
            tried = int(self.request.rpartition("!")[2])
            decision = rng.choice(("retry", "skip", "use") if tried < 3 else ("skip", "use"))
        else:
            decision = rng.choice(("answer", "answer", "reject", "expire"))
        payload = "a" if decision == "use" else {"said": self.path}
        return Answered(self.request, f"approval-of-{self.request}", decision, payload, by="bob@example.com")


class Peopled(Player):
    """Answers what is asked, as `seed` says."""

    seed = 0

    def tell(self, *facts: Fact) -> Decision:
        known = len(self.events)
        decision = super().tell(*facts)
        for event in self.events[known:]:
            if event.type == "approval_requested":
                self._wait_for(Asked(str(event.path), event.payload["request"], event.payload["kind"]))
            elif event.type == "approval_decided" and isinstance(self.open.get(str(event.path)), Asked):
                del self.open[str(event.path)]
        return decision

    def crash(self, *, crashed: bool = True) -> Decision:
        decision = super().crash(crashed=crashed)
        for path, row in self.rows.items():
            request = row["memo"].get("request")
            if request and row["state"] == "waiting":
                self._wait_for(Asked(path, request["id"], request["kind"]))
        return decision

    def _wait_for(self, asked: Asked) -> None:
        self.open[asked.path] = asked  # type: ignore[assignment]

    def outcome(self, start: Any) -> Any:
        return start.answer(self.seed) if isinstance(start, Asked) else super().outcome(start)
