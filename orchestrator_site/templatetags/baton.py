"""Template tags of the design system: icons, badges, money, durations and times in the reader's zone."""

import datetime as dt
import hashlib
import json
import zoneinfo
from collections.abc import Mapping
from functools import cache
from typing import Any

from django import template
from django.conf import settings
from django.template import Context
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from orchestrator_site import figures
from pipelines.graph.model import Json
from pipelines.words import Look, look_of
from runs import words

register = template.Library()
register.filter("money", figures.money)
register.filter("money_short", figures.short_money)
register.filter("duration", figures.duration)
register.filter("count", figures.count)
register.filter("percent", figures.percent)


@register.simple_tag
def icon(name: str, size: str = "") -> SafeString:
    """Return one icon of the page's sprite; it is decoration, the word stands beside it."""
    return format_html(
        '<svg class="i{}" viewBox="0 0 24 24" aria-hidden="true"><use href="#{}"/></svg>',
        f" i-{size}" if size else "",
        name,
    )


@cache
def _sprite() -> SafeString:
    built = settings.BASE_DIR / "static" / "dist" / "icons.svg"
    return mark_safe(built.read_text()) if built.exists() else SafeString("")  # noqa: S308 our own build's output


@register.simple_tag
def sprite() -> SafeString:
    """Return the icon sprite, inlined once per page so that no icon is a request."""
    return _sprite()


@cache
def _chunks() -> Mapping[str, list[str]]:
    """Return the files that each part of the script stands on; none where nothing was built, or only `--watch` did."""
    built = settings.BASE_DIR / "static" / "dist" / "chunks.json"
    return dict(json.loads(built.read_text())) if built.exists() else {}


@register.simple_tag(takes_context=True)
def preload(context: Context, part: str) -> SafeString:
    """Return links that fetch a part of the script together with the page, instead of one file after another."""
    files = [name for name in _chunks().get(part, ()) if "/chunks/" in name]
    links = [(static(name), context.get("CSP_NONCE", "")) for name in files]
    return format_html_join("\n", '<link rel="modulepreload" href="{}" nonce="{}">', links)


@register.simple_tag
def badge(value: words.Badge) -> SafeString:
    """Return a state as icon and word."""
    return format_html('<span class="badge {}">{}{}</span>', value.tone, icon(value.icon), state_word(value))


@register.simple_tag
def state_word(value: words.Badge) -> SafeString:
    """Return a state's word. Where it depends on who reads, both are there and `data-mine` around them picks one.

    A live fragment does not know what else waits for its reader; the page around it does.
    """
    if not value.others:
        return format_html("{}", value.word)
    return format_html('<span class="if-mine">{}</span><span class="if-others">{}</span>', value.word, value.others)


@register.simple_tag
def tile(kind: str, size: str = "") -> SafeString:
    """Return the coloured tile of a kind of step."""
    drawn = look_of(kind)
    return format_html('<span class="tile {} {}" aria-hidden="true">{}</span>', drawn.tile, size, icon(drawn.icon))


@register.filter
def look(kind: str) -> Look:
    """Return the word, icon and colour class of a kind of step."""
    return look_of(kind)


@register.simple_tag
def avatar(person: Any, size: str = "") -> SafeString:
    """Return a person's initials on a colour that stays theirs."""
    name = str(person or "?")
    parts = name.replace("@", " ").replace(".", " ").split()
    initials = "".join(part[0] for part in parts[:2]).upper()
    tone = "abcde"[sum(name.encode()) % 5]
    return format_html('<span class="ava {} {}" aria-hidden="true">{}</span>', tone, size, initials)


def zone_of(context: Context) -> zoneinfo.ZoneInfo:
    """Return the reader's time zone; UTC where nobody in particular reads (shared live fragments)."""
    user = getattr(context.get("request"), "user", None)
    return user.tzinfo if user is not None and user.is_authenticated else zoneinfo.ZoneInfo("UTC")


@register.simple_tag(takes_context=True)
def when(context: Context, moment: dt.datetime | None, style: str = "short") -> SafeString:
    """Return a moment as people say it in the reader's zone, the zone in its title.

    `data-at` lets the page's own script say it again in the reader's zone where a fragment was rendered for everybody.
    """
    if moment is None:
        return SafeString("")
    zone = zone_of(context)
    local, now = moment.astimezone(zone), timezone.now().astimezone(zone)
    return format_html(
        '<time datetime="{}" data-at="{}" title="{} {}">{}</time>',
        moment.isoformat(),
        style,
        local.strftime("%-d %b %Y %H:%M:%S"),
        zone.key,
        figures.clock(local, now, style),
    )


@register.simple_tag(takes_context=True)
def zone(context: Context) -> str:
    """Return the name of the zone in which this page says its times."""
    return zone_of(context).key


@register.filter
def glance(micros: int | None) -> SafeString:
    """Return an amount rounded for a glance, the exact one in its title."""
    return format_html('<span title="{}">{}</span>', figures.money(micros), figures.short_money(micros))


@register.filter
def size(amount: float) -> float:
    """Return an amount without its sign, for a page that sets the sign itself."""
    return abs(amount)


@register.filter
def signed(amount: float) -> str:
    """Return a difference with its sign: "+0.20", "−0.05", "0"."""
    said = f"{abs(amount):.2f}"
    return "0" if said == "0.00" else f"{'+' if amount > 0 else '−'}{said}"


@register.filter
def whole(amount: float) -> int:
    """Return a mean as a whole number of its unit."""
    return round(amount)


@register.filter
def ago(moment: dt.datetime | None) -> str:
    """Return how long ago a moment was: "8 s ago"."""
    return "" if moment is None else f"{figures.duration((timezone.now() - moment).total_seconds(), rough=True)} ago"


@register.filter
def left(moment: dt.datetime | None) -> str:
    """Return how long it is until a moment: "42 m left"; empty for what is more than a day away."""
    seconds = (moment - timezone.now()).total_seconds() if moment else 86_400
    if seconds >= 86_400:
        return ""
    return f"{figures.duration(seconds, rough=True)} left" if seconds > 0 else "due now"


@register.filter
def tick(seconds: float) -> str:
    """Return a round number of seconds as an axis says it: "2 m", not "2 m 00 s"."""
    said = figures.duration(seconds) if seconds >= 10 else f"{seconds:g} s"
    return said.removesuffix(" 00 s").removesuffix(" 00 m")


@register.filter
def pretty(value: Json) -> str:
    """Return a JSON value as indented text; a plain string as it is."""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False)


@register.filter
def anchor(name: str) -> str:
    """Return any name as a part of an element's id, the same on the page and in the fragment that fills it."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


@register.filter
def at(mapping: Mapping[str, Any] | None, key: str) -> Any:
    """Return one value of a mapping, or None."""
    return (mapping or {}).get(key)


@register.inclusion_tag("components/_meter.html")
def meter(spent: int, cap: int | None, reserved: int = 0, height: int = 6) -> dict[str, Any]:
    """Draw spent and reserved money against a cap; amber from 80 %, red at the cap."""
    share = figures.share(spent, cap)
    tone = "bad" if share >= 100 else "warn" if share >= 80 else "f"
    ghost = min(figures.share(reserved, cap), max(100 - share, 0))
    return {
        "share": f"{min(share, 100):.1f}",
        "ghost": f"{ghost:.1f}",
        "tone": tone,
        "height": height,
        "capped": bool(cap),
    }
