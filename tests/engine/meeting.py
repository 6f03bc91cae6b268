"""What lies between runs, as a test plays it: topics at which steps wait, kept events, and locks with their lines."""

from collections import defaultdict
from datetime import timedelta
from typing import Any

from runs.engine.decision import Decision
from runs.engine.facts import EventArrived, Fact, LockGranted
from tests.engine.playing import Player


class Meeting(Player):
    """A run whose events and locks are handed out as `runs.topics` and `runs.locks` do it. It outlives its crashes."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.waits: dict[str, list[str]] = {}
        self.lines: dict[str, list[str]] = defaultdict(list)
        self.post: list[Fact] = []
        self.sent = 0

    def tell(self, *facts: Fact) -> Decision:
        """Decide, and then deliver what the decision set off, as other facts."""
        decision = super().tell(*facts)
        self._note_all(decision)
        while self.post and not self.run.state.is_terminal:
            self._note_all(super().tell(self.post.pop(0)))
        return decision

    def send(self, topic: str, payload: Any = None, name: str = "", ago: float = 0.0) -> None:
        """Send an event from outside, or hand out one that was kept since so many seconds ago."""
        self._hand_out(topic, payload, name, ago)
        self.tell()

    def _note_all(self, decision: Decision) -> None:
        for event in decision.events:
            self._note(event)

    def _note(self, event: Any) -> None:
        payload = event.payload
        match event.type:
            case "step_waiting" if payload.get("events"):
                self.waits[payload["request"]] = [entry["topic"] for entry in payload["events"]]
            case "step_waiting" if payload.get("lock"):
                self.lines[payload["lock"]].append(payload["request"])
                self._grant(payload["lock"], was=len(self.lines[payload["lock"]]) - 1)
            case "wait_ended":
                self.waits.pop(payload["request"])
            case "event_sent":
                self._hand_out(payload["topic"], payload["payload"], "")
            case "lock_released":
                line = self.lines[payload["lock"]]
                was_first = line[0] == payload["request"]
                line.remove(payload["request"])
                self._grant(payload["lock"], was=0 if was_first else len(line))

    def _grant(self, lock: str, was: int) -> None:
        if self.lines[lock] and not was:
            self.post.append(LockGranted(self.lines[lock][0]))

    def _hand_out(self, topic: str, payload: Any, name: str, ago: float = 0.0) -> None:
        self.sent += 1
        at = (self.now - timedelta(seconds=ago)).isoformat()
        event = {"id": str(self.sent), "name": name, "topic": topic, "payload": payload, "by": "eve", "at": at}
        for request, topics in self.waits.items():
            if topic in topics:
                self.post.append(EventArrived(request, event))


def a_meeting(drawing: str, script: Any = None, **nodes: Any) -> Meeting:
    """Return a run of a drawn pipeline among its waits and locks, not started; as `playing.a_run`."""
    from tests.engine.building import a_document, a_graph

    fields = nodes.pop("document", {})
    given = nodes.pop("input", {})
    return Meeting(a_document(a_graph(drawing, **nodes), **fields), script, given)
